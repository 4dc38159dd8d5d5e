package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A survey is what the curve command was asked for.
type survey struct {
	rounds     int
	contenders []contender
	idle       []int // connections beside the active ones, ascending
	load       settings
	jsonFile   string
	svgFile    string
}

// A curve is what a message costs beside more and more connections that say nothing.
type curve struct {
	Machine machine `json:"machine"`
	Rounds  int     `json:"rounds"`
	Seconds float64 `json:"seconds"` // of one measurement
	Active  int     `json:"active"`
	Rate    float64 `json:"rate"` // messages a second, on all active connections together
	Size    int     `json:"size"`
	Unit    string  `json:"unit"`
	Lines   []*line `json:"lines"`
}

// A line is one server's part of a curve, with as few idle connections as there are first.
type line struct {
	Server string   `json:"server"`
	Points []*point `json:"points"`
}

// A point is what was measured beside so many idle connections.
type point struct {
	Idle int `json:"idle"`
	sample
}

func drawCurve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	v, err := parseSurvey(args, stderr)
	if err != nil {
		return err
	}
	p := newProgress(stderr)
	defer p.clear()
	p.phase("building")
	dir, err := build(ctx, v.contenders, []mode{sparse()}, stderr)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := v.run(ctx, dir, p, stderr)
	if err != nil {
		return err
	}
	p.clear()
	return errors.Join(c.writeMarkdown(stdout), save(c, v.jsonFile, v.svgFile))
}

// sparse is the mode of which a curve is made.
func sparse() mode {
	m, err := chosen(modes(), "sparse")
	if err != nil {
		panic(err)
	}
	return m[0]
}

func parseSurvey(args []string, stderr io.Writer) (*survey, error) {
	v := &survey{load: sparse().defaults}
	v.load.sources, v.load.processes = defaultSources, 1
	f := flag.NewFlagSet("loadtest curve", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&v.rounds, "rounds", 3, "`number` of times that every server is measured at every point, in turn")
	f.DurationVar(&v.load.duration, "duration", 1500*time.Millisecond, "`time` of one measurement")
	idle := f.String("idle", "900,4900,9900,14900", "comma-separated `numbers` of connections that say nothing")
	f.IntVar(&v.load.active, "active", v.load.active, "`number` of connections beside them that talk")
	f.Float64Var(&v.load.rate, "rate", 10000, "messages a `second` by plan, on all active connections together")
	f.IntVar(&v.load.size, "size", v.load.size, "payload `bytes` of a message")
	peers := f.String("peers", "sluice,gws,probe", "comma-separated `servers`")
	f.StringVar(&v.jsonFile, "json", "", "write all results to `file` as JSON")
	f.StringVar(&v.svgFile, "svg", "", "draw the medians into `file`")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case v.rounds < 1:
		return nil, errors.New("-rounds must be at least 1")
	case v.load.active < 1:
		return nil, errors.New("-active must be at least 1")
	case v.load.rate <= 0:
		return nil, errors.New("-rate must be above 0: at their own pace, clients of a faster server would talk more")
	}
	v.load.warmup = v.load.duration / 3
	for s := range strings.SplitSeq(*idle, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("-idle: %q is no number of connections", s)
		}
		v.idle = append(v.idle, n)
	}
	slices.Sort(v.idle)
	v.idle = slices.Compact(v.idle)
	var err error
	v.contenders, err = chosen(contenders(), *peers)
	return v, err
}

// blank is the curve before anything was measured.
func (v *survey) blank(where machine) *curve {
	_, unit, _ := headline(sparse().name)
	c := &curve{
		Machine: where,
		Rounds:  v.rounds,
		Seconds: v.load.duration.Seconds(),
		Active:  v.load.active,
		Rate:    v.load.rate,
		Size:    v.load.size,
		Unit:    unit,
	}
	for _, who := range v.contenders {
		l := &line{Server: who.name}
		for _, n := range v.idle {
			l.Points = append(l.Points, &point{Idle: n, sample: sample{Server: who.name}})
		}
		c.Lines = append(c.Lines, l)
	}
	return c
}

// run measures every point once a round, each on a fresh process, all servers before the next number of
// connections. Every other round goes backwards, so that what drifts bends no line.
func (v *survey) run(ctx context.Context, dir string, p *progress, stderr io.Writer) (*curve, error) {
	type stop struct {
		who contender
		at  *point
	}
	c := v.blank(thisMachine(ctx))
	var tour []stop
	for i := range v.idle {
		for j, who := range v.contenders {
			tour = append(tour, stop{who, c.Lines[j].Points[i]})
		}
	}
	for round := range v.rounds {
		for _, s := range tour {
			p.prefix = fmt.Sprintf("round %d of %d, %s beside %d: ", round+1, v.rounds, s.who.name, s.at.Idle)
			r, err := v.measure(ctx, dir, s.who, s.at.Idle, p)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				p.clear()
				fmt.Fprintf(stderr, "%s beside %d: %v\n", s.who.name, s.at.Idle, err)
				s.at.Missing = err.Error()
				continue
			}
			r.Server = s.who.name
			s.at.add(r)
		}
		slices.Reverse(tour)
	}
	return c, nil
}

func (v *survey) measure(ctx context.Context, dir string, who contender, idle int, p *progress) (*Result, error) {
	s := v.load
	s.conns = s.active + idle
	if who.most > 0 && s.conns > who.most {
		return nil, fmt.Errorf("it can hold %d connections", who.most)
	}
	m := sparse()
	proc, err := who.start(ctx, dir, m)
	if err != nil {
		return nil, err
	}
	defer proc.stop()
	s.url = proc.url
	return measure(ctx, m, s, p)
}

// growth is how much more a message costs at the last point than at the first; 0: not known.
func (l *line) growth() float64 {
	first, last := l.Points[0], l.Points[len(l.Points)-1]
	if first == last || first.Median == 0 {
		return 0
	}
	return last.Median / first.Median
}

// load says on what the curve stands.
func (c *curve) load() string {
	return fmt.Sprintf("%d active connections with %.0f messages/s of %d B", c.Active, c.Rate, c.Size)
}

// writeMarkdown prints a row for each server: median, least and most at each point.
func (c *curve) writeMarkdown(w io.Writer) error {
	var b, notes bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n%d round(s) of %.3g s, every server in turn; less is better.\n", c.Machine, c.Rounds, c.Seconds)
	fmt.Fprintf(&b, "\n### CPU per echoed message beside idle connections, %s: median (least – most)\n\n%s\n\n| server |", c.Unit, c.load())
	for _, pt := range c.Lines[0].Points {
		fmt.Fprintf(&b, " %d idle |", pt.Idle)
	}
	fmt.Fprintf(&b, " last : first |\n|---|%s--:|\n", strings.Repeat("--:|", len(c.Lines[0].Points)))
	for _, l := range c.Lines {
		fmt.Fprintf(&b, "| %s |", l.Server)
		for _, pt := range l.Points {
			if len(pt.Results) == 0 {
				b.WriteString(" – |")
				fmt.Fprintf(&notes, "- %s beside %d: not measured: %s\n", l.Server, pt.Idle, firstLine(pt.Missing))
				continue
			}
			fmt.Fprintf(&b, " %s (%s – %s) |", figure(pt.Median), figure(pt.Min), figure(pt.Max))
			for _, trouble := range pt.troubles() {
				fmt.Fprintf(&notes, "- %s beside %d: %s\n", l.Server, pt.Idle, trouble)
			}
		}
		fmt.Fprintf(&b, " %s |\n", ratio(l.growth()))
	}
	if notes.Len() > 0 {
		fmt.Fprintf(&b, "\n%s", &notes)
	}
	_, err := w.Write(b.Bytes())
	return err
}
