package upstream

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"sluice/metrics"
)

// Dispatcher is an [Upstream] that takes events to a backend by a [Protocol].
//
// It is the driver of a [Schedule] that makes the attempts in a goroutine each;
// those that find nothing more to do end after a while. All other events wait as
// plain memory, for their turn or for their next attempt.
type Dispatcher struct {
	protocol Protocol
	o        Options
	account  *Account
	epoch    time.Time // what the clock counts from

	attempts context.Context // the parent of each attempt's
	cancel   context.CancelFunc
	working  sync.WaitGroup // workers and the timekeeper
	timer    *time.Timer
	drained  chan struct{} // closed when nothing is left that was taken
	quit     chan struct{} // ends the timekeeper
	closed   chan struct{}

	// The loops wait for this lock: nothing is called under it that could take
	// longer than a few steps.
	mu       sync.Mutex
	schedule *Schedule
	crew     crew
	armed    time.Duration // when the timer fires
	heir     *Dispatcher   // has taken over what waits, nil: nobody
	empty    bool          // drained is closed
}

// NewDispatcher returns an Upstream that takes events to a backend by p. It
// owns p, and closes it.
func NewDispatcher(p Protocol, o Options) *Dispatcher {
	d := &Dispatcher{
		protocol: p,
		o:        o,
		account:  NewAccount(o, process{}),
		schedule: NewSchedule(&o, process{}),
		epoch:    time.Now(),
		timer:    time.NewTimer(0),
		drained:  make(chan struct{}),
		quit:     make(chan struct{}),
		closed:   make(chan struct{}),
		armed:    Never,
	}
	d.timer.Stop()
	d.attempts, d.cancel = context.WithCancel(context.Background())
	d.working.Go(d.keepTime)
	return d
}

// process is the randomness of the process, for all goroutines.
type process struct{}

func (process) Uint64() uint64 { return rand.Uint64() }

// Traits says which events the configuration lists.
func (d *Dispatcher) Traits() Traits { return d.account.Traits() }

// Send takes ev, or answers at once: with the zero Reply where a message has a
// name that nobody listens to, and with a refusal where there is no room.
func (d *Dispatcher) Send(ev *Event, late Sink) (Reply, bool) {
	at := time.Now()
	now := at.Sub(d.epoch)
	p, r := d.account.Take(ev, late, at, now)
	if p == nil {
		return r, true
	}
	next, w, heir, outcome := d.enter(p, now)
	if next != nil {
		d.start(w, next)
	}
	if heir != nil && heir.adopt(p, d.epoch) {
		heir.fill()
		return Reply{}, false
	}
	if outcome != metrics.OutcomeOK {
		return d.account.Refuse(p), true
	}
	return Reply{}, false
}

// enter queues p, and returns the event that is to be started, if one is, and
// by which worker. If the outcome is not OK, p was not taken; heir, if not nil,
// may take it.
func (d *Dispatcher) enter(p *Pending, now time.Duration) (next *Pending, w worker, heir *Dispatcher, outcome metrics.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if next, outcome = d.schedule.Add(p, now); outcome == metrics.OutcomeCanceled {
		return nil, nil, d.heir, outcome
	}
	if next != nil {
		w = d.crew.call()
	}
	d.arm(now)
	return next, w, nil, outcome
}

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
	return d.schedule.Lost()
}

// beginClose reports whether the caller is the first.
func (d *Dispatcher) beginClose() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.schedule.Closed() {
		return false
	}
	d.schedule.Close()
	d.ebb()
	return true
}

// abort gives up what waits, and cancels the attempts that are under way.
func (d *Dispatcher) abort() {
	d.mu.Lock()
	rest := d.schedule.Abort()
	d.ebb()
	d.mu.Unlock()
	d.cancel()
	now := d.now()
	for _, p := range rest {
		d.account.GiveUp(p, now)
	}
}

// ebb tells who closes d that nothing is left. Under the lock.
func (d *Dispatcher) ebb() {
	if !d.empty && d.schedule.Drained() {
		d.empty = true
		close(d.drained)
	}
}
