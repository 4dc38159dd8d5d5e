package upstream

import (
	"time"

	"sluice/metrics"
)

// MoveTo hands what waits over to u, which has taken the place of d, if u has a
// queue: a backend that has moved is asked where it is now. Order, ids and
// budgets stay. Attempts under way end where they are; those that have to be
// made again, and events that still come here, go to u. Not called by a loop.
func (d *Dispatcher) MoveTo(u Upstream) {
	to, ok := u.(*Dispatcher)
	if !ok || to == d {
		return
	}
	d.mu.Lock()
	if d.closing || d.heir != nil {
		d.mu.Unlock()
		return
	}
	d.heir = to
	d.breaker.metrics = metrics.NewUpstream() // the gauge is the other's now
	d.mu.Unlock()
	to.republish()
	for d.moveSome(to) {
	}
	to.fill()
}

// moveSome moves a few events, so that no loop waits long for a lock, and
// reports whether there may be more.
func (d *Dispatcher) moveSome(to *Dispatcher) (more bool) {
	var moved [64]*pending
	var lined [64]bool
	n := 0
	d.mu.Lock()
	for n < len(moved) && len(d.queue.agenda) > 0 {
		moved[n], lined[n] = d.queue.pull()
		n++
	}
	if n > 0 {
		d.done(n)
	}
	d.mu.Unlock()
	for i, p := range moved[:n] {
		d.bequeath(to, p, lined[i])
	}
	return n > 0
}

// bequeath gives p, which is out of the queue, to another dispatcher.
func (d *Dispatcher) bequeath(to *Dispatcher, p *pending, lined bool) {
	if !to.adopt(p, lined, d.epoch) {
		d.finish(p, undelivered(p.call.Type, metrics.OutcomeCanceled), d.now())
	}
}

// adopt takes p, whose times count from epoch. It reports false if d is closing.
// What other bound p was taken under is not asked.
func (d *Dispatcher) adopt(p *pending, lined bool, epoch time.Time) bool {
	d.mu.Lock()
	if heir := d.heir; heir != nil {
		d.mu.Unlock()
		return heir.adopt(p, lined, epoch)
	}
	defer d.mu.Unlock()
	if d.closing {
		return false
	}
	shift := epoch.Sub(d.epoch)
	p.began += shift
	p.lastTurn += shift
	p.deadline += shift
	d.taken++
	if lined {
		d.queue.add(p)
	} else {
		d.queue.rest(p, p.wake+shift)
	}
	d.arm()
	return true
}

// republish shows the state of the breaker.
func (d *Dispatcher) republish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.breaker.metrics.BreakerState(d.breaker.state)
}
