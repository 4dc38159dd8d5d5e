package upstream

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"sluice/gateway/config"
)

func TestReachedBoundsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(func(u *config.Upstream) { u.InFlight, u.Waiting, u.Farewells = 1, 2, 1 })
		answer := make(chan struct{})
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			<-answer
			return Reply{}, nil
		}), o.Options)
		var l loop
		for i := range 5 { // one is attempted, two wait
			d.Send(message(i, "x"), &l)
		}
		for i := range 4 { // one waits
			d.Send(event(Disconnected, i), &l)
		}
		o.Budget.SetLimit(3)
		d.Send(message(9, "four"), &l)
		synctest.Wait()
		o.mustCount(t, 1, "attempts_in_flight")
		o.mustCount(t, 2, "waiting")
		o.mustCount(t, 1, "farewells")
		o.mustCount(t, 1, "limit", "in_flight")
		o.mustCount(t, 2, "limit", "waiting")
		o.mustCount(t, 1, "limit", "farewells")
		o.mustCount(t, 2, "limit_reached_total", "waiting")
		o.mustCount(t, 3, "limit_reached_total", "farewells")
		o.mustCount(t, 1, "limit_reached_total", "memory")
		close(answer)
		closeAll(t, d)
		o.mustCount(t, 0, "attempts_in_flight")
		o.mustCount(t, 0, "waiting")
		o.mustCount(t, 0, "farewells")
	})
}

func TestAnswerOverTheLimitIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
			if c.From.Slot == 0 {
				return Reply{}, failure(Refused)
			}
			return Reply{}, &Failure{Kind: Refused, Err: fmt.Errorf("chunk 7: %w", ErrTooLong)}
		}), o.Options)
		var l loop
		send(t, d, message(0, "x"), &l)
		send(t, d, message(1, "x"), &l)
		closeAll(t, d)
		o.mustCount(t, 1, "limit_reached_total", "response")
		o.mustCount(t, 2, "requests_total", "refused")
	})
}

// Messages that wait for a backend which does not answer leave room to those for
// others, and to whatever else needs buffers.
func TestSlowUpstreamCannotUseUpTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		o := options()
		const size = 1 << 10
		o.Budget.SetLimit(100 * size)
		slow := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			<-answer
			return Reply{}, nil
		}), o.Options)
		other := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			return Reply{}, nil
		}), o.Options)
		var l loop
		taken := 0
		for i := range 200 {
			if _, inline := slow.Send(message(i, strings.Repeat("x", size)), &l); !inline {
				taken++
			}
		}
		if taken != 50 {
			t.Errorf("%d KiB of 100 were taken by one, want 50", taken)
		}
		if _, inline := slow.Send(event(Disconnected, 1), &l); inline {
			t.Error("what takes no buffer was refused")
		}
		for i := range 10 {
			if _, inline := other.Send(message(300+i, strings.Repeat("x", size)), &l); inline {
				t.Errorf("message %d to another upstream was refused", i)
			}
		}
		synctest.Wait()
		close(answer)
		closeAll(t, slow)
		closeAll(t, other)
		if used := o.Budget.Used(); used != 0 {
			t.Errorf("%d bytes are still charged", used)
		}
	})
}
