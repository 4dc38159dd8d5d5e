package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"
)

// A way is one by which messages, or newcomers, get to the backend.
type way struct {
	name    string
	measure func(context.Context, *progress) (*Result, error)
}

const (
	inFlight  = 64                 // the gateway's requests at a time, as it is by default
	accessKey = "0123456789abcdef" // a secret to nobody

	messageSize = 128
)

// ways are what is measured. The first is what the others are compared with.
func (t *backendTrial) ways() []way {
	url := "http://" + t.address + eventsPath
	messages := hub{upstream: url, event: "*"}
	signed := hub{upstream: url, event: "*", key: accessKey}
	newcomers := hub{upstream: url, event: "connect"}
	few := t.talking(inFlight, inFlight)
	all := t.talking(1000/t.fraction, 1000/t.fraction)
	rare := t.talking(10000/t.fraction, max(100/t.fraction, 1))
	return []way{
		{"POST by net/http, 64 at a time", t.byBareClient(netHTTP)},
		{"POST by fasthttp's HostClient, 64 at a time", t.byBareClient(hostClient)},
		{"message, " + few.who(), t.byGateway(messages, "echo", few, (*gateway).messages)},
		{"message, " + few.who() + ", signed", t.byGateway(signed, "echo", few, (*gateway).messages)},
		{"message, " + all.who(), t.byGateway(messages, "echo", all, (*gateway).messages)},
		{"message, " + rare.who(), t.byGateway(messages, "echo", rare, (*gateway).messages)},
		{"handshake with its connect event", t.byGateway(newcomers, "handshake", t.coming(4000/t.fraction), (*gateway).handshakes)},
	}
}

// talking is the load of so many clients, of which some send one message after the other.
func (t *backendTrial) talking(conns, active int) settings {
	return settings{conns: conns, active: active, parallel: 256, size: messageSize, warmup: t.duration / 4, duration: t.duration}
}

// coming is the load of so many newcomers a round.
func (t *backendTrial) coming(conns int) settings {
	return settings{conns: conns, parallel: 128, duration: t.duration}
}

func (s settings) who() string { return fmt.Sprintf("%d of %d clients talk", s.active, s.conns) }

// byBareClient measures the POST that the gateway makes, made by a client that does nothing else, in a
// process of its own.
func (t *backendTrial) byBareClient(library string) func(context.Context, *progress) (*Result, error) {
	return func(ctx context.Context, p *progress) (*Result, error) {
		p.phase("posting for %v", t.duration)
		cmd, err := childCommand(ctx, backendClientMode, "-library", library, "-address", t.address,
			"-conns", strconv.Itoa(inFlight), "-warmup", (t.duration / 4).String(), "-duration", t.duration.String())
		if err != nil {
			return nil, err
		}
		in, err := json.Marshal(t.event)
		if err != nil {
			return nil, err
		}
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.Output()
		if err != nil {
			return nil, err
		}
		r := new(Result)
		return r, json.Unmarshal(out, r)
	}
}

// byGateway does something with a gateway that is started for it, and with so many clients.
func (t *backendTrial) byGateway(h hub, name string, s settings,
	run func(*gateway, context.Context, *measurement) (*Result, error)) func(context.Context, *progress) (*Result, error) {
	return func(ctx context.Context, p *progress) (*Result, error) {
		p.phase("starting")
		g, err := startGateway(ctx, t.dir, h)
		if err != nil {
			return nil, err
		}
		defer g.stop()
		load := s
		load.url, load.pids.ids = g.url, []int{g.cmd.Process.Pid}
		load.sources, load.processes = defaultSources, 1
		return measure(ctx, mode{name: name, run: func(m *measurement, ctx context.Context) (*Result, error) {
			return run(g, ctx, m)
		}}, load, p)
	}
}

// messages measures messages. Goroutines are counted behind that, so that counting is not measured.
func (g *gateway) messages(ctx context.Context, m *measurement) (*Result, error) {
	r, err := m.echo(ctx)
	if err != nil {
		return nil, err
	}
	return r, meanwhile(ctx, m, func(ctx context.Context) error {
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		return g.census(ctx, r)
	})
}

func (g *gateway) handshakes(ctx context.Context, m *measurement) (*Result, error) {
	return m.handshake(ctx)
}

// Waiting says what clients take that wait for a backend which does not answer.
type Waiting struct {
	Clients    int `json:"clients"`
	InFlight   int `json:"in_flight"` // requests that the gateway makes at a time
	Before     int `json:"before"`    // goroutines when they were connected and had sent nothing
	Goroutines int `json:"goroutines"`
	Threads    int `json:"threads"`
}

// waiting counts the gateway's goroutines while the messages of all clients wait.
func (t *backendTrial) waiting(ctx context.Context, p *progress) (*Waiting, error) {
	n := 5000 / t.fraction
	w := &Waiting{Clients: n, InFlight: inFlight}
	h := hub{upstream: "http://" + t.address + silencePath, event: "*"}
	_, err := t.byGateway(h, "waiting", t.talking(n, n), func(g *gateway, ctx context.Context, m *measurement) (*Result, error) {
		if _, err := m.connect(ctx, n, 0); err != nil {
			return nil, err
		}
		r := new(Result)
		if err := g.census(ctx, r); err != nil {
			return nil, err
		}
		w.Before = r.Goroutines
		err := meanwhile(ctx, m, func(ctx context.Context) error {
			if err := g.awaitEvents(ctx, n); err != nil {
				return err
			}
			return g.census(ctx, r)
		})
		w.Goroutines, w.Threads = r.Goroutines, r.Threads
		return r, err
	})(ctx, p)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// awaitEvents returns when the gateway has n events that are not answered.
func (g *gateway) awaitEvents(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		have, err := g.unanswered(ctx)
		if err != nil || have == n {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d events wait: %w", have, n, err)
		}
	}
}

// writeProfile writes where the gateway's processor time goes with few clients that all talk.
func (t *backendTrial) writeProfile(ctx context.Context, p *progress) error {
	h := hub{upstream: "http://" + t.address + eventsPath, event: "*"}
	s := t.talking(inFlight, inFlight)
	_, err := t.byGateway(h, "profile", s, func(g *gateway, ctx context.Context, m *measurement) (*Result, error) {
		if _, err := m.connect(ctx, m.conns, 0); err != nil {
			return nil, err
		}
		return nil, meanwhile(ctx, m, func(ctx context.Context) error {
			p.phase("profiling for 10s")
			b, err := g.ask(ctx, "/debug/pprof/profile?seconds=10")
			if err != nil {
				return err
			}
			return os.WriteFile(t.profile, b, 0o644)
		})
	})(ctx, p)
	return err
}
