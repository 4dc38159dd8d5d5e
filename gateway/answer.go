package gateway

import (
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
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
