package upstream

import (
	"slices"
	"time"
)

// worker is a goroutine that makes attempts, one at a time, named by the
// channel on which it gets its next event, or nil to go home. An idle worker
// stays for a while: one that is new must first grow its stack, which can take
// longer than all the rest of the dispatcher's work.
type worker chan *Pending

// shift is how often workers are sent home that had nothing to do since the
// last time.
const shift = 10 * time.Second

// crew are the idle workers, the one that was busy last at the end. It is not
// safe for concurrent use.
type crew struct {
	idle   []worker
	unused int // so many at the front have not been called in this shift
	end    time.Duration
}

// rest takes w in.
func (c *crew) rest(w worker, now time.Duration) {
	if len(c.idle) == 0 {
		c.end, c.unused = now+shift, 0
	}
	c.idle = append(c.idle, w)
}

// call takes a worker out that is to get an event, or returns nil.
func (c *crew) call() worker {
	last := len(c.idle) - 1
	if last < 0 {
		return nil
	}
	w := c.idle[last]
	c.idle = c.idle[:last]
	c.unused = min(c.unused, last)
	return w
}

// dismiss takes those out that are to be sent home, if the shift is over.
func (c *crew) dismiss(now time.Duration) []worker {
	if now < c.end {
		return nil
	}
	return c.discharge(now, c.unused)
}

// discharge takes out the n that have been idle for longest.
func (c *crew) discharge(now time.Duration, n int) []worker {
	gone := slices.Clone(c.idle[:n])
	c.idle = slices.Delete(c.idle, 0, n)
	c.end, c.unused = now+shift, len(c.idle)
	return gone
}

// start has p attempted by w, or by a new worker if that is nil. Not under the
// lock.
func (d *Dispatcher) start(w worker, p *Pending) {
	if w == nil {
		d.working.Go(func() { d.work(p) })
		return
	}
	w <- p
}

// work is a worker: it attempts p, and then what waits.
func (d *Dispatcher) work(p *Pending) {
	w := make(worker, 1)
	for p != nil {
		if p = d.attempt(w, p); p == nil {
			p = <-w
		}
	}
}

// dismissAll sends the workers home when nothing is left to do.
func (d *Dispatcher) dismissAll() {
	d.mu.Lock()
	home := d.crew.discharge(d.now(), len(d.crew.idle))
	d.mu.Unlock()
	for _, w := range home {
		close(w)
	}
}
