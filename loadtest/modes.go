package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// idle reads the server's memory at two numbers of connections, and once more when all of them have
// talked. Before the first reading they talk, too, so that what talking costs the server once and for
// all is in every reading.
func (m *measurement) idle(ctx context.Context) (*Result, error) {
	if m.from <= 0 || m.from >= m.conns {
		return nil, fmt.Errorf("-from %d must be below -conns %d", m.from, m.conns)
	}
	if len(m.server.pids) == 0 {
		return nil, errors.New("without the server's process there is no memory to read")
	}
	t, err := m.connect(ctx, m.from, 0)
	if err != nil {
		return nil, err
	}
	if err := m.allTalk(ctx, m.from); err != nil {
		return nil, err
	}
	user, kernel, err := m.settled(ctx)
	if err != nil {
		return nil, err
	}
	more, err := m.connect(ctx, m.conns-m.from, 0)
	if err != nil {
		return nil, err
	}
	t.add(more)
	user2, kernel2, err := m.settled(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.allTalk(ctx, m.conns); err != nil {
		return nil, err
	}
	user3, _, err := m.settled(ctx)
	if err != nil {
		return nil, err
	}
	n := float64(m.conns - m.from)
	return &Result{
		Mode:        m.mode,
		Connections: m.conns,
		Unit:        "connection",
		Seconds:     t.Wall.Seconds(),
		Memory: &Memory{
			From: m.from, To: m.conns,
			User:   float64(user2-user) / n,
			Talked: float64(user3-user) / n,
			Kernel: float64(kernel2-kernel) / n,
		},
		Errors:    t.Errors,
		Generator: Generator{Processes: len(m.crew)},
	}, nil
}

// allTalk lets each of n connections have a message answered, and usually many. None is empty, which
// not every server echoes.
func (m *measurement) allTalk(ctx context.Context, n int) error {
	m.progress.phase("idle: %d connections talk for %v", n, m.duration)
	t, err := m.crew.do(ctx, order{Do: doEcho, Active: n, Size: max(m.size, 1), For: m.duration})
	if err != nil {
		return err
	}
	if t.Done < int64(n) {
		return fmt.Errorf("%d connections had only %d answers: %w", n, t.Done, t.trouble())
	}
	return nil
}

// handshake opens rounds of connections, and ends them outside of what it measures.
func (m *measurement) handshake(ctx context.Context) (*Result, error) {
	sum, used := newTally(), time.Duration(0)
	for warm := false; sum.Wall < m.duration; warm = true {
		t, cpu, err := m.during(func() (*tally, error) {
			t, err := m.connect(ctx, m.conns, m.rate)
			if err != nil {
				return nil, err
			}
			return t, m.quiet(ctx) // with the garbage that these handshakes left
		})
		if err != nil {
			return nil, err
		}
		if _, err := m.crew.do(ctx, order{Do: doDrop}); err != nil {
			return nil, err
		}
		if err := m.quiet(ctx); err != nil {
			return nil, err
		}
		if warm {
			sum.add(t)
			used += cpu
		}
	}
	r := m.result("handshake", sum, used)
	r.LatencyOf = "connect to 101"
	return r, nil
}

func (m *measurement) echo(ctx context.Context) (*Result, error) {
	return m.talk(ctx, "message", order{Do: doEcho, Active: m.active, Size: m.size, Rate: m.rate})
}

func (m *measurement) ping(ctx context.Context) (*Result, error) {
	if m.client {
		return m.talk(ctx, "ping", order{Do: doPing, Active: m.active, Size: min(m.size, 125), Rate: m.rate})
	}
	return m.talk(ctx, "ping", order{Do: doHold})
}

// talk holds the connections and measures while they carry out the order.
func (m *measurement) talk(ctx context.Context, unit string, o order) (*Result, error) {
	if _, err := m.connect(ctx, m.conns, 0); err != nil {
		return nil, err
	}
	m.progress.phase("%s: warming up", m.mode)
	o.For = m.warmup
	if t, err := m.crew.do(ctx, o); err != nil || len(t.Errors) > 0 {
		return nil, fmt.Errorf("warming up: %w", errors.Join(err, t.trouble()))
	}
	m.progress.phase("%s: measuring for %v", m.mode, m.duration)
	o.For = m.duration
	t, cpu, err := m.during(func() (*tally, error) { return m.crew.do(ctx, o) })
	if err != nil {
		return nil, err
	}
	if t.Done == 0 {
		return nil, fmt.Errorf("not one %s in %v: %w", unit, m.duration, t.trouble())
	}
	r := m.result(unit, t, cpu)
	r.Active = o.Active
	r.LatencyOf = "round trip"
	return r, nil
}

// broadcast pushes one message after the other to all connections.
func (m *measurement) broadcast(ctx context.Context) (*Result, error) {
	if _, err := m.connect(ctx, m.conns, 0); err != nil {
		return nil, err
	}
	m.progress.phase("broadcast: warming up")
	// A client has its 101 a moment before the server counts it among those it pushes to.
	if err := m.quiet(ctx); err != nil {
		return nil, err
	}
	if _, err := m.pushOnce(ctx); err != nil {
		return nil, err
	}
	m.progress.phase("broadcast: measuring for %v", m.duration)
	t, cpu, err := m.during(func() (*tally, error) { return m.pushFor(ctx, m.duration) })
	if err != nil {
		return nil, err
	}
	r := m.result("recipient", t, cpu)
	r.LatencyOf = "push to last recipient"
	return r, nil
}

// pushFor pushes for a time; the latency of the sum is from each push to its last recipient.
func (m *measurement) pushFor(ctx context.Context, d time.Duration) (*tally, error) {
	sum := newTally()
	for sum.Wall < d {
		t, err := m.pushOnce(ctx)
		if err != nil {
			return nil, err
		}
		t.Latency.record(t.Last - t.Sent)
		sum.add(t)
	}
	return sum, nil
}

func (m *measurement) pushOnce(ctx context.Context) (*tally, error) {
	if m.pushURL == "" {
		t, err := m.crew.do(ctx, order{Do: doAwait, Size: m.size, Say: fmt.Sprintf("%s %d", m.push, m.size)})
		return t, everybody(t, err, m.conns)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	at, posted := newClock().now(), make(chan error, 1)
	go m.post(ctx, cancel, posted)
	t, err := m.crew.do(ctx, order{Do: doAwait, Size: m.size})
	if failed := <-posted; failed != nil {
		return nil, failed
	}
	t.Sent = at
	return t, everybody(t, err, m.conns)
}

// post makes the server push, and ends the waiting for it if it cannot.
func (m *measurement) post(ctx context.Context, cancel context.CancelFunc, posted chan<- error) {
	err := request(ctx, http.MethodPost, m.pushURL, m.pushHeaders, strings.Repeat("b", m.size))
	if err != nil {
		cancel()
	}
	posted <- err
}

// everybody says whether all n recipients were reached.
func everybody(t *tally, err error, n int) error {
	if err == nil && t.Done < int64(n) {
		return fmt.Errorf("a push reached only %d of %d: %w", t.Done, n, t.trouble())
	}
	return err
}

func (m *measurement) churn(ctx context.Context) (*Result, error) {
	o := order{Do: doVisit, Size: m.size, Parallel: m.parallel, Rate: m.rate, For: m.warmup}
	m.progress.phase("churn: warming up")
	if _, err := m.crew.do(ctx, o); err != nil {
		return nil, err
	}
	m.progress.phase("churn: measuring for %v", m.duration)
	o.For = m.duration
	t, cpu, err := m.during(func() (*tally, error) { return m.crew.do(ctx, o) })
	if err != nil {
		return nil, err
	}
	if t.Done == 0 {
		return nil, fmt.Errorf("not one visit in %v: %w", m.duration, t.trouble())
	}
	r := m.result("visit", t, cpu)
	r.LatencyOf = "connect to close"
	return r, nil
}

func (m *measurement) storm(ctx context.Context) (*Result, error) {
	if _, err := m.connect(ctx, m.conns, 0); err != nil {
		return nil, err
	}
	if err := m.quiet(ctx); err != nil {
		return nil, err
	}
	m.progress.phase("storm: %d come back", m.conns)
	t, cpu, err := m.during(func() (*tally, error) {
		return m.crew.do(ctx, order{Do: doReturn, Parallel: m.parallel, Rate: m.rate})
	})
	if err != nil {
		return nil, err
	}
	r := m.result("return", t, cpu)
	r.LatencyOf = "loss to being back"
	return r, nil
}
