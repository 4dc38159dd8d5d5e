package upstream

import (
	"time"

	"sluice/metrics"
)

// A change of an upstream's configuration is a new Schedule, which succeeds the
// one before: that Leaves, and what waits in it is handed over, one by one, by
// Pull and Adopt. So are events whose attempts end there and are to be repeated
// (Moves), and those that Add does not take any more.

// Leave begins no further attempts: a successor does. It reports false if there
// is nothing to hand over: s is closing or has left before.
func (s *Schedule) Leave() bool {
	if s.closing || s.left {
		return false
	}
	s.left = true
	s.breaker.metrics = metrics.NewUpstream() // the gauge is the successor's now
	return true
}

// Succeed makes s the successor, whose circuit breaker is shown.
func (s *Schedule) Succeed() { s.metrics.BreakerState(s.breaker.state) }

// Pull returns an event that waits, which has left thereby, or nil if none does.
// They come in the order in which they are to be adopted.
func (s *Schedule) Pull() *Pending {
	p := s.queue.pull()
	if p != nil {
		s.taken--
		p.end = metrics.OutcomeCanceled // unless it is adopted
	}
	return p
}

// Adopt takes an event that another Schedule has let go, whose clock showed
// shift less than that of s does. It stays what it is: its id, its budget, and
// whether it waits for its turn or for its next attempt; it need not wait in the
// bounds of s. Adopt reports false if s is closing.
func (s *Schedule) Adopt(p *Pending, shift time.Duration) bool {
	if s.closing {
		return false
	}
	p.began += shift
	p.lastTurn += shift
	p.deadline += shift
	p.wake += shift
	s.taken++
	s.queue.add(p)
	return true
}
