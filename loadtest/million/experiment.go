package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// plan is what scales with the number of connections.
type plan struct {
	conns    int
	marks    []int         // numbers of connections at which memory is read, ascending
	quiet    time.Duration // heartbeat interval at first
	beat     time.Duration // heartbeat interval later, at least
	drain    time.Duration // how long closing them is spread over
	patience time.Duration // how long nothing may happen while somebody waits for it
}

func newPlan(conns int) plan {
	// each is something that takes so long for one connection, and little of it at least.
	each := func(d time.Duration, least time.Duration) time.Duration { return least + time.Duration(conns)*d }
	p := plan{
		conns: conns,
		// Nobody is pinged before half of it is over, and by then all have connected and talked.
		quiet: each(900*time.Microsecond, 20*time.Second),
		// A ping and its pong take 0.35 ms, of both processes: at twice that they have time.
		beat:  each(700*time.Microsecond, 5*time.Second),
		drain: each(300*time.Microsecond, 5*time.Second),
	}
	p.patience = p.quiet
	for _, mark := range []int{referenceFrom, referenceTo} {
		if mark < conns {
			p.marks = append(p.marks, mark)
		}
	}
	const readings = 10
	for i := range readings {
		p.marks = append(p.marks, (i+1)*conns/readings)
	}
	slices.Sort(p.marks)
	p.marks = slices.Compact(p.marks)
	if p.marks[0] == 0 {
		p.marks = p.marks[1:]
	}
	return p
}

// ample is a deadline that no machine misses for being slow, or for standing still now and then.
const ample = time.Hour

// pingsEach is how many pings of each client are measured.
const pingsEach = 2

// trial is an experiment under way.
type trial struct {
	plan     plan
	gateway  *gateway
	clients  *clients
	report   report
	round    time.Duration // that a message and its echo on each connection took
	progress func(format string, args ...any)
}

// experiment starts the gateway and goes through all stages.
func experiment(ctx context.Context, p plan, progress func(string, ...any)) (*report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, err := startGateway(ctx, "/"+gatewayProgram, configuration(p), "/sluice.yaml")
	if err != nil {
		return nil, err
	}
	c, err := newClients(loopback(int(clientPort)))
	if err != nil {
		return nil, err
	}
	t := &trial{plan: p, gateway: g, clients: c, progress: progress}
	for _, step := range []func() error{t.connect, t.exchange, t.load, t.broadcast, t.heartbeats, t.drain} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	t.report.Lost, t.report.Why = c.lost, c.why
	t.report.Machine, err = machine()
	return &t.report, err
}

func (t *trial) connect() error {
	if err := t.sample("before"); err != nil {
		return err
	}
	s := stage{Name: "connect"}
	for _, mark := range t.plan.marks {
		err := t.time(&s, func() error { return t.clients.connect(mark, t.plan.patience) })
		if err != nil {
			return err
		}
		t.progress("%d connected after %.0f s", t.clients.open, s.Wall.Seconds())
		if err := t.sample(""); err != nil {
			return err
		}
	}
	s.Ops = t.clients.open
	t.report.Stages = append(t.report.Stages, s)
	return nil
}

func (t *trial) exchange() error {
	err := t.stage("message and echo", func() (int, error) { return t.clients.exchange(t.plan.patience) })
	if err != nil {
		return err
	}
	t.round = t.report.Stages[len(t.report.Stages)-1].Wall
	return nil
}

// load reads memory while the gateway echoes.
func (t *trial) load() error {
	var s sample
	echoed, err := t.clients.load(func() (err error) {
		s, err = t.read(t.gateway.spare) // as it is: whoever serves does not collect garbage for a reading
		return err
	}, t.plan.patience)
	if err != nil {
		return fmt.Errorf("echo load: %w", err)
	}
	t.progress("%.1f MiB resident under echo load, %d messages", mib(s.Resident), echoed)
	t.add("under echo load", s)
	return nil
}

func (t *trial) broadcast() error {
	return t.stage("broadcast", func() (int, error) { return t.clients.broadcast(t.gateway.push, t.plan.patience) })
}

func (t *trial) heartbeats() error {
	// Pings and pongs are four times the work of messages and echoes, for which fewer processes are woken:
	// a slow machine gets longer, and one that gets slow as well.
	beat := max(t.plan.beat, 8*t.round)
	if err := t.gateway.beat(beat); err != nil {
		return err
	}
	late := func(behind time.Duration) error {
		if behind <= beat/8 || beat >= ample {
			return nil
		}
		beat *= 2
		t.progress("the clients are %.1f s behind: heartbeats every %v", behind.Seconds(), beat.Round(100*time.Millisecond))
		return t.gateway.beat(beat)
	}
	// By its first ping from now on a client has come to the shorter interval.
	if _, err := t.clients.heartbeats(1, late, max(t.plan.patience, beat)); err != nil {
		return err
	}
	t.progress("heartbeats every %v", beat.Round(100*time.Millisecond))
	err := t.stage("ping and pong", func() (int, error) { return t.clients.heartbeats(pingsEach, late, max(t.plan.patience, beat)) })
	if err != nil {
		return err
	}
	return t.sample("after messages and pings")
}

// drain takes the gateway out of service. Its exit status says whether connections were cut off. Nobody is
// asked for a sign of life any more: a pong that is late behind many Close frames is no fault.
func (t *trial) drain() error {
	err := t.clients.beside(func() error { return t.gateway.calm(t.plan.patience) }, t.plan.patience)
	if err != nil {
		return err
	}
	err = t.stage("drain", func() (int, error) {
		if err := t.gateway.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return 0, err
		}
		return t.clients.part(t.plan.patience)
	})
	if err != nil {
		return err
	}
	return t.gateway.cmd.Wait()
}

// stage adds what do, which returns the number of operations, takes to the report.
func (t *trial) stage(name string, do func() (int, error)) error {
	s := stage{Name: name}
	err := t.time(&s, func() (err error) {
		s.Ops, err = do()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	t.progress("%s: %d in %.0f s", s.Name, s.Ops, s.Wall.Seconds())
	t.report.Stages = append(t.report.Stages, s)
	return nil
}

// time adds what do takes to s.
func (t *trial) time(s *stage, do func() error) error {
	start := time.Now()
	used, err := t.gateway.cpu()
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	now, err := t.gateway.cpu()
	if err != nil {
		return err
	}
	s.Wall += time.Since(start)
	s.CPU += now - used
	return nil
}

// sample adds a reading of memory after a garbage collection to the report.
func (t *trial) sample(when string) error {
	var s sample
	err := t.clients.beside(func() (err error) {
		s, err = t.read(t.gateway.collect)
		return err
	}, t.plan.patience)
	if err != nil {
		return err
	}
	t.add(when, s)
	return nil
}

// read takes a reading of memory after spare, which says how much of it the gateway's Go runtime has free.
func (t *trial) read(spare func() (int64, error)) (s sample, err error) {
	free, err := spare()
	if err != nil {
		return sample{}, err
	}
	s, err = takeSample(t.gateway.cmd.Process.Pid)
	s.Spare = free
	return s, err
}

// add adds a reading to the report.
func (t *trial) add(when string, s sample) {
	s.When, s.Conns = when, t.clients.open
	t.report.Samples = append(t.report.Samples, s)
}
