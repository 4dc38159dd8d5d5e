package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A summary is what a comparison found, and where.
type summary struct {
	Machine machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Seconds float64   `json:"seconds"` // of one measurement
	Modes   []*series `json:"modes"`
}

// A machine is what figures depend on.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Commit string `json:"commit"`
	Date   string `json:"date"`
}

// A series is one mode's results for all servers.
type series struct {
	Mode    string    `json:"mode"`
	Title   string    `json:"title"`
	Unit    string    `json:"unit"`
	Servers []*sample `json:"servers"` // the best first
}

// A sample is one server's results in one mode. The value of a result is the mode's headline.
type sample struct {
	Server  string    `json:"server"`
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	Ratio   float64   `json:"ratio,omitempty"` // of the median to Sluice's
	Results []*Result `json:"results,omitempty"`
	Missing string    `json:"missing,omitempty"` // why there are none
}

// headline says which figure of a mode counts; in each, less is better.
func headline(mode string) (title, unit string, value func(*Result) float64) {
	cpu := func(r *Result) float64 { return r.ServerCPU }
	switch mode {
	case "idle":
		return "User memory per idle connection", "B", func(r *Result) float64 { return r.Memory.User }
	case "handshake":
		return "CPU per handshake", "µs", cpu
	case "echo":
		return "CPU per echoed message, all connections talking", "µs", cpu
	case "sparse":
		return "CPU per echoed message, 1 % of connections talking", "µs", cpu
	case "broadcast":
		return "Broadcast, CPU per recipient", "µs", cpu
	case "ping":
		return "CPU per ping and pong", "µs", cpu
	case "churn":
		return "CPU per visit: connect, talk, leave", "µs", cpu
	case "post":
		return "CPU per POST of a bare client", "µs", cpu
	case "storm":
		return "Reconnect storm, until all are back", "ms", func(r *Result) float64 { return r.Latency.Max / 1e3 }
	}
	panic("no headline for mode " + mode)
}

func newSummary(where machine, c *comparison) *summary {
	s := &summary{Machine: where, Rounds: c.rounds, Seconds: c.duration.Seconds()}
	for _, m := range c.modes {
		title, unit, _ := headline(m.name)
		s.Modes = append(s.Modes, &series{Mode: m.name, Title: title, Unit: unit})
	}
	return s
}

func (s *summary) sample(mode, server string) (*series, *sample) {
	series := s.Modes[slices.IndexFunc(s.Modes, func(v *series) bool { return v.Mode == mode })]
	i := slices.IndexFunc(series.Servers, func(v *sample) bool { return v.Server == server })
	if i >= 0 {
		return series, series.Servers[i]
	}
	v := &sample{Server: server}
	series.Servers = append(series.Servers, v)
	return series, v
}

// add takes in one more result and brings the mode's figures up to date.
func (s *summary) add(r *Result) {
	series, v := s.sample(r.Mode, r.Server)
	v.add(r)
	series.order()
}

// add takes in one more result.
func (v *sample) add(r *Result) {
	v.Results = append(v.Results, r)
	_, _, value := headline(r.Mode)
	var all []float64
	for _, r := range v.Results {
		all = append(all, value(r))
	}
	v.Median, v.Min, v.Max = median(all), slices.Min(all), slices.Max(all)
}

// missing notes why a server has no result, unless it has one of another round.
func (s *summary) missing(mode, server string, err error) {
	if _, v := s.sample(mode, server); len(v.Results) == 0 {
		v.Missing = err.Error()
	}
}

// order puts the best first and sets the ratios to Sluice.
func (s *series) order() {
	base := 0.0
	for _, v := range s.Servers {
		if v.Server == sluice {
			base = v.Median
		}
	}
	for _, v := range s.Servers {
		if base > 0 {
			v.Ratio = v.Median / base
		}
	}
	slices.SortStableFunc(s.Servers, func(a, b *sample) int {
		return cmp.Or(cmp.Compare(min(len(b.Results), 1), min(len(a.Results), 1)), cmp.Compare(a.Median, b.Median))
	})
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// writeMarkdown prints a table for each mode.
func (s *summary) writeMarkdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n%d round(s) of %.3g s, every server in turn; less is better.\n", s.Machine, s.Rounds, s.Seconds)
	for _, m := range s.Modes {
		fmt.Fprintf(&b, "\n### %s (`%s`), %s\n\n", m.Title, m.Mode, m.Unit)
		fmt.Fprintf(&b, "| server | median | min | max | × Sluice | p50 | p99 | load |\n|---|--:|--:|--:|--:|--:|--:|---|\n")
		for _, v := range m.Servers {
			if len(v.Results) == 0 {
				fmt.Fprintf(&b, "| %s | – | | | | | | not measured: %s |\n", v.Server, firstLine(v.Missing))
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", v.Server,
				figure(v.Median), figure(v.Min), figure(v.Max), ratio(v.Ratio),
				v.latency(func(p *Percentiles) float64 { return p.P50 }),
				v.latency(func(p *Percentiles) float64 { return p.P99 }), v.load())
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// latency is the median over the rounds of one percentile.
func (v *sample) latency(of func(*Percentiles) float64) string {
	var all []float64
	for _, r := range v.Results {
		if r.Latency != nil {
			all = append(all, of(r.Latency))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return micros(median(all))
}

// load says what the figures were measured under, and what is wrong with them.
func (v *sample) load() string {
	r := v.Results[len(v.Results)-1]
	var parts []string
	if r.Connections > 0 {
		parts = append(parts, fmt.Sprintf("%d connections", r.Connections))
	}
	if r.PerSecond > 0 && r.Operations > 0 {
		parts = append(parts, fmt.Sprintf("%.0f/s", r.PerSecond))
	}
	return strings.Join(append(parts, v.troubles()...), ", ")
}

// troubles are how the generator limited the results, the latest verdict for all, and what went wrong.
func (v *sample) troubles() []string {
	var parts []string
	verdict, limited := "", 0
	errors := make(map[string]int64)
	for _, r := range v.Results {
		if r.Generator.Verdict != "" {
			verdict = r.Generator.Verdict
			limited++
		}
		for why, n := range r.Errors {
			errors[why] += n
		}
	}
	if limited > 0 {
		parts = append(parts, fmt.Sprintf("%s (%d of %d rounds)", verdict, limited, len(v.Results)))
	}
	for _, why := range slices.Sorted(maps.Keys(errors)) {
		parts = append(parts, fmt.Sprintf("%d × %s", errors[why], why))
	}
	return parts
}

func figure(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func ratio(v float64) string {
	switch {
	case v == 0:
		return ""
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// thisMachine describes where this runs, as well as it can be found out.
func thisMachine(ctx context.Context) machine {
	m := machine{
		CPU:    "unknown CPU",
		Cores:  runtime.NumCPU(),
		Kernel: "unknown kernel",
		Go:     runtime.Version(),
		Commit: "unknown",
		Date:   time.Now().UTC().Format(time.DateOnly),
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = cpuModel(string(b))
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = "Linux " + unix.ByteSliceToString(u.Release[:])
	}
	if b, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(b))
	}
	return m
}

// cpuModel finds the first "model name" of a /proc/cpuinfo.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

func (m machine) String() string {
	return fmt.Sprintf("%s (%d cores), %s, %s, commit %s, %s", m.CPU, m.Cores, m.Kernel, m.Go, m.Commit, m.Date)
}
