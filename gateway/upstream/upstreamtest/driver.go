// Package upstreamtest drives an [upstream.Schedule] on one goroutine and on
// whatever clock a test has, so that a seed can decide all that happens.
package upstreamtest

import (
	"context"
	"math/rand/v2"
	"time"

	"sluice/gateway/upstream"
	"sluice/metrics"
)

// Clock is the time of a test, as netpolltest.World is.
type Clock interface {
	// Now is the time since an epoch.
	Now() time.Duration
	// Wall is the time of day.
	Wall() time.Time
	// After has f called when d has gone by, never before it returns.
	After(d time.Duration, f func())
}

// Exchange begins to take c to a backend, and calls done once, when that has
// answered or failed, but not before Exchange returns, and not after until. What
// is said of [upstream.Protocol] holds for c and what is handed to done.
type Exchange func(c *upstream.Call, until time.Duration, done func(upstream.Reply, *upstream.Failure))

// Driver is an [upstream.Upstream] that makes its attempts by an [Exchange]. It
// has no goroutine and no lock: all is done where Send, done, and what the clock
// is given are called.
type Driver struct {
	// Patience is how long Close leaves what there is. It may be set before the
	// first event.
	Patience time.Duration

	clock    Clock
	exchange Exchange
	account  *upstream.Account
	schedule *upstream.Schedule
	armed    time.Duration // when the clock calls, at the latest; 0: never
	heir     *Driver
	over     [16]*upstream.Pending
}

// New returns a Driver. Its pauses and ids are random.
func New(o upstream.Options, clock Clock, random rand.Source, x Exchange) *Driver {
	return &Driver{
		clock:    clock,
		exchange: x,
		account:  upstream.NewAccount(o, random),
		schedule: upstream.NewSchedule(&o, random),
	}
}

// Traits says which events the configuration lists.
func (d *Driver) Traits() upstream.Traits { return d.account.Traits() }

// Send takes ev, or answers at once.
func (d *Driver) Send(ev *upstream.Event, late upstream.Sink) (upstream.Reply, bool) {
	now := d.clock.Now()
	p, r := d.account.Take(ev, late, d.clock.Wall(), now)
	if p == nil {
		return r, true
	}
	next, outcome := d.schedule.Add(p, now)
	if next != nil {
		d.begin(next)
	}
	if outcome != metrics.OutcomeOK && !d.bequeath(p) {
		return d.account.Refuse(p), true
	}
	d.fill()
	return upstream.Reply{}, false
}

// begin makes an attempt.
func (d *Driver) begin(p *upstream.Pending) {
	a := d.account.Begin(p, d.clock.Now())
	d.exchange(&p.Call, a.Until, func(r upstream.Reply, f *upstream.Failure) { d.ended(p, a, r, f) })
}

func (d *Driver) ended(p *upstream.Pending, a upstream.Attempt, r upstream.Reply, f *upstream.Failure) {
	now := d.clock.Now()
	d.account.Ended(p, a, f, now)
	e := d.schedule.Ended(p, f, now)
	d.account.Tell(p.Call.Type, f, e)
	switch {
	case e.Fate == upstream.Over && f == nil:
		d.account.Answer(p, r, now)
	case e.Fate == upstream.Over, e.Fate == upstream.Moves && !d.bequeath(p):
		d.account.GiveUp(p, now)
	}
	d.fill()
}

// tick does what is due.
func (d *Driver) tick() {
	now := d.clock.Now()
	for more := true; more; {
		var over []*upstream.Pending
		over, more = d.schedule.Due(now, d.over[:0])
		for _, p := range over {
			d.account.GiveUp(p, now)
		}
	}
	d.fill()
}

// fill begins the attempts whose turn it is, at the successor if there is one.
func (d *Driver) fill() {
	d = d.last()
	for p := d.schedule.Begin(d.clock.Now()); p != nil; p = d.schedule.Begin(d.clock.Now()) {
		d.begin(p)
	}
	d.arm()
}

// arm has the clock call when the schedule wants to be called, unless it does so
// earlier.
func (d *Driver) arm() {
	next, now := d.schedule.Next(), d.clock.Now()
	if next == upstream.Never || d.armed > now && d.armed <= next {
		return
	}
	d.armed = max(next, now)
	d.clock.After(next-now, d.tick)
}

// MoveTo hands what waits over to u, which has taken the place of d.
func (d *Driver) MoveTo(u upstream.Upstream) {
	to, ok := u.(*Driver)
	if !ok || to == d || !d.schedule.Leave() {
		return
	}
	d.heir = to
	to.schedule.Succeed()
	for p := d.schedule.Pull(); p != nil; p = d.schedule.Pull() {
		if !d.bequeath(p) {
			d.account.GiveUp(p, d.clock.Now())
		}
	}
	d.fill()
}

// bequeath has the successor take p, and reports whether it does.
func (d *Driver) bequeath(p *upstream.Pending) bool {
	return d.heir != nil && d.last().schedule.Adopt(p, 0)
}

// last is the successor that has none.
func (d *Driver) last() *Driver {
	for d.heir != nil {
		d = d.heir
	}
	return d
}

// Close takes no more events. It cannot wait: what there is goes on, and what is
// left when Patience is over is given up then.
func (d *Driver) Close(context.Context) (lost int) {
	d.schedule.Close()
	d.clock.After(d.Patience, func() {
		for _, p := range d.schedule.Abort() {
			d.account.GiveUp(p, d.clock.Now())
		}
	})
	return 0
}

// Drained reports whether Close was called and nothing is left.
func (d *Driver) Drained() bool { return d.schedule.Drained() }
