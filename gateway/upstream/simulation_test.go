package upstream

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sluice/gateway/config"
	"sluice/metrics"
	"sluice/session"
)

var (
	simulationSeed  = flag.Int64("seed", -1, "the only `seed` to be simulated; -1: the first of them, as many as -seeds says")
	simulationSeeds = flag.Int("seeds", 60, "`number` of seeds to be simulated")
	simulationOps   = flag.Int("ops", 3000, "`steps` of a simulation before its upstream is closed")
)

// simulation drives schedules, one of which succeeds the other, through a random
// script on virtual time, and holds each against its model after every step.
type simulation struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	now    time.Duration
	steps  int
	failed bool
	trace  hash.Hash64

	counted
	current *model
	models  []*model
	events  []*modelled
	trials  []*trial
	mood    mood
	ended   map[ending]int
	kept    int // bytes
	tried   int
	retries int
	moved   int
	opened  int
}

// ending is what an event is counted as.
type ending struct {
	Type
	metrics.Outcome
}

// trial is an attempt that is under way.
type trial struct {
	*Pending
	Attempt
	event *modelled
	at    *model
	era   int
	ends  time.Duration
	f     *Failure
}

// mood is what the backend does, in percent.
type mood struct{ fails, unsent, unanswered, slow, after int }

func simulate(t *testing.T, seed uint64) *simulation {
	s := &simulation{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 0xd15)), trace: fnv.New64a(), ended: make(map[ending]int)}
	s.counted = options()
	s.succeed()
	s.change()
	return s
}

// fail ends the run with what is needed to repeat it.
func (s *simulation) fail(format string, args ...any) {
	s.t.Helper()
	if !s.failed {
		s.t.Errorf("seed %d, step %d: %s\nrepeat it with: go test ./gateway/upstream -run Simulation -seed %d -ops %d",
			s.seed, s.steps, fmt.Sprintf(format, args...), s.seed, *simulationOps)
	}
	s.failed = true
}

// note is a line of the trace.
func (s *simulation) note(format string, args ...any) {
	fmt.Fprintf(s.trace, "%d "+format+"\n", append([]any{s.now}, args...)...)
}

// upTo is a random time of at most so many milliseconds.
func (s *simulation) upTo(ms int) time.Duration {
	return time.Duration(s.random.Int64N(int64(ms)*int64(time.Millisecond) + 1))
}

// succeed makes a schedule with a configuration of its own, which what waits moves to.
func (s *simulation) succeed() {
	r := s.random
	o := s.Options
	o.Config.InFlight, o.Config.Waiting, o.Config.Farewells = 1+r.IntN(5), 1+r.IntN(20), 1+r.IntN(8)
	o.Config.Timeout, o.Config.Budget, o.Config.ConnectBudget = 500e6, 1500e6, 800e6
	o.Config.RepeatUnanswered, o.Config.RepeatReset = r.IntN(3) == 0, r.IntN(3) == 0
	o.Config.Breaker = config.Breaker{
		Window: 1e9, Attempts: 2 + r.IntN(12), Failures: 20 + r.IntN(81), Probe: config.Duration(1 + s.upTo(600)),
	}
	random := rand.NewPCG(r.Uint64(), 0)
	m := &model{config: o.Config, epoch: s.now - s.upTo(5000), account: NewAccount(o, random), schedule: NewSchedule(&o, random)}
	old := s.current
	s.current, s.models = m, append(s.models, m)
	if old == nil {
		return
	}
	if left := old.schedule.Leave(); left == old.closing {
		s.fail("left: %t, closing: %t", left, old.closing)
	}
	if old.closing {
		return
	}
	old.heir = m
	m.schedule.Succeed()
	for p := old.schedule.Pull(); p != nil; p = old.schedule.Pull() {
		e := s.events[p.Call.From.Slot]
		if before, _ := old.before(e); before != nil {
			s.fail("event %d moves before %d", e.number, before.number)
		}
		s.adopt(old, p)
		if i := slices.IndexFunc(s.trials, func(t *trial) bool { return t.at == old }); i >= 0 && r.IntN(4) == 0 {
			s.end(s.trials[i]) // meanwhile
		}
		if p := old.schedule.Begin(s.now - old.epoch); p != nil {
			s.fail("event %d is begun where it is about to leave", p.Call.From.Slot)
		}
	}
	if len(old.waiting) > 0 {
		s.fail("%d events are left behind", len(old.waiting))
	}
}

// adopt hands p, which has left a schedule, to the successor.
func (s *simulation) adopt(from *model, p *Pending) {
	e := s.events[p.Call.From.Slot]
	s.moved++
	from.leave(e)
	to := from.heir
	for to.heir != nil {
		to = to.heir
	}
	if took := to.schedule.Adopt(p, from.epoch-to.epoch); took == to.closing {
		s.fail("adopted: %t, closing: %t", took, to.closing)
	}
	if to.closing {
		s.over(e, metrics.OutcomeCanceled)
		from.account.GiveUp(p, s.now-from.epoch)
		return
	}
	to.enter(e)
}

// change gives the backend another mood.
func (s *simulation) change() {
	r := s.random
	s.mood = mood{fails: []int{0, 5, 50, 100}[r.IntN(4)], unsent: r.IntN(100), unanswered: r.IntN(100), slow: r.IntN(900), after: r.IntN(3) * 1000}
}

// arrive hands an event over.
func (s *simulation) arrive(m *model) {
	e := &modelled{number: len(s.events), size: s.random.IntN(64), typ: []Type{Connect, Connected, Message, Message, Message, Disconnected, Disconnected}[s.random.IntN(7)]}
	budget := map[Type]time.Duration{Connect: 800e6, Connected: 1500e6, Message: 1500e6, Disconnected: 6000e6}[e.typ]
	e.deadline = s.now + budget
	e.lastTurn = e.deadline - min(budget, 500e6)/10
	e.wake = e.lastTurn
	s.events = append(s.events, e)
	ev := event(e.typ, e.number)
	ev.Name, ev.Data = "message", make([]byte, e.size)
	fits := s.Budget.Used()+int64(e.size) <= s.Budget.Limit()
	p, r := m.account.Take(ev, s, time.Unix(0, 0).Add(s.now), s.now-m.epoch)
	if p == nil {
		if fits && s.kept+e.size <= int(s.Budget.Limit())/2 {
			s.fail("no room for %d bytes, %d are kept of %d", e.size, s.kept, s.Budget.Limit())
		}
		s.refused(e, r, metrics.OutcomeOverloaded)
		return
	}
	s.kept += e.size
	s.add(m, e, p)
}

// add has the schedule take p, or its successor, or nobody.
func (s *simulation) add(m *model, e *modelled, p *Pending) {
	taken := !m.closing && m.heir == nil
	if taken {
		m.enter(e)
	}
	next, o := m.schedule.Add(p, s.now-m.epoch)
	if next != nil {
		s.begin(m, next)
	}
	switch full := m.crowded(e); {
	case !taken && o != metrics.OutcomeCanceled, taken && full != (o == metrics.OutcomeOverloaded), taken && !full && o != metrics.OutcomeOK:
		s.fail("event %d: %v, taken %t, full %t", e.number, o, taken, full)
	case o == metrics.OutcomeOK:
	case m.heir != nil:
		p.Call.From.Slot = uint32(e.number)
		s.adopt(m, p)
	default:
		m.leave(e)
		s.kept -= e.size
		s.refused(e, m.account.Refuse(p), o)
	}
}

// refused holds what the answer to an event is that was not taken.
func (s *simulation) refused(e *modelled, r Reply, o metrics.Outcome) {
	told := r.Close.Code == tryAgainLater
	if e.typ == Connect {
		told = r.Verdict != nil && r.Verdict.Status == 503
	}
	if r.Outcome != o || told == (e.typ == Disconnected) {
		s.fail("event %d is refused with %+v", e.number, r)
	}
	s.note("refused %d %v", e.number, o)
	e.stage = over
	e.answers++
	s.ended[ending{e.typ, o}]++
}

// begin makes an attempt, and lets the mood decide how it will end.
func (s *simulation) begin(m *model, p *Pending) {
	e := s.events[p.Call.From.Slot]
	if err := m.begin(e, s.now); err != nil {
		s.fail("%v", err)
		return
	}
	t := &trial{Pending: p, Attempt: m.account.Begin(p, s.now-m.epoch), event: e, at: m, era: m.era}
	s.note("begin %d %s", e.number, p.Call.ID)
	s.tried++
	if e.attempts > 1 {
		s.retries++
	}
	if e.id == "" {
		e.id = p.Call.ID
	}
	if p.Call.ID != e.id || p.Call.ID == "" || p.Call.Attempt != e.attempts || len(p.Call.Data) != e.size {
		s.fail("event %d: attempt %d is %+v", e.number, e.attempts, p.Call)
	}
	until := t.Until + m.epoch
	if until > e.deadline || until > s.now+time.Duration(m.config.Timeout) || until <= s.now {
		s.fail("event %d: an attempt from %v until %v, budget until %v", e.number, s.now, until, e.deadline)
	}
	t.ends, t.f = s.now+s.upTo(s.mood.slow), s.outcome()
	if t.ends >= until {
		t.ends, t.f = until, failure(Unanswered)
	}
	s.trials = append(s.trials, t)
}

// outcome is how the backend takes an event.
func (s *simulation) outcome() *Failure {
	r, m := s.random, s.mood
	if r.IntN(100) >= m.fails {
		return nil
	}
	f := &Failure{Kind: Refused, Broken: r.IntN(2) == 0, Doubt: r.IntN(3) == 0, Err: errors.New("as the seed wants it")}
	switch k := r.IntN(100); {
	case k < m.unsent:
		f.Kind = Unsent
		f.After = s.upTo(m.after)
		if r.IntN(4) == 0 {
			f.Verdict = &Verdict{Status: 429}
		}
	case k < m.unanswered:
		f.Kind, f.Stale = Unanswered, r.IntN(2) == 0
	}
	return f
}

// end ends an attempt.
func (s *simulation) end(t *trial) {
	s.trials = slices.DeleteFunc(s.trials, func(x *trial) bool { return x == t })
	e, m, now := t.event, t.at, s.now-t.at.epoch
	m.account.Ended(t.Pending, t.Attempt, t.f, now)
	m.running--
	turned := m.record(s.now, t.era, t.f == nil || t.f.Kind == Refused)
	again := t.f != nil && m.again(e, t.f, s.now)
	end := m.schedule.Ended(t.Pending, t.f, now)
	s.note("end %d %v", e.number, end)
	want := Over
	switch {
	case again && m.heir != nil:
		want = Moves
	case again:
		want = Waits
	}
	if end.Fate != want || end.Turned != turned || end.Breaker != m.state {
		s.fail("event %d ended with %v: %+v, want fate %d, breaker %v, turned %t", e.number, t.f, end, want, m.state, turned)
		return
	}
	if turned {
		s.opened++
	}
	m.account.Tell(e.typ, t.f, end)
	switch end.Fate {
	case Over:
		s.settle(t)
	case Waits:
		s.rest(t)
		m.enter(e)
	case Moves:
		s.rest(t)
		s.adopt(m, t.Pending)
	}
}

// rest holds how long an event waits for its next attempt.
func (s *simulation) rest(t *trial) {
	e := t.event
	e.stage, e.wake = resting, t.wake+t.at.epoch
	e.due, e.verdict = e.wake, t.f.Verdict != nil
	if e.wake > e.lastTurn || e.wake < min(s.now+t.f.After, e.lastTurn) || e.wake > s.now+max(t.f.After, min(lastCeiling, firstCeiling<<(e.attempts-1))) {
		s.fail("event %d rests until %v, it failed with %v the %d. time, and wants to rest for %v", e.number, e.wake, t.f, e.attempts, t.f.After)
	}
}

// settle reports an event whose last attempt has ended.
func (s *simulation) settle(t *trial) {
	e, m, now := t.event, t.at, s.now-t.at.epoch
	if t.f == nil {
		s.over(e, metrics.OutcomeOK)
		m.account.Answer(t.Pending, Reply{}, now)
		return
	}
	e.verdict = t.f.Verdict != nil
	o := metrics.OutcomeFailed
	switch told := e.typ == Connected || e.typ == Disconnected; {
	case t.f.Kind == Refused && !(told && t.f.Broken):
		o = metrics.OutcomeRefused
	case m.aborted:
		o = metrics.OutcomeCanceled
	case errors.Is(t.f.Err, context.DeadlineExceeded):
		o = metrics.OutcomeTimeout
	}
	s.over(e, o)
	m.account.GiveUp(t.Pending, now)
}

// over notes how an event ends, which is reported next.
func (s *simulation) over(e *modelled, o metrics.Outcome) {
	if e.stage == over {
		s.fail("event %d ends twice", e.number)
	}
	if e.typ == Connect && e.verdict && o != metrics.OutcomeOK {
		o = metrics.OutcomeOK // the backend's own words
	}
	e.stage = over
	s.kept -= e.size
	s.ended[ending{e.typ, o}]++
}

// Reply takes an answer.
func (s *simulation) Reply(to session.Ref, r Reply) {
	e := s.events[to.Slot]
	s.note("answer %d %v %d", e.number, r.Outcome, r.Close.Code)
	if e.answers++; e.answers > 1 || e.stage != over || e.typ == Disconnected {
		s.fail("event %d (%v) has %d answers, at stage %d", e.number, e.typ, e.answers, e.stage)
	}
}
