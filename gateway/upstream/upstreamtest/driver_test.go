package upstreamtest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"sluice/gateway/config"
	"sluice/gateway/upstream"
	"sluice/gateway/upstream/upstreamtest"
	"sluice/metrics"
	"sluice/netpoll/netpolltest"
	"sluice/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is what happens to an upstream, and what its backend does.
type script struct {
	first, second config.Upstream // in force from the beginning, and from moved on
	moved         time.Duration
	events        []scripted
}

// scripted is an event, and what becomes of its attempts; there are no more of
// them.
type scripted struct {
	at    time.Duration
	typ   upstream.Type
	takes []time.Duration
	fails []*upstream.Failure
}

// write makes up a script. Nothing in it happens at the same moment as
// something else, and pauses between attempts are the backend's: those of the
// schedule are shorter, and left to chance.
func write(seed uint64) (s script) {
	r := rand.New(rand.NewPCG(seed, 0))
	upTo := func(d time.Duration) time.Duration { return 1 + time.Duration(r.Int64N(int64(d))) }
	for _, u := range []*config.Upstream{&s.first, &s.second} {
		*u = config.DefaultUpstream("test:")
		u.InFlight, u.Waiting, u.Farewells = 1+r.IntN(4), 1+r.IntN(20), 1+r.IntN(10)
		u.RepeatUnanswered = r.IntN(2) == 0
		u.Breaker.Attempts = 3 + r.IntN(20)
	}
	at := time.Duration(0)
	failing := r.IntN(90)
	for range 80 {
		at += upTo(300 * time.Millisecond)
		e := scripted{at: at, typ: []upstream.Type{upstream.Connect, upstream.Connected, upstream.Message, upstream.Disconnected}[r.IntN(4)]}
		for range 40 {
			e.takes = append(e.takes, upTo(7*time.Second)/time.Duration(1+r.IntN(20)))
			f := &upstream.Failure{Kind: upstream.Kind(r.IntN(3)), Broken: r.IntN(2) == 0, After: 2*time.Second + upTo(2*time.Second), Err: errors.New("as the script has it")}
			if r.IntN(100) >= failing {
				f = nil
			}
			e.fails = append(e.fails, f)
		}
		s.events = append(s.events, e)
	}
	s.moved = upTo(at)
	return s
}

// late is a failure for want of time.
var late = &upstream.Failure{Kind: upstream.Unanswered, After: 3 * time.Second, Err: context.DeadlineExceeded}

// observed are the attempts and answers that were seen, each at its time.
type observed struct {
	now  func() time.Duration
	mu   sync.Mutex
	seen []observation
}

type observation struct {
	at   time.Duration
	what string
}

func (o *observed) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, observation{o.now(), fmt.Sprintf(format, args...)})
}

func (o *observed) Reply(to session.Ref, r upstream.Reply) { o.answer(to, r) }

func (o *observed) answer(to session.Ref, r upstream.Reply) {
	status := 0
	if r.Verdict != nil {
		status = r.Verdict.Status
	}
	o.note("event %d is answered: %v, %d, %d", to.Slot, r.Outcome, r.Close.Code, status)
}

// send hands the nth event over.
func (o *observed) send(u upstream.Upstream, s *script, n int) {
	ev := &upstream.Event{Type: s.events[n].typ, Name: "message", From: session.Ref{Slot: uint32(n)}, Op: ws.OpText, Data: []byte("hello")}
	if r, inline := u.Send(ev, o); inline {
		o.answer(ev.From, r)
	}
}

func optionsOf(c config.Upstream) upstream.Options {
	return upstream.Options{Hub: "chat", Config: c, Budget: session.NewBudget(1 << 20), Metrics: metrics.NewUpstream(), Log: slog.New(slog.DiscardHandler)}
}

// onWorkers plays s on a Dispatcher.
func onWorkers(t *testing.T, s *script) (seen []observation) {
	synctest.Test(t, func(*testing.T) {
		began := time.Now()
		o := &observed{now: func() time.Duration { return time.Since(began) }}
		make := func(name string, c config.Upstream) *upstream.Dispatcher {
			return upstream.NewDispatcher(attempts(func(ctx context.Context, c *upstream.Call) (upstream.Reply, error) {
				o.note("%s: attempt %d of event %d", name, c.Attempt, c.From.Slot)
				e := &s.events[c.From.Slot]
				select {
				case <-ctx.Done():
					return upstream.Reply{}, late
				case <-time.After(e.takes[c.Attempt-1]):
				}
				if f := e.fails[c.Attempt-1]; f != nil {
					return upstream.Reply{}, f
				}
				return upstream.Reply{}, nil
			}), optionsOf(c))
		}
		first, second := make("first", s.first), make("second", s.second)
		now := first
		for n, e := range s.events {
			if now == first && e.at > s.moved {
				time.Sleep(s.moved - time.Since(began))
				first.MoveTo(second)
				now = second
			}
			time.Sleep(e.at - time.Since(began))
			o.send(now, s, n)
			synctest.Wait()
		}
		time.Sleep(time.Nanosecond)
		var closing sync.WaitGroup
		closing.Go(func() { first.Close(context.Background()) })
		closing.Go(func() { second.Close(context.Background()) })
		closing.Wait()
		seen = o.seen
	})
	return seen
}

// attempts is a Protocol.
type attempts func(context.Context, *upstream.Call) (upstream.Reply, error)

func (a attempts) Attempt(ctx context.Context, c *upstream.Call) (upstream.Reply, error) {
	return a(ctx, c)
}
func (attempts) Close() {}

// onOneGoroutine plays s on Drivers.
func onOneGoroutine(t *testing.T, s *script, seed uint64) []observation {
	w := netpolltest.New(seed)
	o := &observed{now: w.Now}
	make := func(name string, c config.Upstream) *upstreamtest.Driver {
		return upstreamtest.New(optionsOf(c), w, w.Rand(), func(c *upstream.Call, until time.Duration, done func(upstream.Reply, *upstream.Failure)) {
			o.note("%s: attempt %d of event %d", name, c.Attempt, c.From.Slot)
			e := &s.events[c.From.Slot]
			takes, f := e.takes[c.Attempt-1], e.fails[c.Attempt-1]
			if takes >= until-w.Now() {
				takes, f = until-w.Now(), late
			}
			w.After(takes, func() { done(upstream.Reply{}, f) })
		})
	}
	first, second := make("first", s.first), make("second", s.second)
	first.Patience, second.Patience = time.Hour, time.Hour
	now := first
	w.After(s.moved, func() {
		first.MoveTo(second)
		now = second
	})
	for n, e := range s.events {
		w.After(e.at, func() { o.send(now, s, n) })
	}
	w.After(s.events[len(s.events)-1].at+1, func() {
		first.Close(t.Context())
		second.Close(t.Context())
	})
	for range 1_000_000 {
		if !w.Step() {
			break
		}
	}
	if !first.Drained() || !second.Drained() {
		t.Error("the drivers are not drained")
	}
	return o.seen
}

// TestBothDriversDoTheSame: what workers do with a lock and timers, one goroutine
// does without.
func TestBothDriversDoTheSame(t *testing.T) {
	again, moved := 0, 0
	for seed := range uint64(200) {
		s := write(seed)
		a, b := sorted(onWorkers(t, &s)), sorted(onOneGoroutine(t, &s, seed))
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				t.Fatalf("seed %d: the workers see %v, one goroutine sees %v", seed, a[i:min(i+3, len(a))], b[i:min(i+3, len(b))])
			}
			if strings.Contains(a[i].what, "attempt 2 ") {
				again++
			}
			if strings.HasPrefix(a[i].what, "second: ") {
				moved++
			}
		}
	}
	if again < 1000 || moved < 1000 {
		t.Errorf("only %d events are attempted again, and %d attempts are made after the move", again, moved)
	}
}

func sorted(seen []observation) []observation {
	slices.SortFunc(seen, func(a, b observation) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.what, b.what)) })
	return seen
}
