package upstream

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"sluice/gateway/config"
	"sluice/metrics"
)

// modelled is an event as the simulation knows it: by what it has told the
// schedule, and what that has said.
type modelled struct {
	number   int
	typ      Type
	size     int
	deadline time.Duration
	lastTurn time.Duration
	at       *model // where it waits or is attempted
	stage    stage
	wake     time.Duration // when something becomes of it, if it waits
	due      time.Duration // when it was to be attempted again, if it was; else 0
	batch    int           // the call that it has been in line since
	attempts int
	id       string
	verdict  bool // its last failure has words for the client
	answers  int
}

// stage is where an event is on its way.
type stage uint8

const (
	inLine  stage = iota
	resting       // until its next attempt
	missed        // its turn has not come in time
	trying        // an attempt is under way
	over
)

// model is what a Schedule must do, told in another way: lists that are walked
// through.
type model struct {
	schedule *Schedule
	account  *Account
	config   config.Upstream
	epoch    time.Duration      // what the schedule's clock counts from
	waiting  []*modelled        // all that wait, in no order
	line     [lanes][]*modelled // those in line
	last     lane               // that had its turn
	running  int
	calls    int
	heir     *model
	closing  bool
	aborted  bool

	state    metrics.State
	era      int
	probeAt  time.Duration
	attempts []recorded
}

// recorded is an attempt that the breaker has counted.
type recorded struct {
	part   int64
	failed bool
}

func (e *modelled) lane() lane { return laneOf(e.typ) }

// enter lets e wait: in line, or aside until it wakes.
func (m *model) enter(e *modelled) {
	e.at = m
	m.waiting = append(m.waiting, e)
	if e.stage == inLine {
		m.line[e.lane()] = append(m.line[e.lane()], e)
		e.batch = m.calls
	}
}

// leave takes e out.
func (m *model) leave(e *modelled) {
	m.waiting = slices.DeleteFunc(m.waiting, func(x *modelled) bool { return x == e })
	m.stepOut(e)
}

func (m *model) stepOut(e *modelled) {
	m.line[e.lane()] = slices.DeleteFunc(m.line[e.lane()], func(x *modelled) bool { return x == e })
}

// pass lets time go on to now: who has missed its turn leaves the line, and, if
// due, who has waited for its next attempt comes into it.
func (m *model) pass(now time.Duration, due bool) {
	m.calls++
	var back []*modelled
	for _, e := range m.waiting {
		switch {
		case e.wake > now:
		case e.stage == inLine:
			m.stepOut(e)
			e.stage, e.wake, e.due = missed, e.deadline, 0
		case due && e.stage == resting && now < e.deadline:
			back = append(back, e)
		}
	}
	slices.SortStableFunc(back, func(a, b *modelled) int { return cmp.Compare(a.due, b.due) })
	for _, e := range back {
		e.stage, e.wake, e.batch = inLine, e.deadline, m.calls
		m.line[e.lane()] = append(m.line[e.lane()], e)
	}
}

// mayBegin reports whether there must be an attempt now.
func (m *model) mayBegin(now time.Duration) bool {
	if m.heir != nil || m.running >= m.config.InFlight || len(m.line[clients])+len(m.line[farewells]) == 0 {
		return false
	}
	return m.state == metrics.StateClosed || m.state == metrics.StateOpen && now >= m.probeAt
}

// begin holds that e is the one whose turn it is.
func (m *model) begin(e *modelled, now time.Duration) error {
	m.pass(now, false)
	l := e.lane()
	turn := m.last.other()
	if m.closing {
		turn = farewells
	}
	before, inIt := m.before(e)
	switch {
	case e.stage == trying:
		return fmt.Errorf("event %d is begun twice", e.number)
	case e.stage == over:
		return fmt.Errorf("event %d is begun after its end", e.number)
	case now >= e.deadline || e.attempts == 0 && now >= e.lastTurn:
		return fmt.Errorf("event %d is begun too late", e.number)
	case e.at != m || !inIt:
		return fmt.Errorf("event %d is begun, which is not in line", e.number)
	case !m.mayBegin(now):
		return fmt.Errorf("event %d is begun, with %d under way and the breaker in state %v until %v", e.number, m.running, m.state, m.probeAt)
	case l != turn && len(m.line[turn]) > 0:
		return fmt.Errorf("event %d is begun, and it is the other lane's turn", e.number)
	case before != nil:
		return fmt.Errorf("event %d is begun before %d", e.number, before.number)
	}
	m.last = l
	m.leave(e)
	m.running++
	if m.state == metrics.StateOpen {
		m.become(metrics.StateHalfOpen)
	}
	e.stage = trying
	e.attempts++
	return nil
}

// before is who stands before e in its line, nil if nobody does; inIt is whether
// e stands there. Those who have come back at the same moment stand side by side.
func (m *model) before(e *modelled) (other *modelled, inIt bool) {
	for _, x := range m.line[e.lane()] {
		if x == e {
			return other, true
		}
		if other == nil && (x.due == 0 || x.batch != e.batch || x.due != e.due) {
			other = x
		}
	}
	return nil, false
}

func (m *model) become(s metrics.State) {
	m.state = s
	m.era++
}

// record counts an attempt that began in an era, and reports whether the breaker
// has opened or closed.
func (m *model) record(now time.Duration, era int, ok bool) (turned bool) {
	switch {
	case era != m.era:
		return false
	case m.state == metrics.StateHalfOpen && ok:
		m.attempts = nil
		m.become(metrics.StateClosed)
		return true
	case m.state == metrics.StateHalfOpen:
		m.probeAt = now + time.Duration(m.config.Breaker.Probe)
		m.become(metrics.StateOpen)
		return false
	}
	part := int64((now - m.epoch) * windowParts / time.Duration(m.config.Breaker.Window))
	m.attempts = append(m.attempts, recorded{part, !ok})
	n, failures := 0, 0
	for _, a := range m.attempts {
		if a.part > part-windowParts {
			n++
			if a.failed {
				failures++
			}
		}
	}
	if ok || n < m.config.Breaker.Attempts || failures*100 < m.config.Breaker.Failures*n {
		return false
	}
	m.probeAt = now + time.Duration(m.config.Breaker.Probe)
	m.become(metrics.StateOpen)
	return true
}

// next is when the schedule must be called again.
func (m *model) next() time.Duration {
	at := Never
	for _, e := range m.waiting {
		at = min(at, e.wake)
	}
	if m.state == metrics.StateOpen && len(m.line[clients])+len(m.line[farewells]) > 0 {
		at = min(at, m.probeAt)
	}
	return at
}

// again reports whether an event may be attempted once more that failed so.
func (m *model) again(e *modelled, f *Failure, now time.Duration) bool {
	told := e.typ == Connected || e.typ == Disconnected // at least once
	switch {
	case m.aborted || now >= e.lastTurn:
		return false
	case f.Verdict != nil && now+f.After > e.lastTurn:
		return false
	case f.Kind == Unsent:
		return true
	case f.Kind == Unanswered:
		return told || m.config.RepeatUnanswered || f.Stale && m.config.RepeatReset
	}
	return told && f.Broken
}

// crowded reports whether e waits, and more than may in its lane.
func (m *model) crowded(e *modelled) bool {
	n := 0
	for _, w := range m.waiting {
		if w.lane() == e.lane() {
			n++
		}
	}
	bound := m.config.Waiting
	if e.lane() == farewells {
		bound = m.config.Farewells
	}
	return e.stage != trying && n > bound
}
