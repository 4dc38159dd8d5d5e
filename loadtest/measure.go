package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// A mode is one kind of load.
type mode struct {
	name, what string
	defaults   settings
	run        func(*measurement, context.Context) (*Result, error)
}

func modes() []mode {
	return []mode{
		{"idle", "memory of a connection that says nothing",
			settings{from: 6000, conns: 18000, parallel: 256}, (*measurement).idle},
		{"handshake", "processor time of an upgrade",
			settings{conns: 4000, parallel: 128}, (*measurement).handshake},
		{"echo", "processor time and latency of a message, all connections talking",
			settings{conns: 1000, parallel: 256, size: 128}, (*measurement).echo},
		{"sparse", "the same, with one connection in a hundred talking",
			settings{conns: 10000, active: 100, parallel: 256, size: 128}, (*measurement).echo},
		{"broadcast", "processor time of a recipient, and time until the last has it",
			settings{conns: 5000, parallel: 256, size: 128}, (*measurement).broadcast},
		{"ping", "processor time of a ping and its pong",
			settings{conns: 10000, parallel: 256}, (*measurement).ping},
		{"churn", "clients that connect, talk and leave",
			settings{parallel: 64, size: 128}, (*measurement).churn},
		{"storm", "all clients lose their connection at once and come back",
			settings{conns: 10000}, (*measurement).storm},
	}
}

// A measurement is one mode on one server.
type measurement struct {
	settings
	mode     string
	crew     crew
	server   server
	progress *progress
}

// measure puts the mode's load on the server and returns what it cost.
func measure(ctx context.Context, m mode, s settings, p *progress) (*Result, error) {
	defer p.clear()
	t, err := newTarget(s.url, s.headers, s.sources)
	if err != nil {
		return nil, err
	}
	srv := server{s.pids.ids}
	if len(srv.pids) == 0 && !s.pids.none {
		if srv, err = findServer(t.address); err != nil {
			return nil, fmt.Errorf("%w (-pid none measures without the server's own figures)", err)
		}
	}
	c, err := newCrew(t, s.processes, s.workerArgs())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if s.active == 0 {
		s.active = s.conns
	}
	return m.run(&measurement{s, m.name, c, srv, p}, ctx)
}

// connect opens n connections, at a planned rate if it is not 0, and fails unless all were accepted.
func (m *measurement) connect(ctx context.Context, n int, rate float64) (*tally, error) {
	m.progress.phase("%s: %d connections", m.mode, n)
	t, err := m.crew.do(ctx, order{Do: doConnect, Conns: n, Parallel: m.parallel, Rate: rate})
	if err != nil {
		return nil, err
	}
	if t.Done < int64(n) {
		return nil, fmt.Errorf("only %d of %d connections were accepted: %w", t.Done, n, t.trouble())
	}
	return t, nil
}

// during returns what f's load counted, and the processor time that the server used meanwhile.
func (m *measurement) during(f func() (*tally, error)) (*tally, time.Duration, error) {
	before, err := m.server.cpu()
	if err != nil {
		return nil, 0, err
	}
	t, err := f()
	if err != nil {
		return nil, 0, err
	}
	after, err := m.server.cpu()
	return t, after - before, err
}

// quiet waits until the server has nothing left to do, at most two seconds, answering its pings.
func (m *measurement) quiet(ctx context.Context) error {
	const pause, idle = 20 * time.Millisecond, 500 * time.Microsecond
	for range 100 {
		_, cpu, err := m.during(func() (*tally, error) {
			return m.crew.do(ctx, order{Do: doHold, For: pause})
		})
		if err != nil || cpu < idle {
			return err
		}
	}
	return nil
}

// settled returns the server's and the kernel's memory when it does not shrink any more.
func (m *measurement) settled(ctx context.Context) (user, kernel int64, err error) {
	const (
		pause  = 200 * time.Millisecond
		steady = 32 << 10
	)
	m.progress.phase("%s: waiting for memory to settle", m.mode)
	if wait, err := time.ParseDuration(m.settle); err == nil {
		if _, err := m.crew.do(ctx, order{Do: doHold, For: wait}); err != nil {
			return 0, 0, err
		}
	}
	for last, same := int64(0), 0; same < 2; {
		if err := m.collect(ctx); err != nil {
			return 0, 0, err
		}
		if _, err := m.crew.do(ctx, order{Do: doHold, For: pause}); err != nil {
			return 0, 0, err
		}
		if user, err = m.server.memory(); err != nil {
			return 0, 0, err
		}
		if same++; max(user-last, last-user) > steady {
			same = 0
		}
		last = user
	}
	kernel, err = kernelMemory()
	return user, kernel, err
}

// collect makes the server collect its garbage, if it was said how.
func (m *measurement) collect(ctx context.Context) error {
	if _, err := time.ParseDuration(m.settle); err == nil || m.settle == "" {
		return nil
	}
	if m.settle == "usr1" {
		for _, pid := range m.server.pids {
			if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
				return err
			}
		}
		return nil
	}
	return request(ctx, http.MethodGet, m.settle, nil, "")
}

// request makes an HTTP request of which only the success matters.
func request(ctx context.Context, method, url string, headers []string, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Set(name, strings.TrimSpace(value))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	return nil
}

func (m *measurement) result(unit string, t *tally, cpu time.Duration) *Result {
	r := &Result{
		Mode:        m.mode,
		Connections: m.conns,
		Size:        m.size,
		Rate:        m.rate,
		Unit:        unit,
	}
	r.fill(t, cpu, len(m.crew))
	return r
}
