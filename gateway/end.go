package gateway

import (
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// due looks at the deadlines of an open session that are not of its frames: when
// its token expires, and until when a close waits. It returns the next of them.
func (l *loop) due(c *client) (next session.Tick, some bool) {
	next, some, over := l.expired(c)
	if over && !l.dismiss(c, ws.StatusPolicyViolation, metrics.ReasonTokenExpired, "token expired") {
		return 0, false
	}
	if some = some && !over; !some {
		next = 0
	}
	parting, parts := l.partings[c]
	if !parts {
		return next, some
	}
	if !l.Now().Before(parting.until) {
		l.partFrom(c, parting)
		return 0, false
	}
	if !some || parting.until.Before(next) {
		next = parting.until
	}
	return next, true
}

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

// closeRemovedHubs closes the sessions of hubs that a reload took away. Called
// by any other goroutine.
func (l *loop) closeRemovedHubs() {
	l.inSlices(new(removal).run)
}

// removal is a walk through all slots of a loop.
type removal struct{ cursor uint32 }

// run looks at slots for a slice of time, and is true when it has seen all.
func (r *removal) run(l *loop) bool {
	begin := l.Micros()
	for ; r.cursor < l.Slots(); r.cursor++ {
		c := l.at(r.cursor)
		closes := c.State() == engine.Open && c.hub.now.Load().gone
		if (closes || r.cursor%64 == 63) && l.Since(begin) > slice {
			return false
		}
		if closes {
			l.dismiss(c, ws.StatusGoingAway, metrics.ReasonHubRemoved, "hub removed")
		}
	}
	return true
}
