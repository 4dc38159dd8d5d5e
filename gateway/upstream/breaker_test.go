package upstream

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/gateway/config"
	"sluice/metrics"
)

func testBreaker(c config.Breaker) *breaker {
	b := newBreaker(c, new(metrics.Upstream))
	return &b
}

var tenSeconds = config.Breaker{
	Window: config.Duration(10 * time.Second), Attempts: 4, Failures: 50, Probe: config.Duration(2 * time.Second),
}

func TestBreakerOpensAtItsShareOfFailures(t *testing.T) {
	for attempts, want := range map[string]metrics.State{
		"fff":      metrics.StateClosed, // too few to tell
		"ffff":     metrics.StateOpen,
		"ffo":      metrics.StateClosed,
		"ooofff":   metrics.StateOpen,
		"ooooofff": metrics.StateClosed,
		"ffoooo":   metrics.StateClosed,
	} {
		b := testBreaker(tenSeconds)
		for i, a := range attempts {
			if !b.admit(time.Duration(i)) {
				t.Fatalf("%s: attempt %d was not admitted", attempts, i)
			}
			b.record(time.Duration(i), b.era, a == 'o')
		}
		if b.state != want {
			t.Errorf("%s: state %v, want %v", attempts, b.state, want)
		}
	}
}

func TestBreakerForgetsWhatIsOlderThanItsWindow(t *testing.T) {
	for gap, want := range map[time.Duration]metrics.State{
		time.Second:      metrics.StateOpen,
		8 * time.Second:  metrics.StateOpen,
		10 * time.Second: metrics.StateClosed,
		time.Hour:        metrics.StateClosed,
	} {
		b := testBreaker(tenSeconds)
		for range 3 {
			b.record(time.Minute, 0, false)
		}
		b.record(time.Minute+gap, 0, false)
		if b.state != want {
			t.Errorf("behind %v: state %v, want %v", gap, b.state, want)
		}
	}
}

func TestOneProbeDecides(t *testing.T) {
	probe := time.Duration(tenSeconds.Probe)
	for _, ok := range []bool{true, false} {
		b := testBreaker(tenSeconds)
		for range 4 {
			b.record(0, 0, false)
		}
		if b.admit(probe - 1) {
			t.Error("admitted while open")
		}
		if !b.admit(probe) || b.admit(probe) || b.admit(time.Hour) {
			t.Error("not exactly one probe")
		}
		b.record(probe, 0, !ok) // began before the breaker opened
		if b.state != metrics.StateHalfOpen {
			t.Errorf("an old attempt changed the state to %v", b.state)
		}
		b.record(2*probe, b.era, ok)
		if ok {
			if b.state != metrics.StateClosed || b.tooMany() {
				t.Errorf("behind a good probe: state %v, window %v", b.state, b.window)
			}
			continue
		}
		if b.state != metrics.StateOpen || b.admit(3*probe-1) || !b.admit(3*probe) {
			t.Errorf("behind a bad probe: state %v", b.state)
		}
	}
}

// TestBreakerCountsAsAListDoes compares the window with a list of all attempts.
func TestBreakerCountsAsAListDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := config.Breaker{Window: config.Duration(time.Second), Attempts: 1 << 30, Failures: 50}
		b := testBreaker(c)
		type attempt struct {
			part int64
			ok   bool
		}
		var all []attempt
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			now += time.Duration(rapid.IntRange(0, 400).Draw(t, "gap")) * time.Millisecond
			a := attempt{int64(now / (100 * time.Millisecond)), rapid.Bool().Draw(t, "ok")}
			all = append(all, a)
			b.record(now, 0, a.ok)
			var want, got tally
			for _, past := range all {
				if past.part > a.part-windowParts {
					want.attempts++
					if !past.ok {
						want.failures++
					}
				}
			}
			for _, part := range b.window {
				got.attempts += part.attempts
				got.failures += part.failures
			}
			if got != want {
				t.Fatalf("at %v: %+v, want %+v", now, got, want)
			}
		}
	})
}

func TestDeadUpstreamAndFiveThousandClientsThatKeepSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 5000
		var log strings.Builder
		o := options(func(u *config.Upstream) { u.Budget = config.Duration(time.Minute) })
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		var dead atomic.Bool
		var attempts atomic.Int64
		dead.Store(true)
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			attempts.Add(1)
			time.Sleep(time.Millisecond)
			if dead.Load() {
				return Reply{}, failure(Unsent)
			}
			return Reply{}, nil
		}), o.Options)
		before := goroutines()
		var l loop
		for i := range clients {
			send(t, d, message(i, "0123456789"), &l)
		}

		// It opens at once, and stays open, with one probe at a time.
		time.Sleep(time.Second)
		o.mustCount(t, 2, "breaker_state")
		if n := attempts.Load(); n > 3*int64(o.Config.InFlight) {
			t.Errorf("%d attempts before the breaker was open", n)
		}
		at := attempts.Load()
		time.Sleep(28 * time.Second)
		probes := int64(28 * time.Second / time.Duration(o.Config.Breaker.Probe))
		if n := attempts.Load() - at; n < probes-2 || n > probes {
			t.Errorf("%d probes in 28 s, want %d", n, probes)
		}
		mustBeSilent(t, &l) // nobody is closed: all wait within their budgets
		o.mustCount(t, clients, "waiting")
		if used := o.Budget.Used(); used != clients*10 {
			t.Errorf("%d bytes are charged, want the payloads", used)
		}
		if n := goroutines() - before; n > 1 {
			t.Errorf("%d goroutines while all wait", n)
		}

		// It comes back: one probe later everything is delivered.
		dead.Store(false)
		time.Sleep(time.Duration(o.Config.Breaker.Probe) + clients/64*2*time.Millisecond + time.Second)
		o.mustCount(t, clients, "requests_total", "ok")
		o.mustCount(t, clients, "requests_total")
		o.mustCount(t, 0, "breaker_state")
		o.mustCount(t, 1, "breaker_opened_total")
		closeAll(t, d)
		if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "hub=chat") {
			t.Errorf("the log is\n%s", log.String())
		}
	})
}

func TestClientsOfAnUpstreamThatStaysDeadAreClosedByTheirBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 5000
		o := options()
		d := NewDispatcher(newBackend(fails(Unsent)), o.Options)
		var l loop
		began := time.Now()
		sent := make(map[uint32]time.Time)
		for i := range clients { // for half a minute
			sent[uint32(i)] = time.Now()
			send(t, d, message(i, "x"), &l)
			time.Sleep(6 * time.Millisecond)
		}
		closeAll(t, d)
		counts := make(map[metrics.Outcome]int)
		budget := time.Duration(o.Config.Budget)
		for _, a := range l.got() {
			counts[a.Outcome]++
			took := a.at.Sub(sent[a.to.Slot])
			if took > budget || took < budget-2*time.Duration(o.Config.Timeout)/leastShare {
				t.Fatalf("session %d was closed behind %v, with %v", a.to.Slot, took, a.Outcome)
			}
			if never := a.Outcome == metrics.OutcomeCircuitOpen; never != (a.Close.Code == tryAgainLater) {
				t.Fatalf("session %d: %v and code %d", a.to.Slot, a.Outcome, a.Close.Code)
			}
		}
		if n := counts[metrics.OutcomeFailed] + counts[metrics.OutcomeCircuitOpen]; n != clients || counts[metrics.OutcomeFailed] == 0 || counts[metrics.OutcomeCircuitOpen] == 0 {
			t.Errorf("outcomes %v", counts)
		}
		if total := time.Since(began); total > clients*6*time.Millisecond+budget {
			t.Errorf("took %v", total)
		}
	})
}

func TestRefusalIsASignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		d := NewDispatcher(newBackend(fails(Refused)), o.Options)
		var l loop
		for i := range 200 {
			send(t, d, message(i, "x"), &l)
		}
		closeAll(t, d)
		o.mustCount(t, 0, "breaker_opened_total")
		o.mustCount(t, 200, "requests_total", "refused")
		o.mustCount(t, 200, "attempts_total", "ok")
	})
}

// Why an event was not taken is in the log, and a flood of them does not flood
// the log.
func TestRefusedEventsAreLoggedSparingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		o := options(func(*config.Upstream) {})
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			return Reply{}, failure(Refused)
		}), o.Options)
		var l loop
		for i := range 100 {
			send(t, d, message(i, "x"), &l)
		}
		time.Sleep(betweenLines + time.Second)
		send(t, d, message(100, "x"), &l)
		time.Sleep(time.Second)
		closeAll(t, d)
		if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "others=99") {
			t.Errorf("the log is\n%s", log.String())
		}
	})
}
