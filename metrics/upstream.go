package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Upstream is what is counted for the upstream of one hub. Requests to it end
// in many goroutines, each of which costs thousands of times what a locked
// instruction does: all methods may be called from any goroutine, and a scrape
// sees at once what they count. They allocate nothing, but for what is traced.
type Upstream struct {
	requests [eventCount][outcomeCount]atomic.Uint64
	lost     [eventCount]atomic.Uint64
	attempts [2]atomic.Uint64 // failed, ok
	retries  atomic.Uint64
	opened   atomic.Uint64
	reached  [upstreamLimitCount]atomic.Uint64

	inFlight  atomic.Int64
	waiting   atomic.Int64
	farewells atomic.Int64
	trying    atomic.Int64
	bounds    [3]atomic.Int64 // of waiting, farewells, trying
	breaker   atomic.Int32

	requestTime, attemptTime sharedHistogram
}

// NewUpstream returns an Upstream that counts and that no Set exports.
func NewUpstream() *Upstream {
	return &Upstream{
		requestTime: newSharedHistogram(&upstreamBounds),
		attemptTime: newSharedHistogram(&upstreamBounds),
	}
}

// State is that of a circuit breaker.
type State uint8

const (
	StateClosed   State = iota // events are attempted
	StateHalfOpen              // one is, to see how it fares
	StateOpen                  // none is
)

// Began counts an event in that the upstream is to answer.
func (u *Upstream) Began() { u.inFlight.Add(1) }

// Done counts an event out that began d ago, and was traced, or not.
func (u *Upstream) Done(e Event, o Outcome, d time.Duration, trace TraceID) {
	u.inFlight.Add(-1)
	u.requests[e][o].Add(1)
	u.requestTime.observe(d, trace)
}

// Waiting moves the number of connections whose event waits for its turn.
func (u *Upstream) Waiting(delta int) { u.waiting.Add(int64(delta)) }

// Farewells moves the number of disconnected events that wait for their turn.
func (u *Upstream) Farewells(delta int) { u.farewells.Add(int64(delta)) }

// Bounds says how many connections and farewells may wait, and how many
// attempts may be made at a time.
func (u *Upstream) Bounds(waiting, farewells, attempts int) {
	for i, n := range [...]int{waiting, farewells, attempts} {
		u.bounds[i].Store(int64(n))
	}
}

// Reached counts what was refused because a bound was reached.
func (u *Upstream) Reached(l UpstreamLimit) { u.reached[l].Add(1) }

// Trying counts an attempt in.
func (u *Upstream) Trying() { u.trying.Add(1) }

// Attempt counts one attempt out that was made to deliver an event: it took d,
// and was traced, or not. It is ok if the upstream answered, whatever it said.
func (u *Upstream) Attempt(d time.Duration, ok bool, trace TraceID) {
	u.trying.Add(-1)
	n := &u.attempts[0]
	if ok {
		n = &u.attempts[1]
	}
	n.Add(1)
	u.attemptTime.observe(d, trace)
}

// Retry counts an attempt that was not the first one of its event.
func (u *Upstream) Retry() { u.retries.Add(1) }

// Lost counts an event that was given up with nobody left to be told.
func (u *Upstream) Lost(e Event) { u.lost[e].Add(1) }

// BreakerState says what state the circuit breaker has gone to. A probe that
// fails does not count as one more opening.
func (u *Upstream) BreakerState(s State) {
	if old := u.breaker.Swap(int32(s)); s == StateOpen && old == int32(StateClosed) {
		u.opened.Add(1)
	}
}

type upstreamDescs struct {
	requests, duration, inFlight, waiting, farewells, bound, reached,
	trying, attempts, attemptDuration, retries, lost, breaker, opened *prometheus.Desc
}

func upstreamFamilies() upstreamDescs {
	return upstreamDescs{
		requests: family("upstream_requests_total", "Events delivered to the upstream, or given up.",
			"hub", "event", "outcome"),
		duration: family("upstream_request_duration_seconds",
			"Time to deliver an event to the upstream, retries included.", "hub"),
		inFlight:  family("upstream_in_flight", "Events that the upstream has not answered.", "hub"),
		waiting:   family("upstream_waiting", "Connections whose event waits for its turn.", "hub"),
		farewells: family("upstream_farewells", "Disconnected events that wait for their turn.", "hub"),
		bound:     family("upstream_limit", "How many may wait, or be under way at a time.", "hub", "limit"),
		reached:   family("upstream_limit_reached_total", "Events and answers refused because a bound was reached.", "hub", "limit"),
		trying:    family("upstream_attempts_in_flight", "Attempts to deliver an event that are under way.", "hub"),
		attempts:  family("upstream_attempts_total", "Attempts to deliver an event to the upstream.", "hub", "result"),
		attemptDuration: family("upstream_attempt_duration_seconds",
			"Time that one attempt to deliver an event took.", "hub"),
		retries: family("upstream_retries_total", "Attempts that were not the first one of their event.", "hub"),
		lost:    family("upstream_lost_total", "Events given up with nobody left to be told.", "hub", "event"),
		breaker: family("upstream_breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open.", "hub"),
		opened:  family("upstream_breaker_opened_total", "Times that the circuit breaker opened.", "hub"),
	}
}

func (u *Upstream) collect(c collection, f *upstreamDescs, hub string) {
	for e := range eventCount {
		c.send(f.lost, prometheus.CounterValue, float64(u.lost[e].Load()), hub, e.String())
		for o := range outcomeCount {
			// Few of the combinations ever occur.
			if n := u.requests[e][o].Load(); n > 0 {
				c.send(f.requests, prometheus.CounterValue, float64(n), hub, e.String(), o.String())
			}
		}
	}
	for i, result := range [...]string{"failed", "ok"} {
		c.send(f.attempts, prometheus.CounterValue, float64(u.attempts[i].Load()), hub, result)
	}
	c.send(f.retries, prometheus.CounterValue, float64(u.retries.Load()), hub)
	c.send(f.opened, prometheus.CounterValue, float64(u.opened.Load()), hub)
	for l := range upstreamLimitCount {
		c.send(f.reached, prometheus.CounterValue, float64(u.reached[l].Load()), hub, l.String())
	}
	c.out <- u.requestTime.distribution(f.duration, hub)
	c.out <- u.attemptTime.distribution(f.attemptDuration, hub)
}

// levels exports what goes up and down.
func (u *Upstream) levels(c collection, f *upstreamDescs, hub string) {
	c.send(f.inFlight, prometheus.GaugeValue, float64(u.inFlight.Load()), hub)
	c.send(f.waiting, prometheus.GaugeValue, float64(u.waiting.Load()), hub)
	c.send(f.farewells, prometheus.GaugeValue, float64(u.farewells.Load()), hub)
	c.send(f.trying, prometheus.GaugeValue, float64(u.trying.Load()), hub)
	c.send(f.breaker, prometheus.GaugeValue, float64(u.breaker.Load()), hub)
	for i, what := range [...]string{"waiting", "farewells", "in_flight"} {
		c.send(f.bound, prometheus.GaugeValue, float64(u.bounds[i].Load()), hub, what)
	}
}
