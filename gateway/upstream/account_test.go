package upstream

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/gateway/config"
	"sluice/metrics"
)

// plan is what happens to one event of the test below.
type plan struct {
	typ   Type
	gap   time.Duration   // since the event before
	kinds []Kind          // how its attempts fail, one by one; then it is taken
	takes []time.Duration // each attempt
	after time.Duration
}

func plans() *rapid.Generator[[]plan] {
	ms := func(most int) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.IntRange(0, most), func(n int) time.Duration { return time.Duration(n) * time.Millisecond })
	}
	one := rapid.Custom(func(t *rapid.T) plan {
		n := rapid.IntRange(0, 6).Draw(t, "failures")
		return plan{
			typ:   rapid.SampledFrom([]Type{Connect, Connected, Message, Message, Disconnected}).Draw(t, "type"),
			gap:   ms(60).Draw(t, "gap"),
			kinds: rapid.SliceOfN(rapid.SampledFrom([]Kind{Unsent, Unsent, Unanswered, Refused}), n, n).Draw(t, "kinds"),
			takes: rapid.SliceOfN(ms(700), n+1, n+1).Draw(t, "takes"),
			after: ms(300).Draw(t, "after"),
		}
	})
	return rapid.SliceOfN(one, 1, 60)
}

// TestEveryEventIsAccountedFor: whatever the upstream does, and whenever the
// dispatcher is closed, each event is answered exactly once, all counts add up,
// and nothing stays behind.
func TestEveryEventIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := plans().Draw(rt, "events")
		inFlight := rapid.IntRange(1, 5).Draw(rt, "in flight")
		o := options(func(u *config.Upstream) {
			u.InFlight = inFlight
			u.Waiting = rapid.IntRange(1, 20).Draw(rt, "waiting")
			u.Farewells = rapid.IntRange(1, 5).Draw(rt, "farewells")
			u.Timeout, u.Budget, u.ConnectBudget = 500e6, 1500e6, 800e6
			u.RepeatUnanswered = rapid.Bool().Draw(rt, "repeat")
			u.Breaker = config.Breaker{
				Window: 1e9, Attempts: rapid.IntRange(2, 10).Draw(rt, "attempts"),
				Failures: rapid.IntRange(20, 100).Draw(rt, "percent"), Probe: 100e6,
			}
		})
		o.Budget.SetLimit(int64(rapid.IntRange(10, 200).Draw(rt, "memory")))
		patience := time.Duration(rapid.IntRange(0, 8000).Draw(rt, "patience")) * time.Millisecond

		var wrong error
		synctest.Test(t, func(t *testing.T) { wrong = account(t, o, events, patience) })
		if wrong != nil {
			rt.Fatal(wrong)
		}
	})
}

// account runs events through a dispatcher and returns what is wrong.
func account(t *testing.T, o counted, events []plan, patience time.Duration) error {
	var running, most, delivered atomic.Int64
	d := NewDispatcher(newBackend(func(ctx context.Context, c *Call) (Reply, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		p := events[c.From.Slot]
		n := min(c.Attempt, len(p.takes)) - 1
		select {
		case <-ctx.Done():
			return Reply{}, failure(Unanswered)
		case <-time.After(p.takes[n]):
		}
		if n < len(p.kinds) {
			return Reply{}, &Failure{Kind: p.kinds[n], After: p.after, Err: context.Canceled}
		}
		if c.Type == Disconnected {
			delivered.Add(1)
		}
		return Reply{}, nil
	}), o.Options)

	var late loop
	answers := make(map[uint32]int)
	outcomes := make(map[metrics.Outcome]int)
	said := 0
	for i, p := range events {
		time.Sleep(p.gap)
		ev := message(i, "ten bytes.")
		ev.Type = p.typ
		if r, inline := d.Send(ev, &late); inline {
			answers[uint32(i)]++
			outcomes[r.Outcome]++
			said++
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lost := d.Close(ctx)

	for _, a := range late.got() {
		answers[a.to.Slot]++
		outcomes[a.Outcome]++
		if events[a.to.Slot].typ == Disconnected {
			return fmt.Errorf("farewell %d was answered", a.to.Slot)
		}
	}
	farewells := 0.0
	for i, p := range events {
		if n := answers[uint32(i)]; p.typ != Disconnected && n != 1 {
			return fmt.Errorf("event %d (%v) has %d answers", i, p.typ, n)
		}
		if p.typ == Disconnected {
			farewells++
		}
	}
	refused := o.count(t, "requests_total", "disconnected", "refused")
	gone := o.count(t, "lost_total")
	canceled := o.count(t, "requests_total", "canceled")
	switch {
	case o.count(t, "requests_total") != float64(len(events)):
		return fmt.Errorf("%v events are counted, of %d", o.count(t, "requests_total"), len(events))
	case float64(delivered.Load())+refused+gone != farewells:
		return fmt.Errorf("%d farewells delivered, %v refused and %v lost, of %v", delivered.Load(), refused, gone, farewells)
	case canceled != float64(lost):
		return fmt.Errorf("%v counted as canceled, Close says %d", canceled, lost)
	case most.Load() > int64(o.Config.InFlight):
		return fmt.Errorf("%d attempts at a time, of %d", most.Load(), o.Config.InFlight)
	case o.Budget.Used() != 0:
		return fmt.Errorf("%d bytes are still charged", o.Budget.Used())
	case o.count(t, "in_flight") != 0 || o.count(t, "waiting") != 0:
		return fmt.Errorf("%v in flight and %v waiting at the end", o.count(t, "in_flight"), o.count(t, "waiting"))
	}
	for outcome := range outcomes {
		if o.count(t, "requests_total", outcome.String()) < float64(outcomes[outcome]) {
			return fmt.Errorf("%v is counted less often than it was answered", outcome)
		}
	}
	return nil
}
