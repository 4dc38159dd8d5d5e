package upstream

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/metrics"
)

// send hands ev over, which must not be answered at once.
func send(t *testing.T, d *Dispatcher, ev *Event, late Sink) {
	t.Helper()
	if r, inline := d.Send(ev, late); inline {
		t.Fatalf("answered at once: %+v", r)
	}
}

// closeAll closes d once it has delivered everything.
func closeAll(t *testing.T, d *Dispatcher) {
	t.Helper()
	if lost := d.Close(context.Background()); lost != 0 {
		t.Errorf("%d events were lost", lost)
	}
	if used := d.o.Budget.Used(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}

func TestAnswerGoesToTheSessionThatAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
			return Reply{Send: delivery.Send{Op: c.Op, Data: append([]byte("re: "), c.Data...)}}, nil
		}), options().Options)
		var l loop
		for i := range 3 {
			send(t, d, message(i, fmt.Sprint("m", i)), &l)
			synctest.Wait()
		}
		closeAll(t, d)
		for i, a := range l.got() {
			if a.to.Slot != uint32(i) || string(a.Send.Data) != fmt.Sprint("re: m", i) || a.Send.Op != ws.OpText || a.Outcome != metrics.OutcomeOK {
				t.Errorf("answer %d: %+v", i, a)
			}
		}
		if n := len(l.got()); n != 3 {
			t.Errorf("%d answers", n)
		}
	})
}

func TestTraitsAreTheListedEvents(t *testing.T) {
	for list, want := range map[string]Type{
		"connect connected disconnected *": Connect | Connected | Disconnected | Message,
		"connect":                          Connect,
		"disconnected chat":                Disconnected | Message,
		"":                                 0,
	} {
		d := NewDispatcher(newBackend(taken), options(func(u *config.Upstream) { u.Events = strings.Fields(list) }).Options)
		if got := d.Traits(); got.Events != want || got.Inline {
			t.Errorf("%q: %+v, want %b", list, got, want)
		}
		closeAll(t, d)
	}
}

func TestMessagesThatNobodyListensToAreTaken(t *testing.T) {
	o := options(func(u *config.Upstream) { u.Events = []string{"connect", "chat"} })
	b := newBackend(func(_ context.Context, c *Call) (Reply, error) {
		if c.Name != "chat" {
			t.Errorf("a message %q arrived", c.Name)
		}
		return Reply{}, nil
	})
	d := NewDispatcher(b, o.Options)
	var l loop
	for _, name := range []string{"message", "connect"} { // which as the name of a message is not listed
		ev := message(1, "x")
		ev.Name = name
		if r, inline := d.Send(ev, &l); !inline || r.Close.Code != 0 || r.Outcome != metrics.OutcomeOK {
			t.Errorf("%q: %+v, inline %v", name, r, inline)
		}
	}
	ev := message(2, "x")
	ev.Name = "chat"
	send(t, d, ev, &l)
	closeAll(t, d)
	if n := len(l.got()); n != 1 {
		t.Errorf("%d answers", n)
	}
	o.mustCount(t, 1, "requests_total")
}

func TestPayloadIsCopiedAndCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		answer := make(chan struct{})
		d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
			<-answer
			if string(c.Data) != "hello" {
				t.Errorf("arrived as %q", c.Data)
			}
			return Reply{}, nil
		}), o.Options)
		var l loop
		ev := message(1, "hello")
		send(t, d, ev, &l)
		copy(ev.Data, "_____") // it belongs to the loop again
		synctest.Wait()
		if used := o.Budget.Used(); used != 5 {
			t.Errorf("%d bytes charged, want 5", used)
		}
		close(answer)
		synctest.Wait()
		if used := o.Budget.Used(); used != 0 {
			t.Errorf("%d bytes charged behind the answer", used)
		}
		closeAll(t, d)
	})
}

func TestWithoutMemoryEventsAreTurnedAway(t *testing.T) {
	o := options()
	o.Budget.SetLimit(3)
	d := NewDispatcher(newBackend(taken), o.Options)
	r, inline := d.Send(message(1, "four"), nil)
	if !inline || r.Close.Code != tryAgainLater || r.Outcome != metrics.OutcomeOverloaded {
		t.Errorf("%+v, inline %v", r, inline)
	}
	closeAll(t, d)
	o.mustCount(t, 1, "requests_total")
}

func TestAttemptsAtATimeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const inFlight, sends = 3, 50
		var now, most atomic.Int32
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			most.Store(max(most.Load(), now.Add(1))) // in a bubble, at the same moment
			time.Sleep(time.Second)
			now.Add(-1)
			return Reply{}, nil
		}), options(func(u *config.Upstream) { u.InFlight = inFlight; u.Budget *= 10 }).Options)
		var l loop
		began := time.Now()
		for i := range sends {
			send(t, d, message(i, "x"), &l)
		}
		closeAll(t, d)
		if most.Load() != inFlight {
			t.Errorf("%d attempts at a time, want %d", most.Load(), inFlight)
		}
		if took, want := time.Since(began), (sends+inFlight-1)/inFlight*time.Second; took != want {
			t.Errorf("took %v, want %v: workers were idle", took, want)
		}
	})
}

func TestWaitingEventsHaveNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const inFlight = 4
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			time.Sleep(time.Millisecond)
			return Reply{}, nil
		}), options(func(u *config.Upstream) { u.InFlight = inFlight }).Options)
		var l loop
		before := goroutines()
		for i := range 1000 {
			send(t, d, message(i, "x"), &l)
		}
		synctest.Wait()
		if n := goroutines() - before; n != inFlight {
			t.Errorf("%d goroutines for 1,000 events, want %d", n, inFlight)
		}
		closeAll(t, d)
	})
}

func TestIdleWorkersGoHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			time.Sleep(time.Millisecond)
			return Reply{}, nil
		}), options().Options)
		before := goroutines()
		var l loop
		for i := range 64 {
			send(t, d, message(i, "x"), &l)
		}
		for range 4 { // one is enough from now on
			time.Sleep(shift)
			send(t, d, message(1, "x"), &l)
		}
		if n := goroutines() - before; n != 1 {
			t.Errorf("%d workers stay, want 1", n)
		}
		time.Sleep(2*shift + time.Second)
		synctest.Wait()
		if n := goroutines() - before; n != 0 {
			t.Errorf("%d workers stay with nothing to do", n)
		}
		closeAll(t, d)
	})
}

func TestWorkersThatWereCalledStay(t *testing.T) {
	var c crew
	all := []worker{make(worker), make(worker), make(worker)}
	for _, w := range all {
		c.rest(w, 0)
	}
	if home := c.dismiss(shift); len(home) != 0 {
		t.Errorf("%d go home in the shift in which they came", len(home))
	}
	if w := c.call(); w != all[2] {
		t.Error("the one that was busy last is not called first")
	}
	c.rest(all[2], shift)
	if home := c.dismiss(2*shift - 1); len(home) != 0 {
		t.Errorf("%d go home before the shift ends", len(home))
	}
	if home := c.dismiss(2 * shift); !slices.Equal(home, all[:2]) || c.call() != all[2] {
		t.Errorf("%d go home, want the two that had nothing to do", len(home))
	}
}

func TestQueueGivesItsMemoryBack(t *testing.T) {
	q := queue{metrics: new(metrics.Upstream)}
	for range 100_000 {
		p := new(Pending)
		p.allow(0, time.Second, time.Second)
		q.add(p)
	}
	for !q.empty() {
		q.take()
	}
	if n := cap(q.agenda); n > keptAgenda {
		t.Errorf("room for %d is kept", n)
	}
}

// A loop that hands an event over does not wait until thousands are given up
// whose timer is late; nor are they forgotten.
func TestLateEventsAreGivenUpAFewAtATime(t *testing.T) {
	o := options(func(u *config.Upstream) { u.InFlight = 1 })
	s := NewSchedule(&o.Options, process{})
	add := func(now time.Duration) (p, next *Pending) {
		p = &Pending{Call: Call{Event: *message(1, "")}}
		p.allow(now, 15*time.Second, time.Second)
		next, _ = s.Add(p, now)
		return p, next
	}
	const late = 1000
	held, _ := add(0)
	for range late {
		add(0)
	}
	now := 15 * time.Second
	s.Ended(held, nil, now)
	if s.Begin(now) != nil {
		t.Error("an event was begun whose budget is used up")
	}
	left := 0
	for p := s.queue.lanes[clients].first; p != nil; p = p.next {
		left++
	}
	if left < late-mostWeeded {
		t.Errorf("%d were looked at in one call", late-left)
	}
	if s.Next() > now {
		t.Errorf("the schedule wants to be called at %v", s.Next())
	}
	over := 0
	for more := true; more; {
		var some []*Pending
		some, more = s.Due(now, make([]*Pending, 0, 64))
		over += len(some)
	}
	if p, next := add(now); over != late || next != p {
		t.Errorf("%d are given up, and the next is %v", over, next)
	}
}

func TestEventsWaitInTheOrderTheyCame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		types := rapid.SliceOfN(rapid.SampledFrom([]Type{Connect, Connected, Message, Disconnected}), 1, 40).Draw(rt, "types")
		var seen [lanes][]uint32
		synctest.Test(t, func(t *testing.T) {
			d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
				l := laneOf(c.Type)
				seen[l] = append(seen[l], c.From.Slot)
				time.Sleep(time.Millisecond)
				return Reply{}, nil
			}), options(func(u *config.Upstream) { u.InFlight = 1 }).Options)
			var l loop
			for i, typ := range types {
				ev := message(i, "x")
				ev.Type = typ
				send(t, d, ev, &l)
			}
			closeAll(t, d)
		})
		for _, order := range seen {
			if !slices.IsSorted(order) {
				rt.Errorf("order %v", order)
			}
		}
		if n := len(seen[clients]) + len(seen[farewells]); n != len(types) {
			rt.Errorf("%d of %d arrived", n, len(types))
		}
	})
}

func laneOf(t Type) lane {
	if t == Disconnected {
		return farewells
	}
	return clients
}

func TestFarewellsAndMessagesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order strings.Builder
		b := newBackend(func(_ context.Context, c *Call) (Reply, error) {
			order.WriteByte("mf"[laneOf(c.Type)])
			time.Sleep(time.Millisecond)
			return Reply{}, nil
		})
		d := NewDispatcher(b, options(func(u *config.Upstream) { u.InFlight = 1 }).Options)
		var l loop
		for i := range 6 {
			send(t, d, event(Disconnected, i), &l)
		}
		for i := range 3 {
			send(t, d, message(10+i, "x"), &l)
		}
		time.Sleep(time.Second)
		closeAll(t, d)
		if got := order.String(); got != "fmfmfmfff" {
			t.Errorf("order %s", got)
		}
	})
}

func TestFullQueueTurnsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(func(u *config.Upstream) { u.InFlight, u.Waiting, u.Farewells = 1, 2, 1 })
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			time.Sleep(time.Second)
			return Reply{}, nil
		}), o.Options)
		var l loop
		send(t, d, message(0, "at its attempt"), &l)
		send(t, d, message(1, "waits"), &l)
		send(t, d, event(Connected, 2), &l)
		for _, c := range []struct {
			ev   *Event
			want ws.StatusCode
		}{
			{message(3, "x"), tryAgainLater},
			{event(Connected, 3), tryAgainLater}, // it would never be told of this session
		} {
			if r, inline := d.Send(c.ev, &l); !inline || r.Close.Code != c.want || r.Outcome != metrics.OutcomeOverloaded {
				t.Errorf("%v: %+v, inline %v", c.ev.Type, r, inline)
			}
		}
		if r, inline := d.Send(event(Connect, 4), &l); !inline || r.Verdict == nil || r.Verdict.Status != http.StatusServiceUnavailable {
			t.Errorf("connect: %+v, inline %v", r, inline)
		}
		o.mustCount(t, 0, "lost_total")
		send(t, d, event(Disconnected, 5), &l) // has a bound of its own
		d.Send(event(Disconnected, 6), &l)
		o.mustCount(t, 1, "lost_total")
		o.mustCount(t, 2, "waiting")
		closeAll(t, d)
		o.mustCount(t, 8, "requests_total")
		o.mustCount(t, 0, "waiting")
		o.mustCount(t, 0, "in_flight")
		if n := len(l.got()); n != 3 {
			t.Errorf("%d late answers, want 3: those to farewells are not wanted", n)
		}
	})
}

func TestEventThatNeedNotWaitIsTakenBesideAFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(func(u *config.Upstream) { u.InFlight, u.Waiting = 4, 1 })
		d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
			if c.From.Slot < 4 && c.Attempt == 1 {
				return Reply{}, &Failure{Kind: Unsent, After: time.Second, Err: context.Canceled}
			}
			return Reply{}, nil
		}), o.Options)
		var l loop
		for i := range 4 {
			send(t, d, message(i, "x"), &l)
		}
		synctest.Wait()
		o.mustCount(t, 4, "waiting") // for their second attempts
		send(t, d, message(4, "x"), &l)
		synctest.Wait()
		if n := len(l.got()); n != 1 {
			t.Errorf("%d answers", n)
		}
		o.mustCount(t, 4, "waiting")
		closeAll(t, d)
		o.mustCount(t, 5, "requests_total", "ok")
	})
}

func TestPanicOfAProtocolIsARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) { panic("oops") }), options().Options)
		var l loop
		send(t, d, message(1, "x"), &l)
		closeAll(t, d)
		if a := l.got(); len(a) != 1 || a[0].Close.Code != ws.StatusInternalServerError || a[0].Outcome != metrics.OutcomeRefused {
			t.Errorf("answers %+v", a)
		}
	})
}

func TestIDsAreUniqueAndPlain(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		id := newID(process{})
		if len(id) != 26 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuv") != "" || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

func TestManyLoopsSendAtOnce(t *testing.T) {
	const loops, sessions, rounds = 4, 50, 20
	o := options(func(u *config.Upstream) { u.InFlight = 8 })
	d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
		if c.From.Slot%5 == 0 && c.Attempt == 1 {
			return Reply{}, failure(Unsent)
		}
		return Reply{Send: delivery.Send{Data: c.Data}}, nil
	}), o.Options)
	var senders sync.WaitGroup
	for range loops {
		senders.Go(func() {
			answers := make(answered, sessions)
			for i := range sessions {
				d.Send(message(i, "x"), answers)
			}
			for range sessions * (rounds - 1) {
				<-answers
				d.Send(message(1, "x"), answers)
			}
			for range sessions {
				<-answers
			}
		})
	}
	senders.Wait()
	closeAll(t, d)
	o.mustCount(t, loops*sessions*rounds, "requests_total")
}
