package gateway

import (
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

// dismiss closes an open session from a callback that is not its own. If the
// answer to a message is on its way, it is waited for as long as for the answer
// to a Close frame.
func (l *loop) dismiss(c *client, code ws.StatusCode, reason metrics.Reason, text string) (waits bool) {
	return l.sendAway(c, parting{
		code: code, reason: reason, text: text,
		until: l.Now() + 1 + l.g.settings.Load().newcomers.CloseTime,
	})
}

// sendAway is dismiss with a time of its own. It reports whether c is still
// open, because the answer is waited for.
func (l *loop) sendAway(c *client, p parting) (waits bool) {
	if c.State() != engine.Open {
		return false
	}
	defer l.Guard(c.Stream)
	if !c.waiting() || c.asked != upstream.Message || !l.Now().Before(p.until) {
		l.partFrom(c, p)
		return false
	}
	if first, ok := l.partings[c]; ok {
		p.drained = p.drained || first.drained
		if !p.until.Before(first.until) {
			first.drained = p.drained
			p = first
		}
	}
	l.partings[c] = p
	l.Hasten(c.Stream, p.until)
	return true
}

// partFrom closes a session whose answer has come, or is not waited for.
func (l *loop) partFrom(c *client, p parting) {
	if l.close(c, p.code, p.reason, p.text); c.State() == engine.Closing {
		l.leaveBehind(c)
		l.carryOn(c)
		l.Heed(c.Stream) // the peer's Close frame may be behind what was held
	}
	l.Flush(c.Stream)
	l.Resume(c.Stream) // the peer's Close frame may be there
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
