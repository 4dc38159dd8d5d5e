package upstream

import (
	"math"
	"time"

	"sluice/metrics"
)

// never is later than everything.
const never time.Duration = math.MaxInt64

// keepTime is the goroutine that does what is to be done at a certain time.
func (d *Dispatcher) keepTime() {
	for {
		select {
		case <-d.timer.C:
			d.tick()
		case <-d.quit:
			d.timer.Stop()
			return
		}
	}
}

// tick does what is due: it gives up events whose budget is used up, lines up
// those that are to be attempted again, starts the attempts, and sends idle
// workers home.
func (d *Dispatcher) tick() {
	d.mu.Lock()
	d.armed = never
	home := d.crew.dismiss(d.now())
	d.mu.Unlock()
	for _, w := range home {
		close(w)
	}
	for d.expire() {
	}
	d.fill()
}

// expire takes a few steps of the agenda, so that no loop waits long for the
// lock, and reports whether there may be more.
func (d *Dispatcher) expire() (more bool) {
	var over [64]*pending
	n := 0
	now := d.now()
	d.mu.Lock()
	for range over {
		var p *pending
		if p, more = d.queue.step(now); !more {
			break
		}
		if p != nil {
			over[n] = p
			n++
		}
	}
	unattempted := metrics.OutcomeOverloaded
	if d.breaker.state != metrics.StateClosed {
		unattempted = metrics.OutcomeCircuitOpen
	}
	if n > 0 {
		d.done(n)
	}
	d.mu.Unlock()
	for _, p := range over[:n] {
		r := undelivered(p.call.Type, unattempted)
		if p.failure != nil {
			r = p.last(p.failure, p.failure.outcome(p.call.Type))
		}
		d.finish(p, r, now)
	}
	return more
}

// arm sets the timer to what comes next, if it would fire later: something on
// the agenda, the end of a shift, or the probe. For a probe there is always a
// worker: the attempt whose failure opened the breaker has left one. Under the
// lock.
func (d *Dispatcher) arm() {
	at := never
	if len(d.queue.agenda) > 0 {
		at = d.queue.agenda[0].wake
	}
	if len(d.crew.idle) > 0 {
		at = min(at, d.crew.end)
	}
	if d.breaker.state == metrics.StateOpen && !d.queue.empty() {
		at = min(at, d.breaker.probeAt)
	}
	if at < d.armed {
		d.armed = at
		d.timer.Reset(at - d.now())
	}
}
