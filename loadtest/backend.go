package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// A backendTrial is what the backend command was asked for, and what it works with.
type backendTrial struct {
	rounds   int
	duration time.Duration
	fraction int // of the connections that there are to be: 1 is all
	jsonFile string
	profile  string
	dir      string // where the gateway was built
	address  string // of the backend
	event    event  // what the gateway sends it
}

// measureBackend is the backend command: what a message costs the gateway on its way to a backend and
// back, next to what the POST alone costs a bare client.
func measureBackend(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	t, err := parseBackendTrial(args, stderr)
	if err != nil {
		return err
	}
	p := newProgress(stderr)
	defer p.clear()
	p.phase("building")
	if t.dir, err = build(ctx, []contender{{name: sluice}}, []mode{sparse()}, stderr); err != nil {
		return err
	}
	defer os.RemoveAll(t.dir)
	r, err := t.run(ctx, p, stderr)
	if err != nil {
		return err
	}
	p.clear()
	if t.jsonFile != "" {
		err = saveJSON(r, t.jsonFile)
	}
	return errors.Join(r.writeMarkdown(stdout), err)
}

func parseBackendTrial(args []string, stderr io.Writer) (*backendTrial, error) {
	t := &backendTrial{fraction: 1}
	f := flag.NewFlagSet("loadtest backend", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&t.rounds, "rounds", 3, "`number` of times that everything is measured, in turn")
	f.DurationVar(&t.duration, "duration", 2*time.Second, "`time` of one measurement")
	quick := f.Bool("quick", false, "one round of a second with fewer connections: an impression, no result")
	f.StringVar(&t.jsonFile, "json", "", "write all results to `file` as JSON")
	f.StringVar(&t.profile, "profile", "", "also write a CPU profile of the gateway, with few clients that all talk, to `file`")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if *quick {
		t.rounds, t.duration, t.fraction = 1, time.Second, 5
	}
	if t.rounds < 1 {
		return nil, errors.New("-rounds must be at least 1")
	}
	return t, nil
}

// run measures all ways round after round, and then how many goroutines waiting takes. Who goes first
// moves on with the rounds, so that what drifts hits all alike.
func (t *backendTrial) run(ctx context.Context, p *progress, stderr io.Writer) (*backendReport, error) {
	address, stop, err := startBackend(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	t.address = address
	p.phase("looking at what the gateway sends")
	if t.event, err = observe(ctx, t.dir); err != nil {
		return nil, fmt.Errorf("what the gateway sends: %w", err)
	}
	ways := t.ways()
	r := newBackendReport(thisMachine(ctx), t, ways)
	for round := range t.rounds {
		for i := range ways {
			n := (i + round) % len(ways)
			p.prefix = fmt.Sprintf("round %d of %d, %s: ", round+1, t.rounds, ways[n].name)
			one, err := ways[n].measure(ctx, p)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				p.clear()
				fmt.Fprintf(stderr, "%s: %v\n", ways[n].name, err)
				r.missing(n, err)
				continue
			}
			r.add(n, one)
		}
	}
	p.prefix = ""
	if r.Waiting, err = t.waiting(ctx, p); err != nil {
		p.clear()
		fmt.Fprintf(stderr, "clients that wait for a backend: %v\n", err)
	}
	if t.profile != "" {
		if err := t.writeProfile(ctx, p); err != nil {
			p.clear()
			fmt.Fprintf(stderr, "profile: %v\n", err)
		}
	}
	return r, ctx.Err()
}
