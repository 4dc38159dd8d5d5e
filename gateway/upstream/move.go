package upstream

import "time"

// MoveTo hands what waits over to u, which has taken the place of d, if u has a
// queue: a backend that has moved is asked where it is now. Order, ids and
// budgets stay. Attempts under way end where they are; those that have to be
// made again, and events that still come here, go to u. Not called by a loop.
func (d *Dispatcher) MoveTo(u Upstream) {
	to, ok := u.(*Dispatcher)
	if !ok || to == d || !d.leave(to) {
		return
	}
	to.succeed()
	for d.moveSome() {
	}
	to.fill()
}

// leave makes to the heir of d, and reports false if d has nothing to bequeath.
func (d *Dispatcher) leave(to *Dispatcher) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.schedule.Leave() {
		return false
	}
	d.heir = to
	return true
}

// succeed shows the breaker of d.
func (d *Dispatcher) succeed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.schedule.Succeed()
}

// moveSome moves a few events, so that no loop waits long for a lock, and
// reports whether there may be more.
func (d *Dispatcher) moveSome() (more bool) {
	var room [64]*Pending
	moved := room[:0]
	d.mu.Lock()
	for range room {
		p := d.schedule.Pull()
		if p == nil {
			break
		}
		moved = append(moved, p)
	}
	d.ebb()
	d.mu.Unlock()
	now := d.now()
	for _, p := range moved {
		d.bequeath(p, now)
	}
	return len(moved) > 0
}

// bequeath gives p, which has left, to the heir.
func (d *Dispatcher) bequeath(p *Pending, now time.Duration) {
	if !d.heir.adopt(p, d.epoch) {
		d.account.GiveUp(p, now)
	}
}

// adopt takes p, whose times count from epoch. It reports false if d is closing.
func (d *Dispatcher) adopt(p *Pending, epoch time.Time) bool {
	d.mu.Lock()
	if heir := d.heir; heir != nil {
		d.mu.Unlock()
		return heir.adopt(p, epoch)
	}
	defer d.mu.Unlock()
	if !d.schedule.Adopt(p, epoch.Sub(d.epoch)) {
		return false
	}
	d.arm(d.now())
	return true
}
