package gateway

import (
	"github.com/gobwas/ws"

	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// answered takes a reply that came late.
func (l *loop) answered(c *client, r upstream.Reply) {
	if !c.waiting() {
		return // a second reply, or one to a session that fell to a panic
	}
	c.Release(engine.HoldEvent)
	if c.State() == engine.Gone {
		if c.Upgraded() {
			if !l.heard(c, r) || l.carryOn(c) {
				return
			}
		}
		l.orphanAnswered(c, r)
		return
	}
	done := l.heard(c, r)
	l.Flush(c.Stream)
	if !done {
		return
	}
	if p, ok := l.partings[c]; ok {
		l.partFrom(c, p)
	}
	l.carryOn(c)
	if c.Connected() {
		l.Resume(c.Stream)
	}
}

// heard takes a reply to what c has asked before. The caller flushes. It is false
// when c has to wait on until all of the reply has happened.
func (l *loop) heard(c *client, r upstream.Reply) (done bool) {
	switch c.asked {
	case upstream.Connect:
		l.decided(c, r)
	case upstream.Disconnected: // nobody is there for whom it could mean something
	default:
		return l.reply(c, r)
	}
	return true
}

// publishWithheld publishes what waits for room in m, one after the other, until
// there is none, and is false if the slice of time was over before.
func (l *loop) publishWithheld(m *mailbox) (done bool) {
	waiting := l.withheld[m]
	delete(l.withheld, m)
	begin := l.Micros()
	for done = true; len(waiting) > 0 && done; waiting = waiting[1:] {
		if !l.publishAgain(waiting[0], m) {
			break
		}
		done = l.Since(begin) <= slice
	}
	// Some may have come to wait for the same meanwhile.
	if waiting = append(waiting, l.withheld[m]...); len(waiting) > 0 {
		l.withheld[m] = waiting
	}
	if done {
		l.awaitRoom(m)
	}
	return done
}

// publishAgain goes on with a session that waits for room in m, and is false if
// there is still none there. It may lack it somewhere else now.
func (l *loop) publishAgain(w withheld, m *mailbox) (ok bool) {
	c := l.find(w.to)
	if c == nil {
		return true
	}
	ok = true // also after a panic: then the session has ended
	defer l.Guard(c.Stream)
	e := w.rest.Effects[0]
	o := newOrder(c.hub, *e.Target, e.Action)
	o.again = true
	_, err := l.g.publish(o)
	switch {
	case err == nil:
		w.rest.Effects = w.rest.Effects[1:]
	case o.lacks != m:
		l.queue(o, w)
		return true
	case int64(o.size) > l.g.settings.Load().mailbox: // since a reload
		l.closeFor(c, delivery.Close{Code: ws.StatusInternalServerError})
		w.rest = upstream.Reply{}
	case m != nil || l.Now()-w.since < engine.ThirstTicks:
		return false
	default:
		l.close(c, session.StatusTryAgainLater, metrics.ReasonMemory, "out of buffers")
		w.rest = upstream.Reply{}
	}
	l.answered(c, w.rest)
	return true
}
