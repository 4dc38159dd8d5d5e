package upstream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sluice/gateway/config"
	"sluice/metrics"
)

func TestCloseDeliversWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(patient, func(u *config.Upstream) { u.InFlight = 2 })
		b := newBackend(func(_ context.Context, c *Call) (Reply, error) {
			time.Sleep(10 * time.Millisecond)
			if c.Attempt == 1 {
				return Reply{}, failure(Unsent)
			}
			return Reply{}, nil
		})
		d := NewDispatcher(b, o.Options)
		var l loop
		for i := range 20 {
			send(t, d, event([]Type{Connected, Disconnected}[i%2], i), &l)
		}
		closeAll(t, d)
		<-b.closed
		o.mustCount(t, 20, "requests_total", "ok")
		if n := len(l.got()); n != 10 {
			t.Errorf("%d answers", n)
		}
	})
}

func TestCloseDeliversFarewellsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 20
		o := options(func(u *config.Upstream) { u.InFlight = 1 })
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			time.Sleep(10 * time.Millisecond)
			return Reply{}, nil
		}), o.Options)
		var l loop
		for i := range each {
			send(t, d, message(i, "x"), &l)
		}
		for i := range each {
			send(t, d, event(Disconnected, each+i), &l)
		}
		ctx, cancel := context.WithTimeout(t.Context(), (each+1)*10*time.Millisecond+time.Millisecond)
		defer cancel()
		lost := d.Close(ctx)
		o.mustCount(t, each, "requests_total", "disconnected", "ok")
		o.mustCount(t, 0, "lost_total")
		// One was under way before the farewells came, and one is when the time is up.
		o.mustCount(t, float64(lost), "requests_total", "message", "canceled")
		if lost < each-2 {
			t.Errorf("%d were given up, want the messages", lost)
		}
		if used := o.Budget.Used(); used != 0 {
			t.Errorf("%d bytes are still charged", used)
		}
	})
}

func TestCloseGivesUpWhenItsTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(patient, func(u *config.Upstream) { u.InFlight = 3 })
		b := newBackend(func(ctx context.Context, c *Call) (Reply, error) {
			if c.From.Slot%4 == 3 {
				return Reply{}, failure(Unsent) // waits for its next attempt
			}
			<-ctx.Done() // hangs
			return Reply{}, failure(Unanswered)
		})
		d := NewDispatcher(b, o.Options)
		var l loop
		for i := range 40 {
			send(t, d, message(i, "payload"), &l)
		}
		for i := range 10 {
			send(t, d, event(Disconnected, 100+i), &l)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if lost := d.Close(ctx); lost != 50 {
			t.Errorf("%d were given up, want all", lost)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("closed behind %v", took)
		}
		<-b.closed
		for _, a := range l.got() {
			if a.Close.Code != tryAgainLater || a.Outcome != metrics.OutcomeCanceled {
				t.Errorf("answer %+v", a)
			}
		}
		if n := len(l.got()); n != 40 {
			t.Errorf("%d answers, want one for each message", n)
		}
		o.mustCount(t, 50, "requests_total", "canceled")
		o.mustCount(t, 10, "lost_total", "disconnected")
		o.mustCount(t, 0, "in_flight")
		o.mustCount(t, 0, "waiting")
		if used := o.Budget.Used(); used != 0 {
			t.Errorf("%d bytes are still charged", used)
		}
	})
}

func TestNothingIsTakenBehindClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		d := NewDispatcher(newBackend(taken), o.Options)
		closeAll(t, d)
		closeAll(t, d) // again, which must return
		var l loop
		if r, inline := d.Send(message(1, "x"), &l); !inline || r.Close.Code != tryAgainLater || r.Outcome != metrics.OutcomeCanceled {
			t.Errorf("%+v, inline %v", r, inline)
		}
		if _, inline := d.Send(event(Disconnected, 1), &l); !inline {
			t.Error("a farewell was taken")
		}
		o.mustCount(t, 1, "lost_total", "disconnected")
		mustBeSilent(t, &l)
		if used := o.Budget.Used(); used != 0 {
			t.Errorf("%d bytes are still charged", used)
		}
	})
}
