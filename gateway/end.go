package gateway

import (
	"time"

	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
)

// gone ends what there is of c, whose socket is closed, and tells its upstream.
func (l *loop) gone(c *client, from engine.State) {
	if !c.Upgraded() {
		if from == engine.Heading || from == engine.Asking {
			l.handshaken(c, metrics.ResultClientGone)
		}
		if !c.waiting() {
			l.vacate(c)
		}
		return
	}
	l.g.sessions.Add(-1)
	defer l.g.places.Add(-1) // when the upstream has been told
	l.strike(c)
	l.metrics.Closed(c.hub.metrics, uint16(c.Closing.Code()), c.Reason(), time.Duration(l.Now()-c.opened)*engine.Tick)
	if !l.carryOn(c) {
		l.farewell(c)
	}
}

// abandon ends what there is of c, when nothing is waited for any more.
func (l *loop) abandon(c *client, reason metrics.Reason) {
	if c.Upgraded() {
		c.Release(engine.HoldEvent)
		l.forsakeHeld(c, metrics.DiscardShutdown)
		l.unpart(c)
		l.Cut(c.Stream, reason)
	} else {
		l.Drop(c.Stream, reason)
	}
	if c.State() == engine.Gone {
		c.Release(engine.HoldEvent)
		l.orphanAnswered(c, upstream.Reply{})
	}
}

// unreached tells the upstream, which has accepted c or may have, that it never
// got in.
func (l *loop) unreached(c *client) {
	hs := c.hub.now.Load()
	if hs.traits.Events&upstream.Connect == 0 {
		return
	}
	l.ask(c, hs, upstream.Event{
		Type:   upstream.Disconnected,
		Code:   c.Closing.Code(),
		Reason: metrics.ResultClientGone.String(),
	})
	c.Release(engine.HoldEvent) // that answer tells us nothing
}

// orphanAnswered frees the slot of a client whose socket is closed and whose
// last event is answered.
func (l *loop) orphanAnswered(c *client, r upstream.Reply) {
	c.accepted(r)
	switch {
	case c.Upgraded():
		l.farewell(c)
		return
	case r.Verdict == nil || r.Verdict.Status == 0 || r.Verdict.Doubt:
		l.unreached(c)
	}
	l.vacate(c)
}

// farewell tells the upstream of a session's end, and frees the slot.
func (l *loop) farewell(c *client) {
	l.ask(c, c.hub.now.Load(), upstream.Event{
		Type:   upstream.Disconnected,
		Code:   c.Closing.Code(),
		Reason: c.Reason().String(),
	})
	c.Release(engine.HoldEvent) // that answer tells us nothing
	l.vacate(c)
}

// vacate frees the slot of c, whose socket is closed or somebody else's.
func (l *loop) vacate(c *client) {
	l.forsake(c, metrics.DiscardUpstream)
	if c.placed {
		l.g.givePlace(c.hub)
	}
	delete(l.petitions, c)
	delete(l.traced, c)
	s := c.Stream
	*c = client{Stream: s}
	l.Free(s)
}
