package upstream

import (
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"sluice/metrics"
)

// run acts out a random script, and then closes what is left.
func (s *simulation) run(ops int) {
	for s.steps < ops && !s.failed {
		s.step()
	}
	patience := s.now + s.upTo(9000)
	for _, m := range s.models {
		if s.random.IntN(2) == 0 {
			s.close(m)
		}
	}
	s.react(false)
	for s.now < patience && !s.failed && s.left() {
		if s.steps++; s.random.IntN(4) == 0 {
			s.arrive(s.models[s.random.IntN(len(s.models))])
		}
		s.advance(min(s.next(), s.now+s.upTo(300)))
	}
	for _, m := range s.models {
		s.close(m)
		s.abort(m)
	}
	for len(s.trials) > 0 && !s.failed {
		t := s.trials[0] // it is cancelled, or just answered
		if t.f != nil {
			t.f = failure(Unanswered)
		}
		s.end(t)
	}
	s.sweep()
	s.account()
}

// left reports whether anything waits or is attempted.
func (s *simulation) left() bool {
	for _, m := range s.models {
		if len(m.waiting) > 0 {
			return true
		}
	}
	return len(s.trials) > 0
}

func (s *simulation) step() {
	s.steps++
	late := s.random.IntN(8) == 0 // the timer is
	switch what := s.random.IntN(100); {
	case what < 30:
		for range 1 + s.random.IntN(3) {
			s.arrive(s.current)
		}
	case what < 32: // from a loop that has just looked it up
		s.arrive(s.models[s.random.IntN(len(s.models))])
	case what < 70:
		s.advance(min(s.next(), s.now+s.upTo(300)))
	case what < 92:
		s.now += s.upTo(40)
	case what < 93:
		s.succeed()
	case what < 95:
		s.Budget.SetLimit(int64(s.random.IntN(4000)))
	case what < 98:
		s.change()
	default:
		if m := s.models[s.random.IntN(len(s.models))]; m.heir != nil {
			s.close(m)
		}
	}
	s.react(late)
	if s.steps%64 == 0 {
		s.sweep()
	}
}

// next is when the next thing happens.
func (s *simulation) next() time.Duration {
	at := Never
	for _, t := range s.trials {
		at = min(at, t.ends)
	}
	for _, m := range s.models {
		if next := m.schedule.Next(); next != Never {
			at = min(at, next+m.epoch)
		}
	}
	return at
}

// advance lets time go on to when, and the attempts end that are over by then.
func (s *simulation) advance(when time.Duration) {
	s.now = max(s.now, when)
	for i := 0; i < len(s.trials); i++ {
		if t := s.trials[i]; t.ends <= s.now {
			s.end(t)
			i--
		}
	}
	s.react(false)
}

// react does what a driver does after each call: what is due, unless its timer
// is late, and the attempts whose turn it is. Then it holds each schedule against
// its model.
func (s *simulation) react(late bool) {
	for _, m := range s.models {
		now := s.now - m.epoch
		if !late {
			s.due(m)
		}
		for p := m.schedule.Begin(now); p != nil && !s.failed; p = m.schedule.Begin(now) {
			s.begin(m, p)
		}
		s.look(m, late)
	}
}

// due has the schedule do what is due, a little at a time.
func (s *simulation) due(m *model) {
	m.pass(s.now, true)
	for more := true; more; {
		var over []*Pending
		over, more = m.schedule.Due(s.now-m.epoch, make([]*Pending, 0, 1+s.random.IntN(3)))
		for _, p := range over {
			s.neglect(m, p)
		}
	}
	for _, e := range m.waiting {
		if e.deadline <= s.now {
			s.fail("event %d is not given up, its budget was used up at %v", e.number, e.deadline)
		}
	}
}

// neglect reports an event whose budget is used up while it waits.
func (s *simulation) neglect(m *model, p *Pending) {
	e := s.events[p.Call.From.Slot]
	if e.at != m || e.stage == trying || e.stage == over || s.now < e.deadline {
		s.fail("event %d, which is at stage %d, is given up", e.number, e.stage)
		return
	}
	s.note("neglected %d %v", e.number, p.end)
	o := metrics.OutcomeOverloaded
	switch {
	case p.failure != nil:
		o = p.failure.outcome(e.typ)
	case m.state != metrics.StateClosed:
		o = metrics.OutcomeCircuitOpen
	}
	m.leave(e)
	s.over(e, o)
	m.account.GiveUp(p, s.now-m.epoch)
}

func (s *simulation) close(m *model) {
	m.schedule.Close()
	m.closing = true
}

func (s *simulation) abort(m *model) {
	lost := m.schedule.Lost()
	rest := m.schedule.Abort()
	if len(rest) != len(m.waiting) || m.schedule.Lost() != lost+len(rest) {
		s.fail("%d are given up, and %d waited", len(rest), len(m.waiting))
	}
	m.aborted = true
	for _, p := range rest {
		e := s.events[p.Call.From.Slot]
		m.leave(e)
		s.over(e, metrics.OutcomeCanceled)
		m.account.GiveUp(p, s.now-m.epoch)
	}
}

// look holds what must be true of a schedule between two steps.
func (s *simulation) look(m *model, late bool) {
	if s.failed {
		return
	}
	next := m.schedule.Next()
	if next != Never {
		next += m.epoch
	}
	m.pass(s.now, false)
	switch {
	case m.schedule.running != m.running || m.running > m.config.InFlight:
		s.fail("%d attempts are under way, the schedule counts %d, and may have %d", m.running, m.schedule.running, m.config.InFlight)
	case m.mayBegin(s.now):
		s.fail("%d wait in line, %d are attempted, and nothing begins", len(m.line[clients])+len(m.line[farewells]), m.running)
	case !late && next <= s.now:
		s.fail("the schedule wants to be called at %v, which was just done", next)
	case late && next > m.next(), !late && next != m.next():
		s.fail("the schedule wants to be called at %v, and not at %v", next, m.next())
	case m.schedule.taken != len(m.waiting)+m.running || m.schedule.Drained() != (m.closing && m.schedule.taken == 0):
		s.fail("%d events are taken, %d wait and %d are attempted", m.schedule.taken, len(m.waiting), m.running)
	}
}

// sweep compares what is counted.
func (s *simulation) sweep() {
	waiting := [lanes]int{}
	for _, m := range s.models {
		for _, e := range m.waiting {
			waiting[e.lane()]++
		}
	}
	scraped := s.scrape(s.t)
	s.hold(scraped, float64(waiting[clients]), "waiting")
	s.hold(scraped, float64(waiting[farewells]), "farewells")
	s.hold(scraped, float64(len(s.trials)), "attempts_in_flight")
	s.hold(scraped, float64(waiting[clients]+waiting[farewells]+len(s.trials)), "in_flight")
	s.hold(scraped, float64(s.retries), "retries_total")
	all := 0
	for _, n := range s.ended {
		all += n
	}
	s.hold(scraped, float64(all), "requests_total")
	if used := s.Budget.Used(); used != int64(s.kept) {
		s.fail("%d bytes are charged, %d are kept", used, s.kept)
	}
}

// hold fails unless a metric has this value.
func (s *simulation) hold(scraped []*dto.MetricFamily, want float64, name string, labels ...string) {
	s.t.Helper()
	if got := sum(scraped, name, labels...); got != want {
		s.fail("%s%v is %v, want %v", name, labels, got, want)
	}
}

// account holds that every event has ended, and in one counter.
func (s *simulation) account() {
	for _, m := range s.models {
		if !m.schedule.Drained() {
			s.fail("%d events are left", m.schedule.taken)
		}
	}
	for _, e := range s.events {
		if e.stage != over || (e.answers == 0) != (e.typ == Disconnected) && e.typ != Disconnected {
			s.fail("event %d (%v) is at stage %d, with %d answers", e.number, e.typ, e.stage, e.answers)
		}
	}
	gone, scraped := 0, s.scrape(s.t)
	for end, n := range s.ended {
		s.hold(scraped, float64(n), "requests_total", end.Type.String(), end.Outcome.String())
		if end.Type == Disconnected && end.Outcome != metrics.OutcomeOK && end.Outcome != metrics.OutcomeRefused {
			gone += n
		}
	}
	s.hold(scraped, float64(gone), "lost_total")
}

func TestSimulation(t *testing.T) {
	first, n := uint64(0), *simulationSeeds
	if *simulationSeed >= 0 {
		first, n = uint64(*simulationSeed), 1
	}
	steps, events, tried, retries, moved, opened, began := 0, 0, 0, 0, 0, 0, time.Now()
	ended := make(map[metrics.Outcome]int)
	for seed := first; seed < first+uint64(n); seed++ {
		s := simulate(t, seed)
		s.run(*simulationOps)
		steps, events, tried, retries, moved, opened = steps+s.steps, events+len(s.events), tried+s.tried, retries+s.retries, moved+s.moved, opened+s.opened
		for end, n := range s.ended {
			ended[end.Outcome] += n
		}
		if s.failed {
			return
		}
	}
	t.Logf("%d seeds, %d events, %d attempts of which %d again, %d moved, the breaker turned %d times; %v; %d steps, %.0f a second",
		n, events, tried, retries, moved, opened, ended, steps, float64(steps)/time.Since(began).Seconds())
}

func TestSimulationOfASeedRepeatsItself(t *testing.T) {
	trace := func(seed uint64) uint64 {
		s := simulate(t, seed)
		s.run(*simulationOps)
		return s.trace.Sum64()
	}
	for seed := range uint64(4) {
		if a, b := trace(seed), trace(seed); a != b {
			t.Errorf("seed %d: trace %x, and then %x", seed, a, b)
		}
	}
}
