package upstream

import "time"

// now is the time since the dispatcher was made.
func (d *Dispatcher) now() time.Duration { return time.Since(d.epoch) }

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

// tick does what is due, starts the attempts whose time has come, and sends idle
// workers home.
func (d *Dispatcher) tick() {
	d.mu.Lock()
	d.armed = Never
	home := d.crew.dismiss(d.now())
	d.mu.Unlock()
	for _, w := range home {
		close(w)
	}
	for d.expire() {
	}
	d.fill()
}

// expire does some of what is due, so that no loop waits long for the lock, and
// reports whether there may be more.
func (d *Dispatcher) expire() (more bool) {
	var room [64]*Pending
	now := d.now()
	d.mu.Lock()
	over, more := d.schedule.Due(now, room[:0])
	d.ebb()
	d.mu.Unlock()
	for _, p := range over {
		d.account.GiveUp(p, now)
	}
	return more
}

// fill starts attempts until there are enough, or nothing waits for one: of the
// heir, if there is one.
func (d *Dispatcher) fill() {
	for {
		d.mu.Lock()
		now := d.now()
		next := d.schedule.Begin(now)
		if next == nil {
			d.arm(now)
			heir := d.heir
			d.mu.Unlock()
			if heir != nil {
				heir.fill()
			}
			return
		}
		w := d.crew.call()
		d.mu.Unlock()
		d.start(w, next)
	}
}

// arm sets the timer to what comes next, if it would fire later: for the
// schedule or the end of a shift. For a probe there is always a worker: the
// attempt whose failure opened the breaker has left one. Under the lock.
func (d *Dispatcher) arm(now time.Duration) {
	at := d.schedule.Next()
	if len(d.crew.idle) > 0 {
		at = min(at, d.crew.end)
	}
	if at < d.armed {
		d.armed = at
		d.timer.Reset(at - now)
	}
}
