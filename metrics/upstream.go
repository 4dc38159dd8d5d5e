package metrics

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Upstream is what is counted for the upstream of one hub. Requests to it end
// in many goroutines, each of which costs thousands of times what a locked
// instruction does: all methods may be called from any goroutine, and a scrape
// sees at once what they count. They allocate nothing.
type Upstream struct {
	requests [eventCount][outcomeCount]atomic.Uint64
	lost     [eventCount]atomic.Uint64
	attempts [2]atomic.Uint64 // failed, ok
	retries  atomic.Uint64
	opened   atomic.Uint64
	inFlight atomic.Int64
	waiting  atomic.Int64
	breaker  atomic.Int32

	requestTime, attemptTime sharedHistogram
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

// Done counts an event out that began d ago.
func (u *Upstream) Done(e Event, o Outcome, d time.Duration) {
	u.inFlight.Add(-1)
	u.requests[e][o].Add(1)
	u.requestTime.observe(&upstreamBounds, d)
}

// Waiting moves the number of connections whose event waits for its turn.
func (u *Upstream) Waiting(delta int) { u.waiting.Add(int64(delta)) }

// Attempt counts one attempt to deliver an event, which took d. It is ok if the
// upstream answered, whatever it said.
func (u *Upstream) Attempt(d time.Duration, ok bool) {
	n := &u.attempts[0]
	if ok {
		n = &u.attempts[1]
	}
	n.Add(1)
	u.attemptTime.observe(&upstreamBounds, d)
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

// sharedHistogram is a histogram that any goroutine may add to.
type sharedHistogram struct {
	buckets [overBound + 1]atomic.Uint64
	sum     atomic.Uint64 // the bits of a float64, in seconds
}

func (h *sharedHistogram) observe(b *bounds, d time.Duration) {
	v := max(d, 0).Seconds()
	h.buckets[b.bucket(v)].Add(1)
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

type upstreamDescs struct {
	requests, duration, inFlight, waiting, attempts, attemptDuration, retries, lost, breaker, opened *prometheus.Desc
}

func upstreamFamilies() upstreamDescs {
	return upstreamDescs{
		requests: family("upstream_requests_total", "Events delivered to the upstream, or given up.",
			"hub", "event", "outcome"),
		duration: family("upstream_request_duration_seconds",
			"Time to deliver an event to the upstream, retries included.", "hub"),
		inFlight: family("upstream_in_flight", "Events that the upstream has not answered.", "hub"),
		waiting:  family("upstream_waiting", "Connections whose event waits for its turn.", "hub"),
		attempts: family("upstream_attempts_total", "Attempts to deliver an event to the upstream.", "hub", "result"),
		attemptDuration: family("upstream_attempt_duration_seconds",
			"Time that one attempt to deliver an event took.", "hub"),
		retries: family("upstream_retries_total", "Attempts that were not the first one of their event.", "hub"),
		lost:    family("upstream_lost_total", "Events given up with nobody left to be told.", "hub", "event"),
		breaker: family("upstream_breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open.", "hub"),
		opened:  family("upstream_breaker_opened_total", "Times that the circuit breaker opened.", "hub"),
	}
}

// collectUpstreams exports the upstreams by the label of their hub. That of
// many hubs is built in and has none.
func collectUpstreams(c collection, upstreams map[string]*Upstream) {
	f := upstreamFamilies()
	for hub, u := range upstreams {
		u.collect(c, &f, hub)
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
	c.send(f.inFlight, prometheus.GaugeValue, float64(u.inFlight.Load()), hub)
	c.send(f.waiting, prometheus.GaugeValue, float64(u.waiting.Load()), hub)
	c.send(f.breaker, prometheus.GaugeValue, float64(u.breaker.Load()), hub)
	c.sharedHistogram(f.duration, &u.requestTime, hub)
	c.sharedHistogram(f.attemptDuration, &u.attemptTime, hub)
}

func (c collection) sharedHistogram(desc *prometheus.Desc, h *sharedHistogram, hub string) {
	var n [overBound + 1]uint64
	for i := range n {
		n[i] = h.buckets[i].Load()
	}
	c.sendHistogram(desc, &upstreamBounds, &n, math.Float64frombits(h.sum.Load()), hub)
}
