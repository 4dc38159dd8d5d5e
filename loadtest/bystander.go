package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// A bystanding measures what clients that do their worst do to one who only wants an echo.
type bystanding struct {
	rounds   int
	duration time.Duration
	gateways []gatewayBinary
	inputs   []input
	strong   int // strangers at a time
	jsonFile string
}

// A gatewayBinary is a build of the gateway, by what the table calls it.
type gatewayBinary struct{ name, path string }

// measureBystander is the bystander command: the p99 of a few clients' echoes, alone and beside each
// of the worst inputs that are known, and what a byte of those costs the gateway.
func measureBystander(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	b, against, err := parseBystanding(args, stderr)
	if err != nil {
		return err
	}
	p := newProgress(stderr)
	defer p.clear()
	p.phase("building")
	sluiceOnly, err := chosen(contenders(), sluice)
	if err != nil {
		return err
	}
	dir, err := build(ctx, sluiceOnly, []mode{{name: "bystander"}}, stderr)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.gateways = []gatewayBinary{{sluice, filepath.Join(dir, sluice)}}
	if against != "" {
		b.gateways = append(b.gateways, gatewayBinary{"against", against})
	}
	r, err := b.run(ctx, dir, p)
	if err != nil {
		return err
	}
	p.clear()
	if b.jsonFile != "" {
		err = saveJSON(r, b.jsonFile)
	}
	return errors.Join(r.writeMarkdown(stdout), err)
}

func parseBystanding(args []string, stderr io.Writer) (b *bystanding, against string, err error) {
	b = &bystanding{}
	f := flag.NewFlagSet("loadtest bystander", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&b.rounds, "rounds", 3, "`number` of times that everything is measured, in turn")
	f.DurationVar(&b.duration, "duration", 2*time.Second, "`time` of one measurement")
	f.IntVar(&b.strong, "strangers", 4, "`number` of clients that send the input at a time")
	wanted := f.String("inputs", names(inputs()), "comma-separated `inputs`")
	f.StringVar(&against, "against", "", "also measure this other build of the gateway, a `file`, interleaved")
	f.StringVar(&b.jsonFile, "json", "", "write all results to `file` as JSON")
	if err := f.Parse(args); err != nil {
		return nil, "", err
	}
	if f.NArg() > 0 {
		return nil, "", fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if b.rounds < 1 || b.strong < 1 {
		return nil, "", errors.New("-rounds and -strangers must be at least 1")
	}
	b.inputs, err = chosen(inputs(), *wanted)
	return b, against, err
}

// run measures round after round, each input on each gateway, a fresh process every time.
func (b *bystanding) run(ctx context.Context, dir string, p *progress) (*bystanderReport, error) {
	report := newBystanderReport(thisMachine(ctx), b)
	for round := range b.rounds {
		for i, in := range append([]input{nobody}, b.inputs...) {
			for j := range b.gateways {
				g := (j + round) % len(b.gateways)
				p.prefix = fmt.Sprintf("round %d of %d, %s, %s: ", round+1, b.rounds, b.gateways[g].name, in.name)
				one, err := b.measure(ctx, dir, b.gateways[g], in, p)
				if err != nil {
					return nil, fmt.Errorf("%s beside %s: %w", b.gateways[g].name, in.name, err)
				}
				report.add(i, g, one)
			}
		}
	}
	return report, nil
}

// These are the bystander: few and slow, so that what they wait for is the gateway's other work.
const (
	bystanders   = 8
	bystanderAsk = 500 // echoes a second, by plan
)

// measure lets strangers send in to a fresh gateway while the bystanders' echoes are timed.
func (b *bystanding) measure(ctx context.Context, dir string, g gatewayBinary, in input, p *progress) (*Result, error) {
	s, err := startSite(ctx, dir, g)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	t, err := newTarget(s.url, nil, defaultSources)
	if err != nil {
		return nil, err
	}
	set := settings{url: s.url, sources: defaultSources, processes: 2, // away from the strangers' process
		conns: bystanders, active: bystanders, parallel: bystanders, size: 128, rate: bystanderAsk,
		warmup: b.duration / 4, duration: b.duration}
	c, err := newCrew(t, set.processes, set.workerArgs())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	m := &measurement{set, "bystander", c, server{[]int{s.cmd.Process.Pid}}, p}

	sending, stop := context.WithCancel(ctx)
	defer stop()
	var strangers sync.WaitGroup
	defer strangers.Wait()
	defer stop()
	var sent atomic.Int64
	if in.send != nil {
		for n := range b.strong {
			strangers.Go(func() { in.keepSending(sending, s, n, &sent) })
		}
	}
	var before int64
	r, err := m.talkAround(ctx, func() { before = sent.Load() })
	if err != nil {
		return nil, err
	}
	r.Server = g.name
	r.AttackBytes = sent.Load() - before
	return r, nil
}

// talkAround is echo with a word when the warming up is over.
func (m *measurement) talkAround(ctx context.Context, begins func()) (*Result, error) {
	if _, err := m.connect(ctx, m.conns, 0); err != nil {
		return nil, err
	}
	o := order{Do: doEcho, Active: m.active, Size: m.size, Rate: m.rate, For: m.warmup}
	if _, err := m.crew.do(ctx, o); err != nil {
		return nil, err
	}
	begins()
	o.For = m.duration
	t, cpu, err := m.during(func() (*tally, error) { return m.crew.do(ctx, o) })
	if err != nil {
		return nil, err
	}
	if t.Done == 0 {
		return nil, fmt.Errorf("not one echo in %v: %w", m.duration, t.trouble())
	}
	r := m.result("echo", t, cpu)
	r.LatencyOf = "round trip"
	return r, nil
}

// A site is a gateway as strangers find it.
type site struct {
	*process
	address string
}

// deflated is the path of the hub that compresses.
const deflated = "deflated"

// siteKey opens the data plane of a site.
const siteKey = "bystander-api-key-0000000"

// startSite runs a gateway with an echo hub, and another that compresses, until stop.
func startSite(ctx context.Context, dir string, g gatewayBinary) (*site, error) {
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "bystander.yaml")
	yaml := fmt.Sprintf(`listen: %s
admin: {listen: "off"}
log: {level: error}
api_keys: [%s]
hubs:
  default: {paths: ["/"], anonymous: true, upstream: {url: "echo:"}}
  %s: {paths: ["/%[3]s"], anonymous: true, deflate: true, upstream: {url: "echo:"}}
`, listen, siteKey, deflated)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	p, err := launch(ctx, exec.CommandContext(ctx, g.path, "-config", file), listen, nil)
	if err != nil {
		return nil, fmt.Errorf("the gateway %w", err)
	}
	return &site{p, listen}, nil
}
