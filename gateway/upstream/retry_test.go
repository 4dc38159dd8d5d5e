package upstream

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/metrics"
)

// patient switches the breaker off for what a test does.
func patient(u *config.Upstream) { u.Breaker.Attempts = 1_000_000 }

func TestRetriesCarryTheSameEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 4
		var calls []Call
		var times []time.Time
		o := options()
		d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
			calls, times = append(calls, *c), append(times, time.Now())
			if string(c.Data) != "hello" {
				t.Errorf("attempt %d carries %q", c.Attempt, c.Data)
			}
			if len(calls) <= failures {
				return Reply{}, failure(Unsent)
			}
			return Reply{}, nil
		}), o.Options)
		var l loop
		send(t, d, message(7, "hello"), &l)
		closeAll(t, d)
		if len(calls) != failures+1 {
			t.Fatalf("%d attempts", len(calls))
		}
		for i, c := range calls {
			if c.ID != calls[0].ID || c.ID == "" || !c.At.Equal(calls[0].At) || c.Attempt != i+1 || c.From.Slot != 7 {
				t.Errorf("attempt %d: %+v", i+1, c)
			}
			if i > 0 {
				if gap, ceiling := times[i].Sub(times[i-1]), firstCeiling<<(i-1); gap > ceiling {
					t.Errorf("pause %d of %v, want at most %v", i, gap, ceiling)
				}
			}
		}
		o.mustCount(t, failures, "retries_total")
		o.mustCount(t, failures, "attempts_total", "failed")
		o.mustCount(t, 1, "attempts_total", "ok")
		o.mustCount(t, 1, "requests_total", "ok")
	})
}

func TestPausesAreSpreadUpToTheCeiling(t *testing.T) {
	o := options()
	s := NewSchedule(&o.Options, process{})
	for n, ceiling := range map[int]time.Duration{
		1: firstCeiling, 2: 2 * firstCeiling, 3: 4 * firstCeiling, 7: lastCeiling, 1000: lastCeiling,
	} {
		var least, most time.Duration = time.Hour, 0
		for range 1000 {
			p := s.pause(n)
			least, most = min(least, p), max(most, p)
		}
		if least > ceiling/10 || most < ceiling*9/10 || most >= ceiling {
			t.Errorf("behind attempt %d: %v to %v, want 0 to %v", n, least, most, ceiling)
		}
	}
}

// TestFailures is what becomes of each event behind each kind of failure, if
// the upstream fails always.
func TestFailures(t *testing.T) {
	const (
		budget  = 3 * time.Second
		connect = 2 * time.Second
		long    = farewellPatience * budget
	)
	for _, c := range []struct {
		event   Type
		kind    Kind
		repeat  bool          // the hub's events may be repeated
		lasts   time.Duration // about; 0: one attempt
		outcome metrics.Outcome
		close   ws.StatusCode
		status  int
	}{
		{event: Message, kind: Refused, outcome: metrics.OutcomeRefused, close: 1011},
		{event: Message, kind: Unsent, lasts: budget, outcome: metrics.OutcomeFailed, close: 1011},
		{event: Message, kind: Unanswered, outcome: metrics.OutcomeTimeout, close: 1011},
		{event: Message, kind: Unanswered, repeat: true, lasts: budget, outcome: metrics.OutcomeTimeout, close: 1011},
		{event: Connect, kind: Refused, outcome: metrics.OutcomeRefused, status: http.StatusBadGateway},
		{event: Connect, kind: Unsent, lasts: connect, outcome: metrics.OutcomeFailed, status: http.StatusServiceUnavailable},
		{event: Connect, kind: Unanswered, outcome: metrics.OutcomeTimeout, status: http.StatusServiceUnavailable},
		{event: Connected, kind: Refused, outcome: metrics.OutcomeRefused},
		{event: Connected, kind: Unanswered, lasts: budget, outcome: metrics.OutcomeTimeout, close: 1011},
		{event: Connected, kind: Unsent, lasts: budget, outcome: metrics.OutcomeFailed, close: 1011},
		{event: Disconnected, kind: Refused, outcome: metrics.OutcomeRefused},
		{event: Disconnected, kind: Unanswered, lasts: long, outcome: metrics.OutcomeTimeout},
		{event: Disconnected, kind: Unsent, lasts: long, outcome: metrics.OutcomeFailed},
	} {
		t.Run(c.event.String()+"/"+c.kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options(patient, func(u *config.Upstream) {
					u.Budget, u.ConnectBudget, u.Timeout = config.Duration(budget), config.Duration(connect), config.Duration(time.Second)
					u.RepeatUnanswered = c.repeat
				})
				d := NewDispatcher(newBackend(fails(c.kind)), o.Options)
				var l loop
				began := time.Now()
				send(t, d, event(c.event, 1), &l)
				closeAll(t, d)
				took := time.Since(began)
				// The last attempt comes when there is just time for it.
				if took > c.lasts || c.lasts > 0 && took < c.lasts-2*time.Second/leastShare {
					t.Errorf("given up behind %v, want %v", took, c.lasts)
				}
				attempts := o.count(t, "attempts_total")
				if (attempts > 1) != (c.lasts > 0) {
					t.Errorf("%v attempts", attempts)
				}
				o.mustCount(t, 1, "requests_total", c.event.String(), c.outcome.String())
				if c.event == Disconnected {
					mustBeSilent(t, &l)
					lost := 1.0
					if c.kind == Refused {
						lost = 0 // the upstream has heard it
					}
					o.mustCount(t, lost, "lost_total")
					return
				}
				mustAnswer(t, &l, c.outcome, c.close, c.status)
				o.mustCount(t, 0, "lost_total")
			})
		})
	}
}

func mustBeSilent(t *testing.T, l *loop) {
	t.Helper()
	if a := l.got(); len(a) != 0 {
		t.Errorf("answers %+v", a)
	}
}

// mustAnswer fails unless there was one answer, and this.
func mustAnswer(t *testing.T, l *loop, o metrics.Outcome, code ws.StatusCode, status int) {
	t.Helper()
	a := l.got()
	if len(a) != 1 {
		t.Fatalf("%d answers", len(a))
	}
	got := 0
	if a[0].Verdict != nil {
		got = a[0].Verdict.Status
	}
	if a[0].Outcome != o || a[0].Close.Code != code || got != status {
		t.Errorf("outcome %v, code %d, status %d; want %v, %d, %d", a[0].Outcome, a[0].Close.Code, got, o, code, status)
	}
}

func TestBackendIsLeftAloneForAsLongAsItAsks(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{
		5 * time.Second:  5 * time.Second,
		time.Hour:        15*time.Second - 500*time.Millisecond, // the last moment of the budget
		time.Nanosecond:  0,                                     // less than our own pause
		10 * time.Second: 10 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			var times []time.Time
			d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
				if times = append(times, time.Now()); len(times) > 1 {
					return Reply{}, nil
				}
				return Reply{}, &Failure{Kind: Unsent, After: after, Err: context.Canceled}
			}), options().Options)
			var l loop
			send(t, d, message(1, "x"), &l)
			closeAll(t, d)
			if gap := times[1].Sub(times[0]); gap < want || gap > max(want, firstCeiling) {
				t.Errorf("asked for %v, left alone for %v, want %v", after, gap, want)
			}
		})
	}
}

func TestAttemptEndsWithItsTimeoutOrTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took []time.Duration
		d := NewDispatcher(newBackend(func(ctx context.Context, _ *Call) (Reply, error) {
			began := time.Now()
			<-ctx.Done()
			took = append(took, time.Since(began))
			return Reply{}, failure(Unanswered)
		}), options(patient, func(u *config.Upstream) {
			u.Timeout, u.Budget, u.RepeatUnanswered = config.Duration(2*time.Second), config.Duration(5*time.Second), true
		}).Options)
		var l loop
		began := time.Now()
		send(t, d, message(1, "x"), &l)
		closeAll(t, d)
		if total := time.Since(began); total != 5*time.Second {
			t.Errorf("given up behind %v, want the budget", total)
		}
		if len(took) != 3 || took[0] != 2*time.Second || took[1] != 2*time.Second || took[2] >= time.Second {
			t.Errorf("attempts took %v, want 2s, 2s and what is left", took)
		}
		mustAnswer(t, &l, metrics.OutcomeTimeout, 1011, 0)
	})
}

func TestEventBetweenAttemptsHoldsNoWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
			if c.From.Slot == 1 && c.Attempt == 1 {
				return Reply{}, &Failure{Kind: Unsent, After: 10 * time.Second, Err: context.Canceled}
			}
			return Reply{}, nil
		}), options(func(u *config.Upstream) { u.InFlight = 1 }).Options)
		var l loop
		send(t, d, message(1, "has to wait"), &l)
		synctest.Wait()
		send(t, d, message(2, "x"), &l)
		synctest.Wait()
		if a := l.got(); len(a) != 1 || a[0].to.Slot != 2 {
			t.Errorf("answers %+v, want that to the second event", a)
		}
		closeAll(t, d)
		if a := l.got(); len(a) != 2 {
			t.Errorf("%d answers", len(a))
		}
	})
}

// A session sends its next event behind the answer to the last: a failed event
// is not overtaken by its own session's, although the dispatcher knows no
// sessions.
func TestSessionsKeepTheirOrderThroughFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions, each = 20, 30
		arrived := make([]int, sessions)
		d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
			if i := c.From.Slot; c.Attempt < 2+int(i)%3 {
				return Reply{}, failure(Unsent)
			}
			if n := int(c.Data[0]); arrived[c.From.Slot] != n {
				t.Errorf("session %d: message %d arrived as number %d", c.From.Slot, n, arrived[c.From.Slot])
			}
			arrived[c.From.Slot]++
			return Reply{}, nil
		}), options(patient).Options)
		var l loop
		for n := range each {
			for i := range sessions {
				send(t, d, message(i, string(rune(n))), &l)
			}
			for len(l.got()) < (n+1)*sessions {
				time.Sleep(time.Millisecond)
			}
		}
		closeAll(t, d)
	})
}

func TestEventWhoseTurnNeverComesIsToldToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(func(u *config.Upstream) { u.InFlight = 1; u.Timeout = u.Budget * 2 })
		began := time.Now()
		hold := 2 * time.Minute
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			time.Sleep(hold)
			return Reply{}, nil
		}), o.Options)
		var l loop
		for slot, typ := range []Type{Message, Connected, Connect, Message, Disconnected} {
			send(t, d, event(typ, slot), &l)
		}
		time.Sleep(hold - time.Second)
		want := []struct {
			slot   uint32
			at     time.Duration
			close  ws.StatusCode
			status int
		}{
			{2, time.Duration(o.Config.ConnectBudget), 0, http.StatusServiceUnavailable},
			{1, time.Duration(o.Config.Budget), tryAgainLater, 0},
			{3, time.Duration(o.Config.Budget), tryAgainLater, 0},
		}
		got := l.got()
		if len(got) != len(want) {
			t.Fatalf("%d answers, want %d", len(got), len(want))
		}
		for _, w := range want {
			var a answer
			for _, g := range got {
				if g.to.Slot == w.slot {
					a = g
				}
			}
			if a.Outcome != metrics.OutcomeOverloaded || a.Close.Code != w.close || a.at.Sub(began) != w.at {
				t.Errorf("session %d: %+v behind %v, want %+v", w.slot, a.Reply, a.at.Sub(began), w)
			}
			if w.status != 0 && (a.Verdict == nil || a.Verdict.Status != w.status) {
				t.Errorf("session %d: verdict %+v", w.slot, a.Verdict)
			}
		}
		o.mustCount(t, 1, "lost_total", "disconnected")
		closeAll(t, d)
	})
}

func TestEventThatExpiresLeavesTheOthersInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(func(u *config.Upstream) { u.InFlight, u.Timeout = 1, u.Budget })
		hold := time.Duration(o.Config.ConnectBudget) + time.Second
		var arrived []uint32
		d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
			arrived = append(arrived, c.From.Slot)
			time.Sleep(hold)
			hold = 0
			return Reply{}, nil
		}), o.Options)
		var l loop
		for slot, typ := range []Type{Message, Message, Connect, Message, Connect, Message} {
			send(t, d, event(typ, slot), &l)
		}
		closeAll(t, d)
		if want := []uint32{0, 1, 3, 5}; !slices.Equal(arrived, want) {
			t.Errorf("%v arrived, want %v", arrived, want)
		}
		o.mustCount(t, 2, "requests_total", "connect", "overloaded")
	})
}

// An upstream that is slower than its clients must still be asked in time to
// answer somebody.
func TestOverloadLeavesTimeForAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(func(u *config.Upstream) { u.InFlight = 1 })
		least := time.Duration(o.Config.Timeout) / leastShare
		d := NewDispatcher(newBackend(func(ctx context.Context, _ *Call) (Reply, error) {
			if end, _ := ctx.Deadline(); time.Until(end) < least {
				t.Errorf("an attempt has only %v", time.Until(end))
			}
			time.Sleep(100 * time.Millisecond) // 10 a second
			return Reply{}, nil
		}), o.Options)
		var l loop
		for i := range 1000 { // 50 a second
			send(t, d, message(i, "x"), &l)
			time.Sleep(20 * time.Millisecond)
		}
		closeAll(t, d)
		o.mustCount(t, 1000, "requests_total")
		if ok := o.count(t, "requests_total", "ok"); ok < 330 {
			t.Errorf("%v were answered in 35 seconds, want 10 a second", ok)
		}
	})
}
