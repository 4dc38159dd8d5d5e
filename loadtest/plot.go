package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Measures of a curve's picture.
const (
	plotWidth  = 560
	plotHeight = 260
	axisWidth  = 36 // figures left of the plot
	axisHeight = 46 // figures and what they count below it
	labelWidth = 150
	labelSpace = 16 // from one label to the next, at least
)

// plotStyle is what lines need beside the style of bars.
const plotStyle = `<style>
.line { fill: none; stroke-width: 2; stroke: #8c959f } .line.ours { stroke: #0969da } .line.floor { stroke-dasharray: 4 4 }
.dot.peer, .dot.floor { fill: #8c959f } .grid { stroke: #d8dee4 } .end { text-anchor: end } .middle { text-anchor: middle }
@media (prefers-color-scheme: dark) {
.line { stroke: #768390 } .line.ours { stroke: #4493f8 } .dot.peer, .dot.floor { fill: #768390 } .grid { stroke: #30363d }
}
</style>
`

// A plot maps figures to the picture. Both axes begin at 0, so that flat looks flat.
type plot struct{ right, top float64 } // the greatest figures that it shows

func (p plot) x(v int) float64 { return margin + axisWidth + float64(v)/p.right*plotWidth }

func (p plot) y(v float64) float64 {
	return margin + headHeight + plotHeight - max(v, 0)/p.top*plotHeight
}

// writeSVG draws a line for each server, with its name at its end.
func (c *curve) writeSVG(w io.Writer) error {
	points := c.Lines[0].Points
	most := 0.0
	for _, l := range c.Lines {
		for _, pt := range l.Points {
			most = max(most, pt.Max)
		}
	}
	step := gridStep(most)
	p := plot{
		right: max(float64(points[len(points)-1].Idle), 1),
		top:   max(math.Ceil(most/step), 1) * step,
	}

	var b strings.Builder
	b.WriteString(plotStyle)
	text(&b, "text title", margin, margin+14, "CPU per echoed message beside idle connections")
	text(&b, "dim small", margin, margin+31, c.Unit+"; "+c.load())
	for i := range int(math.Round(p.top/step)) + 1 {
		v := float64(i) * step
		fmt.Fprintf(&b, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n", p.x(0), p.y(v), p.x(0)+plotWidth)
		text(&b, "dim small end", int(p.x(0))-6, int(p.y(v))+4, strconv.FormatFloat(v, 'g', 3, 64))
	}
	below := margin + headHeight + plotHeight
	for _, pt := range points {
		text(&b, "dim small middle", int(p.x(pt.Idle)), below+16, strconv.Itoa(pt.Idle))
	}
	text(&b, "dim small middle", int(p.x(0))+plotWidth/2, below+34, "idle connections")
	for _, l := range c.Lines {
		l.draw(&b, p)
	}
	c.label(&b, p)

	foot := below + axisHeight + gap
	text(&b, "dim small", margin, foot, fmt.Sprintf("Less is better. Median of %d round(s), upright: least to most.", c.Rounds))
	text(&b, "dim small", margin, foot+16, c.Machine.String())
	return writePage(w, "What a message costs Sluice and other WebSocket servers beside idle connections",
		2*margin+axisWidth+plotWidth+labelWidth, foot+footHeight, b.String())
}

// gridStep is 1, 2 or 5 times a power of ten, such that at most five steps lead up to v.
func gridStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v/5)))
	for _, n := range []float64{1, 2, 5} {
		if v <= 5*n*unit {
			return n * unit
		}
	}
	return 10 * unit
}

// measured are the points that there are figures for.
func (l *line) measured() []*point {
	return slices.DeleteFunc(slices.Clone(l.Points), func(pt *point) bool { return len(pt.Results) == 0 })
}

func (l *line) draw(b *strings.Builder, p plot) {
	var path, dots strings.Builder
	verb := 'M'
	for _, pt := range l.measured() {
		x := p.x(pt.Idle)
		fmt.Fprintf(&path, "%c%.1f %.1f", verb, x, p.y(pt.Median))
		verb = 'L'
		if pt.Max > pt.Min {
			fmt.Fprintf(&dots, "<path class=\"span\" d=\"M%.1f %.1fV%.1f\"/>\n", x, p.y(pt.Min), p.y(pt.Max))
		}
		fmt.Fprintf(&dots, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", pt.class(), x, p.y(pt.Median))
	}
	if path.Len() > 0 {
		fmt.Fprintf(b, "<path class=\"line %s\" d=\"%s\"/>\n%s", l.Points[0].class(), &path, &dots)
	}
}

// label names the lines at their ends, from the top one down, none upon another.
func (c *curve) label(b *strings.Builder, p plot) {
	var ends []*point
	for _, l := range c.Lines {
		if m := l.measured(); len(m) > 0 {
			ends = append(ends, m[len(m)-1])
		}
	}
	slices.SortStableFunc(ends, func(a, b *point) int { return cmp.Compare(b.Median, a.Median) })
	free := 0
	for _, pt := range ends {
		y := max(int(p.y(pt.Median))+4, free)
		free = y + labelSpace
		text(b, "text small", int(p.x(pt.Idle))+10, y, fmt.Sprintf("%s  %s %s", pt.Server, figure(pt.Median), c.Unit))
	}
}
