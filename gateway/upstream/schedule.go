package upstream

import (
	"math/rand/v2"
	"time"

	"sluice/gateway/config"
	"sluice/metrics"
)

// Schedule decides what becomes of the events of an upstream, and when: whose
// turn it is, how many are attempted at a time, what is attempted again and
// when, what is given up, and what the circuit breaker lets through. It does
// nothing of that itself. A driver tells it what happens (Add, Ended, Due,
// Close, Abort, Leave, Adopt); and each time asks which attempts to make now, by
// Begin until that returns nil, and when to come again, by Next.
//
// Those that a client waits behind, and farewells, have a lane each; the lanes
// take turns, and each is served in the order of arrival. It knows nothing of
// sessions. A session has at most one event under way, and its farewell comes
// behind the answer to the last: whatever overtakes a failed event while that
// waits to be tried again belongs to another session.
//
// There is no goroutine in it, no lock and no clock: now is the time of the
// driver's clock, which does not go back. The same calls with the same
// randomness have the same results. It is not safe for concurrent use, and each
// call takes a few steps only, however many wait, but for Abort.
type Schedule struct {
	config  config.Upstream
	metrics *metrics.Upstream
	random  *rand.Rand
	queue   queue
	breaker breaker
	log     sparingly

	taken   int  // events that wait or are being attempted
	running int  // those that are being attempted
	lost    int  // those that were given up since Abort
	closing bool // no event comes any more
	aborted bool // and none is attempted again
	left    bool // another Schedule has taken over
}

// NewSchedule returns a Schedule of the events of one upstream. It counts in
// o.Metrics what waits and what bounds are reached; the pauses between attempts
// are random.
func NewSchedule(o *Options, random rand.Source) *Schedule {
	o.Metrics.Bounds(o.Config.Waiting, o.Config.Farewells, o.Config.InFlight)
	return &Schedule{
		config:  o.Config,
		metrics: o.Metrics,
		random:  rand.New(random),
		queue:   queue{metrics: o.Metrics},
		breaker: newBreaker(o.Config.Breaker, o.Metrics),
	}
}

// Add takes p, which is new. It returns the event whose attempt is to begin
// now, as Begin does. If the outcome is not OK p is not taken: there is no room,
// or no event is taken any more. In the latter case a successor may adopt it.
func (s *Schedule) Add(p *Pending, now time.Duration) (next *Pending, o metrics.Outcome) {
	if s.closing || s.left {
		p.end = metrics.OutcomeCanceled
		return nil, p.end
	}
	s.queue.add(p)
	s.taken++
	next = s.Begin(now)
	if next != p && s.queue.waiting[p.lane] > s.bound(p.lane) {
		s.queue.remove(p)
		s.taken--
		s.metrics.Reached(p.lane.limit())
		p.end = metrics.OutcomeOverloaded
	}
	return next, p.end
}

func (s *Schedule) bound(l lane) int {
	if l == farewells {
		return s.config.Farewells
	}
	return s.config.Waiting
}

// Begin returns the event whose turn it is, and which is to be attempted now
// and until Ended says how that went. It is nil if none is: nothing waits for its
// turn, enough attempts are under way, or the breaker is open; or much is due
// that has to be done first.
func (s *Schedule) Begin(now time.Duration) *Pending {
	if s.left || s.running >= s.config.InFlight {
		return nil
	}
	if s.queue.weed(now) || s.queue.empty() || !s.breaker.admit(now) {
		return nil
	}
	s.running++
	p := s.queue.take()
	p.era = s.breaker.era
	p.Call.Attempt++
	return p
}

// Fate is what becomes of an event whose attempt has ended.
type Fate uint8

const (
	// Over: the event has left, and is to be reported.
	Over Fate = iota
	// Waits: it will be attempted again.
	Waits
	// Moves: it has left, and is its successor's to attempt again.
	Moves
)

// End is what follows from the end of an attempt.
type End struct {
	Fate Fate
	// Turned: the upstream is given up thereby, or trusted again, and Breaker is
	// the state that the circuit breaker is in.
	Turned  bool
	Breaker metrics.State
	// Told: the failure goes into the log, which so many others before did not.
	Told   bool
	Untold int
}

// Ended ends an attempt of p; f is nil if it was answered.
func (s *Schedule) Ended(p *Pending, f *Failure, now time.Duration) (e End) {
	s.running--
	e.Turned = s.breaker.record(now, p.era, f == nil || f.Kind == Refused)
	e.Breaker = s.breaker.state
	p.failure = f
	if f != nil {
		p.doubt = p.doubt || f.Kind == Unanswered || f.Doubt
		if s.repeats(p, f, now) {
			return s.again(p, f, now, e)
		}
		p.end = s.failed(p, f)
		e.Told, e.Untold = s.log.allow(now)
	}
	s.taken--
	return e
}

// again keeps p until its next attempt, or leaves that to the successor.
func (s *Schedule) again(p *Pending, f *Failure, now time.Duration, e End) End {
	p.wake, p.lined = s.due(p, f, now), false
	if s.left {
		s.taken--
		p.end = metrics.OutcomeCanceled // unless it is adopted
		e.Fate = Moves
		return e
	}
	s.queue.add(p)
	e.Fate = Waits
	return e
}

// failed is how p is counted, whose last attempt ended with f.
func (s *Schedule) failed(p *Pending, f *Failure) metrics.Outcome {
	o := f.outcome(p.Call.Type)
	if s.aborted && o != metrics.OutcomeRefused {
		s.lost++
		o = metrics.OutcomeCanceled
	}
	return o
}

// Due does some of what is due: events go back into line, or leave because their
// budgets are used up. These are appended to over, as many as there is room for,
// and are to be reported. There may be more.
func (s *Schedule) Due(now time.Duration, over []*Pending) (all []*Pending, more bool) {
	for range cap(over) - len(over) {
		p, more := s.queue.step(now)
		if !more {
			return over, false
		}
		if p == nil {
			continue
		}
		p.end = s.neglected(p)
		s.taken--
		over = append(over, p)
	}
	return over, true
}

// neglected is how p is counted, whose budget is used up while it waits.
func (s *Schedule) neglected(p *Pending) metrics.Outcome {
	switch {
	case p.failure != nil:
		return p.failure.outcome(p.Call.Type)
	case s.breaker.state != metrics.StateClosed:
		return metrics.OutcomeCircuitOpen
	}
	return metrics.OutcomeOverloaded
}

// Never is later than everything.
const Never time.Duration = 1<<63 - 1

// Next is when Due and Begin are to be called at the latest, Never if nothing
// waits. It may be over.
func (s *Schedule) Next() time.Duration {
	if len(s.queue.agenda) == 0 {
		return Never
	}
	at := s.queue.agenda[0].wake
	if s.breaker.state == metrics.StateOpen && !s.queue.empty() {
		at = min(at, s.breaker.probeAt)
	}
	return at
}

// Close begins the end: no more events are taken. Those there are go on, and the
// farewells go first.
func (s *Schedule) Close() {
	s.closing = true
	s.queue.farewellsFirst = true
}

// Closed reports whether Close was called.
func (s *Schedule) Closed() bool { return s.closing }

// Drained reports whether Close was called and nothing is left.
func (s *Schedule) Drained() bool { return s.closing && s.taken == 0 }

// Abort gives up what waits; it has left, and is to be reported. The driver ends
// the attempts under way, which none will follow.
func (s *Schedule) Abort() []*Pending {
	s.aborted = true
	rest := s.queue.clear()
	for _, p := range rest {
		p.end = metrics.OutcomeCanceled
	}
	s.taken -= len(rest)
	s.lost += len(rest)
	return rest
}

// Lost is how many events were given up because of Abort, so far.
func (s *Schedule) Lost() int { return s.lost }
