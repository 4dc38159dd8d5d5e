package gateway

import (
	"context"
	"errors"
	"time"

	"sluice/gateway/upstream"
	"sluice/gateway/upstream/upstreamtest"
	"sluice/session"
)

// simulatedDispatch is a way to the backend as a webhook is one: over the schedule that real upstreams have, by exchanges that
// fail at times.
type simulatedDispatch struct {
	*upstreamtest.Driver
	backend *simulatedBackend
	closed  bool
}

// dispatch opens a way to the backend.
func (b *simulatedBackend) dispatch(o upstream.Options) *simulatedDispatch {
	r := b.world.Rand()
	o.Config.InFlight = 1 + r.IntN(12)
	if r.IntN(3) == 0 {
		o.Config.Waiting, o.Config.Farewells = 1+r.IntN(6), 1+r.IntN(6)
	}
	o.Config.Timeout /= 10
	o.Config.Breaker.Attempts = 4 + r.IntN(20)
	o.Config.Breaker.Probe /= 8
	d := &simulatedDispatch{backend: b}
	d.Driver = upstreamtest.New(o, b.world, r, d.exchange)
	d.Patience = time.Duration(r.IntN(20)) * time.Second
	return d
}

func (d *simulatedDispatch) Send(ev *upstream.Event, late upstream.Sink) (upstream.Reply, bool) {
	if d.closed {
		d.backend.fail("%v is sent to an upstream that is closed", ev.Type)
	}
	c := d.backend.sent(ev)
	r, inline := d.Driver.Send(ev, simulatedSink{d.backend, late})
	if inline {
		d.backend.answered(c, r)
	}
	return r, inline
}

func (d *simulatedDispatch) Close(ctx context.Context) int {
	d.closed = true
	return d.Driver.Close(ctx)
}

func (d *simulatedDispatch) MoveTo(u upstream.Upstream) {
	if to, ok := u.(*simulatedDispatch); ok {
		d.Driver.MoveTo(to.Driver)
	}
}

// simulatedSink tells the backend which answers the gateway gets.
type simulatedSink struct {
	backend *simulatedBackend
	late    upstream.Sink
}

func (s simulatedSink) Reply(to session.Ref, r upstream.Reply) {
	s.backend.answered(s.backend.conns[to], r)
	s.late.Reply(to, r)
}

// exchange takes c to the backend. If that fails at times, c may not come there, or be answered in vain; what the backend has
// heard before it knows by its id.
func (d *simulatedDispatch) exchange(c *upstream.Call, until time.Duration, done func(upstream.Reply, *upstream.Failure)) {
	b, w := d.backend, d.backend.world
	takes := time.Duration(w.Rand().IntN(b.slowest)) * time.Millisecond
	how := w.Rand().IntN(24)
	if w.Now()/(2*time.Second)%4 == 3 { // a bad time
		how /= 8
	}
	switch {
	case b.failing && how == 0:
		after := time.Duration(w.Rand().IntN(300)) * time.Millisecond
		w.After(takes, func() {
			done(upstream.Reply{}, &upstream.Failure{Kind: upstream.Unsent, After: after, Err: errors.New("as the seed wants it")})
		})
	case b.failing && how == 1 || takes >= until-w.Now():
		w.After(min(takes, until-w.Now()), func() {
			if b.execute(c); c.Type == upstream.Disconnected {
				b.vain++
			}
			b.conns[c.From].accepted = true // as far as the gateway can know
			done(upstream.Reply{}, &upstream.Failure{Kind: upstream.Unanswered, Err: context.DeadlineExceeded})
		})
	default:
		w.After(takes, func() { done(b.execute(c), nil) })
	}
}

// execute has the backend act on what it has not heard before.
func (b *simulatedBackend) execute(c *upstream.Call) upstream.Reply {
	r, heard := b.heard[c.ID]
	if !heard {
		r = b.act(b.conns[c.From], &c.Event)
		b.heard[c.ID] = r
	}
	return r
}
