package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// comparison is what the compare command was asked for.
type comparison struct {
	rounds     int
	modes      []mode
	contenders []contender
	duration   time.Duration
	quick      bool
	jsonFile   string
	svgFile    string
}

func compare(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parseComparison(args, stderr)
	if err != nil {
		return err
	}
	p := newProgress(stderr)
	defer p.clear()
	p.phase("building")
	dir, err := build(ctx, c.contenders, c.modes, stderr)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := c.run(ctx, dir, p, stderr)
	if err != nil {
		return err
	}
	p.clear()
	return errors.Join(s.writeMarkdown(stdout), save(s, c.jsonFile, c.svgFile))
}

func parseComparison(args []string, stderr io.Writer) (*comparison, error) {
	c := &comparison{}
	f := flag.NewFlagSet("loadtest compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&c.rounds, "rounds", 3, "`number` of times that every server is measured in every mode, in turn")
	f.DurationVar(&c.duration, "duration", 2*time.Second, "`time` of one measurement")
	f.BoolVar(&c.quick, "quick", false, "one round of a second with fewer connections: an impression, no result")
	wanted := f.String("modes", names(modes()), "comma-separated `modes`")
	peers := f.String("peers", names(contenders()), "comma-separated `servers`")
	f.StringVar(&c.jsonFile, "json", "", "write all results to `file` as JSON")
	f.StringVar(&c.svgFile, "svg", "", "draw the medians into `file`")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if c.quick {
		c.rounds, c.duration = 1, time.Second
	}
	if c.rounds < 1 {
		return nil, errors.New("-rounds must be at least 1")
	}
	var err error
	if c.modes, err = chosen(modes(), *wanted); err != nil {
		return nil, err
	}
	c.contenders, err = chosen(contenders(), *peers)
	return c, err
}

// named is what can be chosen on the command line.
type named interface{ label() string }

func (m mode) label() string      { return m.name }
func (c contender) label() string { return c.name }

func names[T named](all []T) string {
	var s []string
	for _, v := range all {
		s = append(s, v.label())
	}
	return strings.Join(s, ",")
}

// chosen returns those of all that the comma-separated list names, in the list's order.
func chosen[T named](all []T, list string) ([]T, error) {
	var out []T
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(all, func(v T) bool { return v.label() == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown %q; there are %s", name, names(all))
		}
		out = append(out, all[i])
	}
	return out, nil
}

// run measures round after round, every mode on every server before any is measured again, each on a
// fresh process. Who goes first moves on with the rounds, so that what drifts hits all alike.
func (c *comparison) run(ctx context.Context, dir string, p *progress, stderr io.Writer) (*summary, error) {
	s := newSummary(thisMachine(ctx), c)
	for round := range c.rounds {
		for _, m := range c.modes {
			for i := range c.contenders {
				who := c.contenders[(i+round)%len(c.contenders)]
				p.prefix = fmt.Sprintf("round %d of %d, %s: ", round+1, c.rounds, who.name)
				r, err := c.measure(ctx, dir, m, who, p)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if err != nil {
					p.clear()
					fmt.Fprintf(stderr, "%s %s: %v\n", who.name, m.name, err)
					s.missing(m.name, who.name, err)
					continue
				}
				r.Server = who.name
				s.add(r)
			}
		}
	}
	return s, nil
}

func (c *comparison) measure(ctx context.Context, dir string, m mode, who contender, p *progress) (*Result, error) {
	p.phase("%s: starting", m.name)
	proc, err := who.start(ctx, dir, m)
	if err != nil {
		return nil, err
	}
	defer proc.stop()
	s := c.settings(m, who)
	s.url = proc.url
	s.settle = proc.settle
	return measure(ctx, m, s, p)
}

// settings are the mode's, fitted to the time there is and to what the server can hold.
func (c *comparison) settings(m mode, who contender) settings {
	s := m.defaults
	s.sources, s.processes, s.push = defaultSources, 1, pushWord
	s.warmup, s.duration = c.duration/4, c.duration
	if m.name == "ping" {
		s.warmup = pingInterval // so that every client's turn has come
	}
	if c.quick {
		s.conns, s.from, s.active = s.conns/3, s.from/3, s.active/3
	}
	if who.most > 0 && s.conns > who.most {
		s.from, s.conns = s.from*who.most/s.conns, who.most
	}
	return s
}

// A picture is what can be saved as JSON and be drawn.
type picture interface{ writeSVG(io.Writer) error }

// save writes p to the files that have a name.
func save(p picture, jsonFile, svgFile string) error {
	var errs []error
	if jsonFile != "" {
		errs = append(errs, saveJSON(p, jsonFile))
	}
	if svgFile != "" {
		var b bytes.Buffer
		errs = append(errs, p.writeSVG(&b), os.WriteFile(svgFile, b.Bytes(), 0o644))
	}
	return errors.Join(errs...)
}

func saveJSON(v any, file string) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
