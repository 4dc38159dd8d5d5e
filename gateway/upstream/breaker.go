package upstream

import (
	"time"

	"sluice/gateway/config"
	"sluice/metrics"
)

// breaker is a circuit breaker: when too many of the attempts in a sliding
// window have failed it opens, and nothing is attempted for a while. Then one
// event is, and shows whether it closes or stays open. Times are those of the
// dispatcher's clock, under whose lock it is.
type breaker struct {
	config  config.Breaker
	metrics *metrics.Upstream

	state   metrics.State
	era     uint64 // counts changes of the state
	probeAt time.Duration

	window [windowParts]tally
	newest int64 // number of the newest part since the clock began
}

// windowParts is how many parts the window slides by.
const windowParts = 10

type tally struct{ attempts, failures int }

func newBreaker(c config.Breaker, m *metrics.Upstream) breaker {
	m.BreakerState(metrics.StateClosed) // what the one before it had is over
	return breaker{config: c, metrics: m}
}

// admit reports whether an attempt may be made now, in the era that the breaker
// then has. If it says so the attempt must be made, and recorded: it may be the
// probe.
func (b *breaker) admit(now time.Duration) bool {
	switch b.state {
	case metrics.StateClosed:
		return true
	case metrics.StateOpen:
		if now >= b.probeAt {
			b.become(metrics.StateHalfOpen)
			return true
		}
	}
	return false
}

// record counts an attempt that was admitted in era, and reports whether the
// upstream is given up thereby, or trusted again. What was begun in an earlier
// era tells nothing new: it belongs to the failures that opened the breaker.
func (b *breaker) record(now time.Duration, era uint64, ok bool) (changed bool) {
	switch {
	case era != b.era:
		return false
	case b.state == metrics.StateHalfOpen && ok:
		b.window = [windowParts]tally{}
		b.become(metrics.StateClosed)
		return true
	case b.state == metrics.StateHalfOpen:
		b.open(now)
		return false // it was open before
	}
	b.slide(now)
	t := &b.window[b.newest%windowParts]
	t.attempts++
	if ok {
		return false
	}
	t.failures++
	if b.tooMany() {
		b.open(now)
		return true
	}
	return false
}

// slide forgets what is older than the window.
func (b *breaker) slide(now time.Duration) {
	part := int64(now * windowParts / time.Duration(b.config.Window))
	for n := max(b.newest+1, part-windowParts+1); n <= part; n++ {
		b.window[n%windowParts] = tally{}
	}
	b.newest = part
}

func (b *breaker) tooMany() bool {
	var sum tally
	for _, t := range b.window {
		sum.attempts += t.attempts
		sum.failures += t.failures
	}
	return sum.attempts >= b.config.Attempts && sum.failures*100 >= b.config.Failures*sum.attempts
}

func (b *breaker) open(now time.Duration) {
	b.probeAt = now + time.Duration(b.config.Probe)
	b.become(metrics.StateOpen)
}

func (b *breaker) become(s metrics.State) {
	b.state = s
	b.era++
	b.metrics.BreakerState(s)
}
