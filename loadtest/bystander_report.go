package main

import (
	"bytes"
	"fmt"
	"io"
)

// A bystanderReport is what the bystander command found, and where.
type bystanderReport struct {
	Machine   machine         `json:"machine"`
	Rounds    int             `json:"rounds"`
	Seconds   float64         `json:"seconds"` // of one measurement
	Strangers int             `json:"strangers"`
	Rows      []*bystanderRow `json:"rows"` // the first is nobody's
}

// A bystanderRow is one input: the results on each gateway, in the order of their rounds.
type bystanderRow struct {
	Input    string              `json:"input"`
	What     string              `json:"what"`
	Gateways []*bystanderResults `json:"gateways"`
}

type bystanderResults struct {
	Gateway string    `json:"gateway"`
	Results []*Result `json:"results"`
}

func newBystanderReport(where machine, b *bystanding) *bystanderReport {
	r := &bystanderReport{Machine: where, Rounds: b.rounds, Seconds: b.duration.Seconds(), Strangers: b.strong}
	for _, in := range append([]input{nobody}, b.inputs...) {
		row := &bystanderRow{Input: in.name, What: in.what}
		for _, g := range b.gateways {
			row.Gateways = append(row.Gateways, &bystanderResults{Gateway: g.name})
		}
		r.Rows = append(r.Rows, row)
	}
	return r
}

func (r *bystanderReport) add(row, gateway int, one *Result) {
	g := r.Rows[row].Gateways[gateway]
	g.Results = append(g.Results, one)
}

// median is the median over the rounds of one figure.
func (g *bystanderResults) median(of func(*Result) float64) float64 {
	var all []float64
	for _, r := range g.Results {
		all = append(all, of(r))
	}
	return median(all)
}

func busy(r *Result) float64 { return r.ServerCores }

func sentPerSecond(r *Result) float64 { return float64(r.AttackBytes) / r.Seconds }

func echoP50(r *Result) float64 { return r.Latency.P50 }

func echoP99(r *Result) float64 { return r.Latency.P99 }

func echoMax(r *Result) float64 { return r.Latency.Max }

// writeMarkdown prints the table: a line for each input and gateway.
func (r *bystanderReport) writeMarkdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\nMedians of %d round(s) of %.3g s, everything in turn. %d strangers send the input as fast as they are "+
		"answered, and %d bystanders ask for %d echoes a second. CPU per byte is the gateway's beyond what the echoes cost alone.\n\n",
		r.Machine, r.Rounds, r.Seconds, r.Strangers, bystanders, bystanderAsk)
	fmt.Fprint(&b, "| input | gateway | sent, MB/s | CPU, ns a byte | cores | echo p50 | p99 | max | p99, × alone |\n"+
		"|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range r.Rows {
		for i, g := range row.Gateways {
			alone := r.Rows[0].Gateways[i]
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %.2f | %s | %s | %s | %.3g |\n", row.What, g.Gateway,
				blankZero(g.median(sentPerSecond)/1e6), blankZero(g.perByte(alone)), g.median(busy),
				micros(g.median(echoP50)), micros(g.median(echoP99)), micros(g.median(echoMax)),
				g.median(echoP99)/alone.median(echoP99))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// perByte is the nanoseconds of processor time that a byte of the input costs.
func (g *bystanderResults) perByte(alone *bystanderResults) float64 {
	rate := g.median(sentPerSecond)
	if rate == 0 {
		return 0
	}
	return max(0, g.median(busy)-alone.median(busy)) * 1e9 / rate
}

func blankZero(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.3g", v)
}
