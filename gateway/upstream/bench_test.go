package upstream

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sluice/metrics"
	"sluice/session"
)

// answered passes on that there was an answer.
type answered chan Reply

func (a answered) Reply(_ session.Ref, r Reply) { a <- r }

// BenchmarkDispatch is the way of a message through the dispatcher and back
// without a network, with so many under way.
func BenchmarkDispatch(b *testing.B) {
	for name, under := range map[string]int{"inflight=1": 1, "inflight=64": 64} {
		b.Run(name, func(b *testing.B) { dispatch(b, under, taken) })
	}
}

// BenchmarkDispatchDeep has attempts that need 8 KiB of stack, as a client of
// HTTP does.
func BenchmarkDispatchDeep(b *testing.B) {
	dispatch(b, 1, func(context.Context, *Call) (Reply, error) {
		use(24)
		return Reply{}, nil
	})
}

func dispatch(b *testing.B, under int, attempt func(context.Context, *Call) (Reply, error)) {
	d := NewDispatcher(newBackend(attempt), options().Options)
	answers := make(answered, under)
	ev := message(1, "0123456789abcdef")
	for range under {
		d.Send(ev, answers)
	}
	b.ReportAllocs()
	for b.Loop() {
		<-answers
		if _, inline := d.Send(ev, answers); inline {
			b.Fatal("answered at once")
		}
	}
	d.Close(b.Context())
}

//go:noinline
func use(n int) byte {
	var frame [256]byte
	if n > 0 {
		frame[n] = use(n - 1)
	}
	return frame[n]
}

// TestDispatchAllocatesLittle: the copy of the payload, the id, and what
// context.WithDeadline takes.
func TestDispatchAllocatesLittle(t *testing.T) {
	d := NewDispatcher(newBackend(taken), options().Options)
	answers := make(answered, 1)
	ev := message(1, "0123456789abcdef")
	n := testing.AllocsPerRun(200, func() {
		d.Send(ev, answers)
		<-answers
	})
	d.Close(t.Context())
	if n > 7 {
		t.Errorf("%v allocations", n)
	}
}

// TestScheduleAllocatesNothing: an event comes, fails, waits, is attempted again
// and answered.
func TestScheduleAllocatesNothing(t *testing.T) {
	o := options(patient)
	s := NewSchedule(&o.Options, process{})
	p, f, now := new(Pending), failure(Unsent), time.Duration(0)
	n := testing.AllocsPerRun(200, func() {
		*p = Pending{Call: Call{Event: Event{Type: Message}}}
		p.allow(now, 15*time.Second, 5*time.Second)
		s.Add(p, now)
		s.Ended(p, f, now)
		now = s.Next()
		s.Due(now, make([]*Pending, 0, 4))
		if s.Begin(now) != p || s.Ended(p, nil, now).Fate != Over {
			t.Fatal("it was not attempted again")
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkQueue is what the lock is held for: one event comes and one gets its
// turn, with so many that wait.
func BenchmarkQueue(b *testing.B) {
	for _, waiting := range []int{1, 100_000} {
		b.Run(fmt.Sprint("waiting=", waiting), func(b *testing.B) {
			q := queue{metrics: new(metrics.Upstream)}
			now := time.Duration(0)
			for range waiting {
				now++
				p := &Pending{Call: Call{Event: Event{Type: Message}}}
				p.allow(now, 15*time.Second, 5*time.Second)
				q.add(p)
			}
			b.ReportAllocs()
			for b.Loop() {
				now++
				p := q.take()
				p.allow(now, 15*time.Second, 5*time.Second)
				q.add(p)
			}
		})
	}
}
