package upstream

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"sluice/metrics"
	"sluice/session"
)

// Dispatcher is an [Upstream] that takes events to a backend by a [Protocol].
//
// It makes a bounded number of attempts at a time, in a goroutine each; those
// that find nothing more to do end after a while. All other events wait as
// plain memory, for their turn or for their next attempt. Those that a client
// waits behind, and farewells, have a lane each; the lanes take turns, and each
// is served in the order of arrival.
//
// It knows nothing of sessions. A session has at most one event under way, and
// its farewell comes behind the answer to the last: whatever overtakes a failed
// event while that waits to be tried again belongs to another session.
type Dispatcher struct {
	protocol Protocol
	o        Options
	wants    subscription
	bound    [lanes]int
	share    *session.Share // of the budget, for the data of messages
	epoch    time.Time      // what the clock counts from

	attempts context.Context // the parent of each attempt's
	cancel   context.CancelFunc
	spare    sync.Pool      // of *pending
	working  sync.WaitGroup // workers and the timekeeper
	timer    *time.Timer
	drained  chan struct{} // closed when nothing is left that was taken
	quit     chan struct{} // ends the timekeeper
	closed   chan struct{}

	// The loops wait for this lock: nothing is called under it that could take
	// longer than a few steps.
	mu      sync.Mutex
	queue   queue
	breaker breaker
	crew    crew
	armed   time.Duration // when the timer fires
	taken   int           // events that wait or are being attempted
	running int           // those that are being attempted, each by its worker
	lost    int           // those that Close gave up
	log     sparingly
	heir    *Dispatcher // has taken over what waits, nil: nobody
	closing bool        // no event comes any more
	aborted bool        // and none is attempted any more
}

// NewDispatcher returns an Upstream that takes events to a backend by p. It
// owns p, and closes it.
func NewDispatcher(p Protocol, o Options) *Dispatcher {
	d := &Dispatcher{
		protocol: p,
		o:        o,
		wants:    subscribe(o.Config.Events),
		bound:    [lanes]int{clients: o.Config.Waiting, farewells: o.Config.Farewells},
		epoch:    time.Now(),
		timer:    time.NewTimer(0),
		drained:  make(chan struct{}),
		quit:     make(chan struct{}),
		closed:   make(chan struct{}),
		armed:    never,
		queue:    queue{metrics: o.Metrics},
		share:    session.NewShare(o.Budget),
		breaker:  newBreaker(o.Config.Breaker, o.Metrics),
	}
	o.Metrics.Bounds(o.Config.Waiting, o.Config.Farewells, o.Config.InFlight)
	d.timer.Stop()
	d.attempts, d.cancel = context.WithCancel(context.Background())
	d.working.Go(d.keepTime)
	return d
}

// Traits says which events the configuration lists.
func (d *Dispatcher) Traits() Traits { return Traits{Events: d.wants.types} }

// Send takes ev, or answers at once: with the zero Reply where a message has a
// name that nobody listens to, and with a refusal where there is no room.
func (d *Dispatcher) Send(ev *Event, late Sink) (Reply, bool) {
	if ev.Type == Message && !d.wants.message(ev.Name) {
		return Reply{}, true
	}
	d.o.Metrics.Began()
	if !d.share.Take(len(ev.Data)) {
		d.o.Metrics.Reached(metrics.LimitMemory)
		return d.turnAway(ev, metrics.OutcomeOverloaded), true
	}
	p := d.take(ev, late)
	next, w, heir, outcome := d.enter(p)
	if next != nil {
		d.start(w, next)
	}
	if heir != nil && heir.adopt(p, true, d.epoch) {
		heir.fill()
		return Reply{}, false
	}
	if outcome != metrics.OutcomeOK {
		d.share.Give(len(ev.Data))
		d.release(p)
		return d.turnAway(ev, outcome), true
	}
	return Reply{}, false
}

// take copies what is kept of ev.
func (d *Dispatcher) take(ev *Event, late Sink) *pending {
	p, _ := d.spare.Get().(*pending)
	if p == nil {
		p = new(pending)
	}
	now := time.Now()
	p.call = Call{Event: *ev, At: now}
	p.call.Data = bytes.Clone(ev.Data)
	p.sink, p.share = late, d.share
	p.span = d.begin(ev)
	p.allow(now.Sub(d.epoch), d.budget(ev.Type), time.Duration(d.o.Config.Timeout))
	return p
}

// enter queues p, and returns the event that is to be started, if one is, and
// by which worker. If the outcome is not OK, p was not taken; heir, if not nil,
// may take it.
func (d *Dispatcher) enter(p *pending) (next *pending, w worker, heir *Dispatcher, outcome metrics.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing || d.heir != nil {
		return nil, nil, d.heir, metrics.OutcomeCanceled
	}
	d.queue.add(p)
	d.taken++
	if next = d.next(p.began); next != nil {
		w = d.crew.call()
	}
	if next != p && d.queue.waiting[p.lane] > d.bound[p.lane] {
		d.queue.remove(p)
		d.taken--
		outcome = metrics.OutcomeOverloaded
		d.o.Metrics.Reached(p.lane.limit())
	}
	d.arm()
	return next, w, nil, outcome
}

// turnAway counts an event that is not taken, and returns the answer to it.
func (d *Dispatcher) turnAway(ev *Event, o metrics.Outcome) Reply {
	p := pending{call: Call{Event: *ev, At: time.Now()}, span: d.begin(ev)}
	d.count(&p, o, 0)
	return undelivered(ev.Type, o)
}

// next returns the event whose turn it is, to be attempted now, or nil: nothing
// waits, all workers are busy, or the breaker is open. Under the lock.
func (d *Dispatcher) next(now time.Duration) *pending {
	if d.heir != nil || d.running == d.o.Config.InFlight || d.queue.empty() || !d.breaker.admit(now) {
		return nil
	}
	d.running++
	p := d.queue.take()
	p.era = d.breaker.era
	return p
}

// settle ends an attempt of p, which is answered or waits for the next one. It
// returns the event that the worker goes on with, or nil if w is idle now.
func (d *Dispatcher) settle(w worker, p *pending, r Reply, f *Failure) (next *pending) {
	now := d.now()
	d.mu.Lock()
	d.running--
	changed := d.breaker.record(now, p.era, f == nil || f.Kind == Refused)
	state := d.breaker.state
	again := f != nil && d.tryAgain(p, f, now)
	heir := d.heir
	if again && heir != nil {
		d.queue.remove(p)
	}
	if !again || heir != nil {
		d.done(1)
	}
	told, unsaid := false, 0
	if f != nil {
		p.doubt = p.doubt || f.Kind == Unanswered || f.Doubt
	} else if r.Verdict != nil && r.Verdict.Status != 0 {
		r.Verdict.Doubt = p.doubt // an attempt before this one
	}
	if f != nil && !again {
		r = d.failed(p, f)
		told, unsaid = d.log.allow(now)
	}
	if next = d.next(now); next == nil {
		d.crew.rest(w, now)
	}
	d.arm()
	d.mu.Unlock()

	if f != nil && errors.Is(f, ErrTooLong) {
		d.o.Metrics.Reached(metrics.LimitResponse)
	}
	if changed {
		d.announce(state, f)
	}
	if told {
		d.o.Log.Warn("the upstream has not taken an event", "hub", d.o.Hub, "event", p.call.Type.String(), "err", f, "others", unsaid)
	}
	if !again {
		d.finish(p, r, now)
	} else if heir != nil {
		d.bequeath(heir, p, false)
	}
	if changed && state == metrics.StateClosed {
		d.fill()
	}
	return next
}

// failed is the answer to p, whose last attempt ended with f. Under the lock.
func (d *Dispatcher) failed(p *pending, f *Failure) Reply {
	o := f.outcome(p.call.Type)
	if d.aborted && o != metrics.OutcomeRefused {
		d.lost++
		o = metrics.OutcomeCanceled
	}
	return p.last(f, o)
}

// done says that n > 0 events that were taken have left. Under the lock.
func (d *Dispatcher) done(n int) {
	d.taken -= n
	if d.closing && d.taken == 0 {
		close(d.drained)
	}
}

// finish answers p, which is out of the queue, and ends it. Not under the lock.
func (d *Dispatcher) finish(p *pending, r Reply, now time.Duration) {
	t, from, sink := p.call.Type, p.call.From, p.sink
	d.count(p, r.Outcome, now-p.began)
	p.share.Give(len(p.call.Data))
	d.release(p)
	if t != Disconnected {
		sink.Reply(from, r)
	}
}

// count counts an event out. Where the session has ended nobody else learns
// that it did not arrive.
func (d *Dispatcher) count(p *pending, o metrics.Outcome, took time.Duration) {
	t := p.call.Type
	d.o.Metrics.Done(t.Metric(), o, took, p.span.TraceID())
	d.traced(p, o, took)
	if t == Disconnected && o != metrics.OutcomeOK && o != metrics.OutcomeRefused {
		d.o.Metrics.Lost(t.Metric())
	}
}

// release keeps p for another event.
func (d *Dispatcher) release(p *pending) {
	*p = pending{}
	d.spare.Put(p)
}

// now is the time since the dispatcher was made.
func (d *Dispatcher) now() time.Duration { return time.Since(d.epoch) }

// Close ends the dispatcher: no more events are taken. Those it has are
// delivered until ctx ends, farewells first, and then given up; Close returns
// how many these were, when all attempts have ended and the protocol is closed.
func (d *Dispatcher) Close(ctx context.Context) (lost int) {
	if !d.beginClose() {
		<-d.closed // somebody else does it
		return 0
	}
	select {
	case <-d.drained:
	case <-ctx.Done():
		d.abort()
		<-d.drained
	}
	close(d.quit)
	d.dismissAll()
	d.working.Wait()
	d.cancel()
	d.protocol.Close()
	close(d.closed)
	return d.lost
}

// beginClose reports whether the caller is the first.
func (d *Dispatcher) beginClose() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return false
	}
	d.closing = true
	d.queue.farewellsFirst = true
	if d.taken == 0 {
		close(d.drained)
	}
	return true
}

// abort gives up what waits, and cancels the attempts that are under way.
func (d *Dispatcher) abort() {
	d.mu.Lock()
	d.aborted = true
	rest := d.queue.clear()
	d.lost += len(rest)
	if len(rest) > 0 {
		d.done(len(rest))
	}
	d.mu.Unlock()
	d.cancel()
	now := d.now()
	for _, p := range rest {
		r := undelivered(p.call.Type, metrics.OutcomeCanceled)
		if p.failure != nil {
			r = p.last(p.failure, metrics.OutcomeCanceled)
		}
		d.finish(p, r, now)
	}
}
