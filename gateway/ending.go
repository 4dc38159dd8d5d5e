package gateway

import (
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/handshake"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// close begins the close handshake from our side: the Close frame goes out
// behind what was sent before, the peer's is awaited.
func (l *loop) close(c *client, code ws.StatusCode, reason metrics.Reason, text string) {
	if c.state != open {
		return
	}
	l.unpart(c)
	c.state = closing
	c.reason = reason
	l.out = c.Closing.Start(l.out, code, text)
	l.wheel.Arm(&c.timer, l.now+1+l.g.settings.Load().closeTime)
}

// fail ends a session after an error that leaves nothing to be said by the
// peer (RFC 6455 §7.1.7): a Close frame, then the end of our direction, and
// what still comes is thrown away.
func (l *loop) fail(c *client, code ws.StatusCode, reason metrics.Reason, text string) {
	if c.state == open {
		c.reason = reason
	}
	l.out = c.Closing.Start(l.out, code, text)
	l.leave(c)
}

// leave sends the last words in l.out and ends our direction behind them. The
// socket is closed when the peer closes its side, or when the time is up.
func (l *loop) leave(c *client) {
	l.leaveBehind(c)
	delete(l.outlines, c)
	l.unhold(c)
	l.unpart(c)
	c.Reader.Release(l.context)
	l.pend(c, leaving)
	l.carryOn(c)
	l.wheel.Arm(&c.timer, l.now+1+l.g.settings.Load().closeTime)
	l.flush(c)
	if c.conn.Open() && !c.writing {
		l.depart(c)
	}
	l.register(c)
	if c.conn.Open() && c.missed != 0 {
		c.missed = 0 // reading was stopped: Mod reports what is there once more
		l.sys.Mod(c.conn.FD(), c.interest())
	}
	l.hurry()
}

// depart ends our direction, once the last words of a leaving client are out.
func (l *loop) depart(c *client) {
	if c.Closing.Done() {
		// Both Close frames are through: the server may close first
		// (RFC 6455 §7.1.1), and the peer has nothing more to send.
		l.drop(c, c.reason)
		return
	}
	l.sys.CloseWrite(c.conn)
}

// unhold gives up the input that was waiting.
func (l *loop) unhold(c *client) {
	l.thirsty.delete(c)
	if c.held == nil {
		return
	}
	l.letGo(c)
	if c.upgraded {
		l.metrics.Gauge(metrics.ParkedSessions, -1)
	}
}

// drop closes the socket of c now and ends its session. reason is why, unless
// the end had begun before for another.
func (l *loop) drop(c *client, reason metrics.Reason) {
	if !c.conn.Open() {
		return
	}
	if c.registered {
		l.sys.Del(c.conn.FD())
		c.registered = false
	}
	if c.state == open {
		c.reason = reason
		if l.leaveAll(c) {
			c.reason = metrics.ReasonClientClose
		}
	}
	l.sys.Close(&c.conn)
	delete(l.outlines, c)
	l.unhold(c)
	l.unpart(c)
	l.lose(c, lostAs(c.reason), l.out, 0)
	l.out = l.out[:0]
	l.wheel.Disarm(&c.timer)
	if c.writing {
		c.writing = false
		delete(l.stalled, c)
	}
	closing := c.Closing
	l.dropped(c, lostAs(c.reason), c.Session.Release(l.context))
	c.Closing = closing
	l.weigh(c)

	if !c.upgraded {
		if c.state == heading || c.state == asking {
			l.handshaken(c, metrics.ResultClientGone)
		}
		if c.waiting {
			c.state = orphaned
			return
		}
		l.vacate(c)
		return
	}
	l.g.sessions.Add(-1)
	defer l.g.places.Add(-1) // when the upstream has been told
	l.strike(c)
	l.metrics.Closed(c.hub.metrics, uint16(c.Closing.Code()), c.reason, time.Duration(l.now-c.opened)*tick)
	c.state = orphaned
	if !l.carryOn(c) {
		l.farewell(c)
	}
}

// abandon ends what there is of c, when nothing is waited for any more.
func (l *loop) abandon(c *client, reason metrics.Reason) {
	if c.upgraded {
		c.waiting = false
		l.forsakeHeld(c, metrics.DiscardShutdown)
		if c.state == open {
			c.reason, c.state = reason, closing // and leaves nothing behind
		}
	}
	l.drop(c, reason)
	if c.state == orphaned {
		c.waiting = false
		l.orphanAnswered(c, upstream.Reply{})
	}
}

// vacate frees the slot of c, whose socket is closed or somebody else's.
func (l *loop) vacate(c *client) {
	l.wheel.Disarm(&c.timer)
	l.letGo(c)
	l.forsake(c, metrics.DiscardUpstream)
	if !c.upgraded {
		l.pend(c, vacant)
		l.g.pending.Add(-1)
		l.metrics.Gauge(metrics.HandshakesInFlight, -1)
		delete(l.traced, c)
	}
	l.slab.put(c)
}

// expire runs when the timer of a client does.
func (l *loop) expire(t *session.Timer) {
	c := l.slab.at(t.Slot)
	defer c.guard()
	switch c.state {
	case heading:
		l.bodiless = c.held != nil && handshake.AsksForHead(c.held.buf)
		l.refuse(c, handshake.ErrHeadTooSlow)
		l.bodiless = false
	case open:
		l.overdue(c)
	case closing:
		c.reason = metrics.ReasonCloseTimeout
		l.drop(c, c.reason)
	case leaving:
		l.drop(c, c.reason)
	}
}

// overdue looks at every deadline of an open session, and arms the timer for
// the next. Messages do not move the timer; they are looked for here.
func (l *loop) overdue(c *client) {
	s := l.g.settings.Load()
	if c.writing && l.now-c.Queue.Since() >= s.queueAge {
		l.slow(c, metrics.ReasonSlowConsumerAge)
		return
	}
	expires, bounded, over := l.expired(c)
	if over && !l.dismiss(c, ws.StatusPolicyViolation, metrics.ReasonTokenExpired, "token expired") {
		return
	}
	parting, parts := l.partings[c]
	if parts && !l.now.Before(parting.until) {
		l.partFrom(c, parting)
		return
	}
	if c.Partial() && l.now-c.Started() >= s.messageAge {
		l.fail(c, ws.StatusPolicyViolation, metrics.ReasonMessageAge, "message not complete in time")
		return
	}
	verdict, next := l.judge(c, s)
	if verdict == session.Dead {
		// It may be us who come late, and the answer waits in the socket.
		if l.receive(c, netpoll.In); c.state != open {
			return
		}
		verdict, next = l.judge(c, s)
	}
	switch verdict {
	case session.Dead:
		l.drop(c, metrics.ReasonHeartbeat)
		return
	case session.Ask:
		c.Heartbeat.Asked(l.now, l.attended, l.micros())
		l.metrics.Pinged(c.hub.metrics)
		l.out = append(l.out, ping...)
		l.flush(c)
		if c.state != open {
			return
		}
	}
	l.wheel.Arm(&c.timer, next)
	if bounded && !over {
		l.wheel.Hasten(&c.timer, expires)
	}
	if parts {
		l.wheel.Hasten(&c.timer, parting.until)
	}
	if c.writing {
		l.wheel.Hasten(&c.timer, c.Queue.Since()+s.queueAge)
	}
	if c.Partial() {
		l.wheel.Hasten(&c.timer, c.Started()+s.messageAge)
	}
}

// judge is the verdict on the heartbeat of c, and when to ask again. While
// input waits unread the pong may be behind it, and while output waits the ping
// would be: the queue's age and TCP_USER_TIMEOUT rule then.
func (l *loop) judge(c *client, s *settings) (session.Verdict, session.Tick) {
	return c.Heartbeat.Check(l.now, l.attended, s.interval, s.timeout, c.early(s), l.beat(s), c.held != nil || c.writing)
}

// early is how much sooner than after the whole interval c is asked. Every
// slot has its own, so that sessions do not fall into step.
func (c *client) early(s *settings) session.Tick {
	const golden = 2654435769 // 2^32 divided by the golden ratio: spreads what is close (Knuth)
	return session.Tick(c.timer.Slot*golden>>16) % (s.early + 1)
}

// beat is how many ticks' pings leave together: a second's worth, as long as
// that is a small part of the interval and few enough to hold up nobody.
func (l *loop) beat(s *settings) session.Tick {
	const together = 2000
	few := session.Tick(together * uint64(s.interval) / uint64(l.slab.used+1))
	return max(1, min(session.Tick(time.Second/tick), s.interval/8, few))
}

// ping is a Ping frame without payload: any answer is as good as any other.
var ping = ws.MustCompileFrame(ws.NewPingFrame(nil))

// closeRemovedHubs closes the sessions of hubs that a reload took away. Called
// by any other goroutine.
func (l *loop) closeRemovedHubs() {
	l.inSlices(new(removal).run)
}

// removal is a walk through all slots of a loop.
type removal struct{ cursor uint32 }

// run looks at slots for a slice of time, and is true when it has seen all.
func (r *removal) run(l *loop) bool {
	begin := l.micros()
	for ; r.cursor < l.slab.slots(); r.cursor++ {
		c := l.slab.at(r.cursor)
		closes := c.state == open && c.hub.now.Load().gone
		if (closes || r.cursor%64 == 63) && l.since(begin) > slice {
			return false
		}
		if closes {
			l.dismiss(c, ws.StatusGoingAway, metrics.ReasonHubRemoved, "hub removed")
		}
	}
	return true
}
