package main

import (
	"bytes"
	"fmt"
	"io"
)

// A backendReport is what the backend command found, and where.
type backendReport struct {
	Machine machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Seconds float64   `json:"seconds"` // of one measurement
	Rows    []*sample `json:"rows"`    // ratios are to the first
	Waiting *Waiting  `json:"waiting,omitempty"`
}

func newBackendReport(where machine, t *backendTrial, ways []way) *backendReport {
	r := &backendReport{Machine: where, Rounds: t.rounds, Seconds: t.duration.Seconds()}
	for _, w := range ways {
		r.Rows = append(r.Rows, &sample{Server: w.name})
	}
	return r
}

// add takes in one more result of the nth way, and brings the ratios up to date.
func (r *backendReport) add(n int, one *Result) {
	one.Server = r.Rows[n].Server
	r.Rows[n].Missing = ""
	r.Rows[n].add(one)
	if base := r.Rows[0].Median; base > 0 {
		for _, v := range r.Rows {
			v.Ratio = v.Median / base
		}
	}
}

// missing notes why the nth way has no result, unless it has one of another round.
func (r *backendReport) missing(n int, err error) {
	if len(r.Rows[n].Results) == 0 {
		r.Rows[n].Missing = err.Error()
	}
}

// writeMarkdown prints the table, and the sentence about those who wait.
func (r *backendReport) writeMarkdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n%d round(s) of %.3g s, everything in turn. CPU is that of the gateway, or of the bare client, "+
		"alone; less is better.\n\n", r.Machine, r.Rounds, r.Seconds)
	fmt.Fprintf(&b, "| | CPU, µs | min | max | × net/http | p50 | p99 | goroutines | threads | load |\n"+
		"|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, v := range r.Rows {
		if len(v.Results) == 0 {
			fmt.Fprintf(&b, "| %s | – | | | | | | | | not measured: %s |\n", v.Server, firstLine(v.Missing))
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", v.Server,
			figure(v.Median), figure(v.Min), figure(v.Max), ratio(v.Ratio),
			v.latency(func(p *Percentiles) float64 { return p.P50 }),
			v.latency(func(p *Percentiles) float64 { return p.P99 }),
			v.count(func(r *Result) int { return r.Goroutines }),
			v.count(func(r *Result) int { return r.Threads }), v.load())
	}
	if v := r.Waiting; v != nil {
		fmt.Fprintf(&b, "\nWith %d clients that wait for a backend which does not answer, and %d requests at a time, the "+
			"gateway has %d goroutines and %d threads; before they sent anything, it had %d goroutines.\n",
			v.Clients, v.InFlight, v.Goroutines, v.Threads, v.Before)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// count is the median over the rounds of a number that is more than 0 where it is known.
func (v *sample) count(of func(*Result) int) string {
	var all []float64
	for _, r := range v.Results {
		if n := of(r); n > 0 {
			all = append(all, float64(n))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", median(all))
}
