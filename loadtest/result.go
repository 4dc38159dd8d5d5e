package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A Result is what one run of a mode measured. Times of single operations are in microseconds.
type Result struct {
	Mode        string           `json:"mode"`
	Server      string           `json:"server,omitempty"`
	Connections int              `json:"connections"`
	Active      int              `json:"active,omitempty"`
	Size        int              `json:"size,omitempty"`
	Rate        float64          `json:"rate,omitempty"` // offered, per second
	Unit        string           `json:"unit"`
	Operations  int64            `json:"operations"`
	Seconds     float64          `json:"seconds"`
	PerSecond   float64          `json:"per_second"`
	ServerCPU   float64          `json:"server_cpu_us"` // per operation
	ServerCores float64          `json:"server_cores"`  // busy on average
	Latency     *Percentiles     `json:"latency_us,omitempty"`
	LatencyOf   string           `json:"latency_of,omitempty"`
	Lag         *Percentiles     `json:"lag_us,omitempty"` // how late the generator sent
	Memory      *Memory          `json:"memory,omitempty"`
	Goroutines  int              `json:"goroutines,omitempty"` // of the server under this load
	Threads     int              `json:"threads,omitempty"`
	AttackBytes int64            `json:"attack_bytes,omitempty"` // that strangers sent meanwhile
	Errors      map[string]int64 `json:"errors,omitempty"`
	Generator   Generator        `json:"generator"`
}

// Percentiles of a distribution, in microseconds.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// Memory is what one idle connection occupies, in bytes.
type Memory struct {
	From   int     `json:"from"` // connections at the first reading
	To     int     `json:"to"`   // and at the second
	User   float64 `json:"user"`
	Talked float64 `json:"talked"`           // the same after each has exchanged messages and is idle again
	Kernel float64 `json:"kernel,omitempty"` // both ends, as both are on this machine; 0: not readable
}

// Generator says what the measurement cost the measuring side.
type Generator struct {
	Processes int     `json:"processes"`
	Cores     float64 `json:"cores"`             // busy on average
	Verdict   string  `json:"verdict,omitempty"` // set when this side was what limited the result
}

func percentiles(h *histogram) *Percentiles {
	if h.h == nil {
		return nil
	}
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	return &Percentiles{
		P50:  us(h.h.ValueAtQuantile(50)),
		P99:  us(h.h.ValueAtQuantile(99)),
		P999: us(h.h.ValueAtQuantile(99.9)),
		Max:  us(h.h.Max()),
	}
}

// fill derives the rates from what was counted while the server used the given processor time.
func (r *Result) fill(t *tally, cpu time.Duration, processes int) {
	r.Operations = t.Done
	r.Seconds = t.Wall.Seconds()
	r.Latency, r.Lag = percentiles(&t.Latency), percentiles(&t.Lag)
	r.Errors = t.Errors
	r.Generator.Processes = processes
	if t.Wall > 0 {
		r.PerSecond = float64(t.Done) / t.Wall.Seconds()
		r.ServerCores = cpu.Seconds() / t.Wall.Seconds()
		r.Generator.Cores = t.CPU.Seconds() / t.Wall.Seconds()
	}
	if t.Done > 0 {
		r.ServerCPU = float64(cpu.Nanoseconds()) / 1e3 / float64(t.Done)
	}
	r.Generator.Verdict = r.verdict()
}

const (
	tooLate = 1000.0 // µs behind the plan at the 99th percentile
	tooBusy = 0.9    // of a core, for each process of the generator
)

// verdict says in what respect the generator, not the server, set the figures.
func (r *Result) verdict() string {
	switch {
	case r.Lag != nil && r.Lag.P99 > tooLate:
		return fmt.Sprintf("the generator sent %.1f ms late at p99", r.Lag.P99/1e3)
	case r.Lag == nil && r.Generator.Cores > tooBusy*float64(r.Generator.Processes) && r.ServerCores < tooBusy:
		return "the generator was busier than the server, which could do more a second"
	}
	return ""
}

// write prints the result for a reader.
func (r *Result) write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("mode", "%s", r.Mode)
	if r.Connections > 0 {
		row("connections", "%d", r.Connections)
	}
	if r.Active > 0 && r.Active != r.Connections {
		row("active", "%d", r.Active)
	}
	if r.Rate > 0 {
		row("offered", "%.0f/s", r.Rate)
	}
	if r.Operations > 0 {
		row(r.Unit+"s", "%d in %.2f s, %.0f/s", r.Operations, r.Seconds, r.PerSecond)
		row("server CPU", "%.2f µs per %s, %.2f cores", r.ServerCPU, r.Unit, r.ServerCores)
	}
	if r.Latency != nil {
		row(r.LatencyOf, "%s", r.Latency)
	}
	if r.Lag != nil {
		row("sent late by", "%s", r.Lag)
	}
	if m := r.Memory; m != nil {
		row("user memory", "%.0f B per connection (slope between %d and %d)", m.User, m.From, m.To)
		row("after a talk", "%.0f B per connection", m.Talked)
		if m.Kernel > 0 {
			row("kernel memory", "%.0f B per connection, both ends", m.Kernel)
		}
	}
	if r.Operations > 0 {
		row("generator", "%.2f cores, %d process(es)", r.Generator.Cores, r.Generator.Processes)
	}
	if r.Generator.Verdict != "" {
		row("note", "%s", r.Generator.Verdict)
	}
	for _, why := range slices.Sorted(maps.Keys(r.Errors)) {
		row("error", "%d × %s", r.Errors[why], strings.TrimSpace(why))
	}
	return tw.Flush()
}

func (p *Percentiles) String() string {
	return fmt.Sprintf("p50 %s  p99 %s  p99.9 %s  max %s", micros(p.P50), micros(p.P99), micros(p.P999), micros(p.Max))
}

// micros prints a time given in microseconds with three digits.
func micros(us float64) string {
	switch {
	case us >= 1e6:
		return fmt.Sprintf("%.3g s", us/1e6)
	case us >= 1e3:
		return fmt.Sprintf("%.3g ms", us/1e3)
	}
	return fmt.Sprintf("%.3g µs", us)
}
