package main

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Measures of the picture, in its own units, which are pixels when it is not scaled.
const (
	panelWidth = 420
	gap        = 24
	margin     = 20
	rowHeight  = 22
	headHeight = 46 // title and unit above the bars
	footHeight = 34
	nameWidth  = 62
	textWidth  = 112 // figure and ratio right of the longest bar
	barWidth   = panelWidth - nameWidth - textWidth
)

// style follows the reader's choice of light or dark, also where the picture is an <img>.
const style = `
svg { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif }
.page { fill: #fff } .text { fill: #1f2328 } .dim { fill: #59636e }
.title { font-weight: 600 } .small { font-size: 11px }
.peer { fill: #afb8c1 } .ours { fill: #0969da } .floor { fill: #d8dee4 } .span { stroke: #59636e }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } .text { fill: #e6edf3 } .dim { fill: #9198a1 }
.peer { fill: #545d68 } .ours { fill: #4493f8 } .floor { fill: #373e47 } .span { stroke: #9198a1 }
}
`

// writeSVG draws a panel of bars for each mode, two in a row.
func (s *summary) writeSVG(w io.Writer) error {
	var b strings.Builder
	y := margin
	for i := 0; i < len(s.Modes); i += 2 {
		height := 0
		for j, m := range s.Modes[i:min(i+2, len(s.Modes))] {
			height = max(height, m.draw(&b, margin+j*(panelWidth+gap), y))
		}
		y += height + gap
	}
	width := 2*margin + panelWidth
	if len(s.Modes) > 1 {
		width += gap + panelWidth
	}
	foot := "Less is better. Median of " + fmt.Sprint(s.Rounds) + " round(s), line: least to most."
	text(&b, "dim small", margin, y, foot)
	text(&b, "dim small", margin, y+16, s.Machine.String())
	height := y + footHeight
	return writePage(w, "Sluice and other WebSocket servers on the same work", width, height, b.String())
}

// writePage writes a picture of that size around what was drawn.
func writePage(w io.Writer, title string, width, height int, drawn string) error {
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="title">
<title id="title">%s</title>
<style>%s</style>
<rect class="page" width="100%%" height="100%%" rx="6"/>
%s</svg>
`, width, height, width, height, html.EscapeString(title), style, drawn)
	return err
}

// draw draws one panel with its upper left corner at x, y and returns its height.
func (s *series) draw(b *strings.Builder, x, y int) int {
	text(b, "text title", x, y+14, s.Title)
	text(b, "dim small", x, y+31, s.Unit+"; × Sluice")
	most := 0.0
	for _, v := range s.Servers {
		most = max(most, v.Max)
	}
	scale := func(v float64) float64 {
		if most == 0 {
			return 0
		}
		return max(v, 0) / most * barWidth
	}
	top := y + headHeight
	for i, v := range s.Servers {
		row := top + i*rowHeight
		text(b, "text", x, row+12, v.Server)
		if len(v.Results) == 0 {
			text(b, "dim small", x+nameWidth, row+12, "not measured")
			continue
		}
		left := float64(x + nameWidth)
		fmt.Fprintf(b, "<rect class=%q x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"14\" rx=\"2\"/>\n",
			v.class(), left, row, max(scale(v.Median), 1))
		if v.Max > v.Min {
			fmt.Fprintf(b, "<path class=\"span\" d=\"M%.1f %dH%.1f\"/>\n", left+scale(v.Min), row+7, left+scale(v.Max))
		}
		label := figure(v.Median) + " " + s.Unit
		if v.Ratio > 0 && v.Server != sluice {
			label += "  ×" + ratio(v.Ratio)
		}
		text(b, "text small", x+nameWidth+6+int(scale(v.Max)), row+11, label)
	}
	return headHeight + len(s.Servers)*rowHeight
}

func (v *sample) class() string {
	switch v.Server {
	case sluice:
		return "ours"
	case "probe":
		return "floor"
	}
	return "peer"
}

func text(b *strings.Builder, class string, x, y int, s string) {
	fmt.Fprintf(b, "<text class=%q x=\"%d\" y=\"%d\">%s</text>\n", class, x, y, html.EscapeString(s))
}
