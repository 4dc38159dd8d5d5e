package metrics

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// everything calls each method that the way of a frame or a session has.
func everything(l *Loop, h *Hub) {
	l.Inc(AcceptedConnections)
	l.Inc(Panics)
	l.Inc(Panics)
	l.Pinged(h)
	l.Gauge(SendQueueBytes, 100)
	l.Opened(h)
	l.Closed(h, 1001, ReasonDrain, time.Minute)
	l.Received(h, 128)
	l.Sent(h, 128)
	l.ReceivedBytes(h, 136)
	l.SentBytes(h, 130)
	l.SlowConsumer(h)
	l.Handshake(nil, ResultOK, time.Millisecond)
	l.ProtocolError(0)
	l.RateLimited(h, ScopeControl)
	l.Dropped(h, DropClosing, 1)
	l.PingRTT(time.Millisecond)
	l.LoopLag(time.Millisecond)
	l.AcceptError("EMFILE")
	l.Delivered(time.Millisecond)
	l.Publish()
}

func TestCountingAllocatesNothing(t *testing.T) {
	s := New(Options{Loops: 1})
	hub := s.Hub("added later")
	l := s.Loop(0)
	if n := testing.AllocsPerRun(100, func() { everything(l, hub) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCountingAnUpstreamAllocatesNothing(t *testing.T) {
	s := New(Options{Loops: 1})
	u := upstreamOf(s, "h")
	if n := testing.AllocsPerRun(100, func() { request(u) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// request is an event that was delivered at the second attempt.
func request(u *Upstream) {
	u.Began()
	u.Waiting(1)
	u.Waiting(-1)
	u.Trying()
	u.Attempt(time.Millisecond, false, TraceID{})
	u.Retry()
	u.Trying()
	u.Attempt(time.Millisecond, true, TraceID{})
	u.Done(EventMessage, OutcomeOK, 500*time.Millisecond, TraceID{})
}

func TestUpstreamCountsExactlyAmongGoroutines(t *testing.T) {
	const workers, rounds = 4, 2000
	s := New(Options{Loops: 1})
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				request(upstreamOf(s, "h"))
			}
		})
	}
	wg.Wait()
	mustShow(t, scrape(t, s),
		fmt.Sprintf(`sluice_upstream_requests_total{event="message",hub="h",outcome="ok"} %d`, workers*rounds),
		fmt.Sprintf(`sluice_upstream_attempts_total{hub="h",result="failed"} %d`, workers*rounds),
		fmt.Sprintf(`sluice_upstream_request_duration_seconds_sum{hub="h"} %d`, workers*rounds/2),
		`sluice_upstream_in_flight{hub="h"} 0`,
		`sluice_upstream_waiting{hub="h"} 0`)
}

func TestScrapesRunBesideCountingLoopsAndNewHubs(t *testing.T) {
	const loops, rounds = 3, 300
	s := New(Options{Loops: loops})
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s)
	ctx, cancel := context.WithCancel(t.Context())
	var counting, scraping sync.WaitGroup
	for i := range loops {
		counting.Go(func() {
			for n := range rounds {
				everything(s.Loop(i), s.Hub(fmt.Sprint("hub", n%5)))
			}
		})
	}
	scraping.Go(func() { gatherMonotone(ctx, t, reg) })
	counting.Wait()
	cancel()
	scraping.Wait()
	mustShow(t, scrape(t, s),
		fmt.Sprintf(`sluice_connections_accepted_total %d`, loops*rounds),
		fmt.Sprintf(`sluice_messages_received_total{hub="hub4"} %d`, loops*rounds/5))
}

// gatherMonotone gathers until ctx ends. The accepted connections, which only
// grow, must never be seen to shrink.
func gatherMonotone(ctx context.Context, t *testing.T, g prometheus.Gatherer) {
	last := 0.0
	for ctx.Err() == nil {
		families, err := g.Gather()
		if err != nil {
			t.Error(err)
			return
		}
		for _, f := range families {
			if f.GetName() != "sluice_connections_accepted_total" {
				continue
			}
			now := f.GetMetric()[0].GetCounter().GetValue()
			if now < last {
				t.Errorf("the counter went from %v to %v", last, now)
			}
			last = now
		}
	}
}

func TestLoopThatNeverPublishesDoesNotHoldUpTheScrape(t *testing.T) {
	s := New(Options{Loops: 2})
	stuck := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		s.Loop(0).Inc(AcceptedConnections)
		<-stuck // in the middle of its tick
		s.Loop(0).Publish()
	})
	s.Loop(1).Inc(AcceptedConnections)
	s.Loop(1).Publish()
	mustShow(t, scrape(t, s), `sluice_connections_accepted_total 1`)
	close(stuck)
	wg.Wait()
	mustShow(t, scrape(t, s), `sluice_connections_accepted_total 2`)
}

func TestFailedProbeIsNoFurtherOpening(t *testing.T) {
	s := New(Options{Loops: 1})
	u := upstreamOf(s, "h")
	for _, state := range []State{StateOpen, StateHalfOpen, StateOpen, StateHalfOpen, StateClosed, StateOpen, StateHalfOpen} {
		u.BreakerState(state)
	}
	mustShow(t, scrape(t, s),
		`sluice_upstream_breaker_state{hub="h"} 1`,
		`sluice_upstream_breaker_opened_total{hub="h"} 2`)
}

func TestKindsThatWereNotAnnouncedAreCountedAsOther(t *testing.T) {
	s := New(Options{Loops: 1, ProtocolErrorKinds: []string{"mask", "other", "mask", "utf8"}})
	l := s.Loop(0)
	for _, kind := range []string{"mask", "utf8", "utf8", "other", "surprise"} {
		l.ProtocolError(s.KindIndex(kind))
	}
	l.Publish()
	mustShow(t, scrape(t, s),
		`sluice_protocol_errors_total{kind="mask"} 1`,
		`sluice_protocol_errors_total{kind="utf8"} 2`,
		`sluice_protocol_errors_total{kind="other"} 2`)
}

func BenchmarkReceived(b *testing.B) {
	s := New(Options{Loops: 1})
	l, hub := s.Loop(0), s.Hub("h")
	b.ReportAllocs()
	for b.Loop() {
		l.Received(hub, 128)
	}
}

// BenchmarkMessage is all that an echoed message counts.
func BenchmarkMessage(b *testing.B) {
	s := New(Options{Loops: 1})
	l, hub := s.Loop(0), s.Hub("h")
	b.ReportAllocs()
	for b.Loop() {
		l.ReceivedBytes(hub, 136)
		l.Received(hub, 128)
		l.Sent(hub, 128)
		l.SentBytes(hub, 130)
	}
}

func BenchmarkPublish(b *testing.B) {
	s := New(Options{Loops: 1})
	l, hub := s.Loop(0), s.Hub("h")
	b.ReportAllocs()
	for b.Loop() {
		l.Received(hub, 128)
		l.Publish()
	}
}

func BenchmarkScrape(b *testing.B) {
	for _, hubs := range []int{1, 100} {
		b.Run(fmt.Sprintf("hubs=%d", hubs), func(b *testing.B) {
			s := New(Options{Loops: 2})
			for i := range hubs {
				s.Hub(fmt.Sprint("hub", i))
			}
			reg := prometheus.NewRegistry()
			reg.MustRegister(s)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := reg.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
