package upstream

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"sluice/gateway/trace"
	"sluice/metrics"
	"sluice/session"
)

// Account is what a driver needs besides a [Schedule]: it keeps what events are
// made of, and tells of them. It copies them and charges their data to a share
// of the budget, counts and traces them and their attempts, logs what fails, and
// answers who waits. Every goroutine may call its methods, none of which blocks;
// the source of randomness must allow for that if there are several.
type Account struct {
	o      Options
	wants  subscription
	share  *session.Share // of the budget, for the data of messages
	random rand.Source    // for ids
	spare  sync.Pool      // of *Pending
}

// NewAccount returns the Account of one upstream.
func NewAccount(o Options, random rand.Source) *Account {
	return &Account{o: o, wants: subscribe(o.Config.Events), share: session.NewShare(o.Budget), random: random}
}

// Traits says which events the configuration lists.
func (a *Account) Traits() Traits { return Traits{Events: a.wants.types} }

// Take copies what is kept of ev, which happened at a time that the driver's
// clock calls now, and is to be added to the Schedule. If it returns nil, r is
// the answer: the zero Reply where a message has a name that nobody listens to,
// and a refusal where there is no buffer.
func (a *Account) Take(ev *Event, late Sink, at time.Time, now time.Duration) (p *Pending, r Reply) {
	if ev.Type == Message && !a.wants.message(ev.Name) {
		return nil, Reply{}
	}
	a.o.Metrics.Began()
	if !a.share.Take(len(ev.Data)) {
		a.o.Metrics.Reached(metrics.LimitMemory)
		refused := Pending{Call: Call{Event: *ev, At: at}, span: a.begin(ev)}
		a.count(&refused, metrics.OutcomeOverloaded, 0)
		return nil, undelivered(ev.Type, metrics.OutcomeOverloaded)
	}
	p, _ = a.spare.Get().(*Pending)
	if p == nil {
		p = new(Pending)
	}
	p.Call = Call{Event: *ev, At: at}
	p.Call.Data = bytes.Clone(ev.Data)
	p.sink, p.share = late, a.share
	p.span = a.begin(ev)
	p.allow(now, a.budget(ev.Type), time.Duration(a.o.Config.Timeout))
	return p, Reply{}
}

// budget is how long an event may take from Take on.
func (a *Account) budget(t Type) time.Duration {
	switch t {
	case Connect:
		return time.Duration(a.o.Config.ConnectBudget)
	case Disconnected:
		return farewellPatience * time.Duration(a.o.Config.Budget)
	}
	return time.Duration(a.o.Config.Budget)
}

// Refuse ends p, which the Schedule has not taken, and returns the answer to it.
func (a *Account) Refuse(p *Pending) Reply {
	r := p.last()
	a.count(p, r.Outcome, 0)
	a.release(p)
	return r
}

// Attempt is one that is under way.
type Attempt struct {
	Until time.Duration // by the driver's clock: it fails then

	began time.Duration
	span  trace.Span
}

// Begin begins the attempt of p that the Schedule wants.
func (a *Account) Begin(p *Pending, now time.Duration) Attempt {
	if p.Call.Attempt == 1 {
		p.Call.ID = newID(a.random)
	} else {
		a.o.Metrics.Retry()
	}
	a.o.Metrics.Trying()
	span := a.o.Tracer.Begin(p.span.Context)
	p.Call.Trace = span.Context
	return Attempt{min(now+time.Duration(a.o.Config.Timeout), p.deadline), now, span}
}

// Ended counts an attempt of p that has ended; f is nil if it was answered. It
// comes before Schedule.Ended.
func (a *Account) Ended(p *Pending, t Attempt, f *Failure, now time.Duration) {
	took := now - t.began
	a.o.Metrics.Attempt(took, f == nil || f.Kind == Refused, t.span.TraceID())
	a.attempted(t.span, took, p.Call.Attempt, f)
	if f != nil && errors.Is(f, ErrTooLong) {
		a.o.Metrics.Reached(metrics.LimitResponse)
	}
}

// Tell logs what e, the end of an attempt of an event of type t, means to
// operators.
func (a *Account) Tell(t Type, f *Failure, e End) {
	switch {
	case !e.Turned:
	case e.Breaker == metrics.StateClosed:
		a.o.Log.Info("the upstream answers again: its circuit breaker is closed", "hub", a.o.Hub)
	default:
		a.o.Log.Warn("the upstream fails: its circuit breaker is open", "hub", a.o.Hub, "err", f)
	}
	if e.Told {
		a.o.Log.Warn("the upstream has not taken an event", "hub", a.o.Hub, "event", t.String(), "err", f, "others", e.Untold)
	}
}

// Answer reports p, which has left the Schedule with the upstream's answer.
func (a *Account) Answer(p *Pending, r Reply, now time.Duration) {
	if r.Verdict != nil && r.Verdict.Status != 0 {
		r.Verdict.Doubt = p.doubt // of an attempt before this one
	}
	a.report(p, r, now)
}

// GiveUp reports p, which has left the Schedule without an answer, for nobody
// or for a successor that has not adopted it.
func (a *Account) GiveUp(p *Pending, now time.Duration) { a.report(p, p.last(), now) }

func (a *Account) report(p *Pending, r Reply, now time.Duration) {
	t, from, sink := p.Call.Type, p.Call.From, p.sink
	a.count(p, r.Outcome, now-p.began)
	a.release(p)
	if t != Disconnected {
		sink.Reply(from, r)
	}
}

// count counts an event out. Where the session has ended nobody else learns
// that it did not arrive.
func (a *Account) count(p *Pending, o metrics.Outcome, took time.Duration) {
	t := p.Call.Type
	a.o.Metrics.Done(t.Metric(), o, took, p.span.TraceID())
	a.traced(p, o, took)
	if t == Disconnected && o != metrics.OutcomeOK && o != metrics.OutcomeRefused {
		a.o.Metrics.Lost(t.Metric())
	}
}

// release gives the buffer of p back, and keeps p for another event.
func (a *Account) release(p *Pending) {
	p.share.Give(len(p.Call.Data))
	*p = Pending{}
	a.spare.Put(p)
}

// idEncoding has an alphabet that is safe in headers, URLs and file names.
var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newID returns 128 random bits: unique, and no secret.
func newID(random rand.Source) string {
	var raw [16]byte
	binary.NativeEndian.PutUint64(raw[:8], random.Uint64())
	binary.NativeEndian.PutUint64(raw[8:], random.Uint64())
	var text [26]byte
	idEncoding.Encode(text[:], raw[:])
	return string(text[:])
}
