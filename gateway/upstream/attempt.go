package upstream

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"sluice/metrics"
)

// attempt tries to deliver p once, and does what follows from that. It returns
// the event that the worker goes on with, or nil if w is idle now.
func (d *Dispatcher) attempt(w worker, p *Pending) (next *Pending) {
	t := d.account.Begin(p, d.now())
	ctx, cancel := context.WithDeadline(d.attempts, d.epoch.Add(t.Until))
	r, f := d.deliver(ctx, &p.Call)
	cancel()
	now := d.now()
	d.account.Ended(p, t, f, now)
	typ := p.Call.Type // p may be another's soon

	d.mu.Lock()
	e := d.schedule.Ended(p, f, now)
	if next = d.schedule.Begin(now); next == nil {
		d.crew.rest(w, now)
	}
	d.arm(now)
	d.ebb()
	d.mu.Unlock()

	d.account.Tell(typ, f, e)
	switch {
	case e.Fate == Over && f == nil:
		d.account.Answer(p, r, now)
	case e.Fate == Over:
		d.account.GiveUp(p, now)
	case e.Fate == Moves:
		d.bequeath(p, now)
	}
	if e.Turned && e.Breaker == metrics.StateClosed {
		d.fill()
	}
	return next
}

// deliver is the protocol's Attempt, which must not take the process down with
// a panic: the event that causes one would cause it again.
func (d *Dispatcher) deliver(ctx context.Context, c *Call) (r Reply, f *Failure) {
	defer func() {
		if cause := recover(); cause != nil {
			d.o.Log.Error("panic while an event was delivered", "hub", d.o.Hub, "event", c.Type.String(), "panic", cause, "stack", string(debug.Stack()))
			r, f = Reply{}, &Failure{Kind: Refused, Err: fmt.Errorf("panic: %v", cause)}
		}
	}()
	r, err := d.protocol.Attempt(ctx, c)
	if err != nil && !errors.As(err, &f) {
		f = &Failure{Kind: Refused, Err: err}
	}
	return r, f
}
