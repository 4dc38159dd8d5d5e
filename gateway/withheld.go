package gateway

import (
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/session"
)

// withheld is what is left of a reply that was refused, because others get
// something of it for which there is no room now. Its session waits on as if the
// event were not answered, and goes on when it is published.
//
// What had no room wakes it: a mailbox tells the loops that wait when something
// has left it, and the tick tries again what found no room in the node's budget,
// for as long as a message may wait for buffers. Of those that wait for the same,
// the first is the first to be tried again.
type withheld struct {
	to    session.Ref
	rest  upstream.Reply // its first effect was refused
	size  int            // the room that it needs in each mailbox
	since session.Tick   // when it began to wait for this
}

// withhold has c wait until there is room for o, which the first effect of rest
// is.
func (l *loop) withhold(c *client, o *order, rest upstream.Reply) {
	c.Hold(engine.HoldEvent)
	l.queue(o, withheld{to: c.Ref(), rest: rest, size: o.size})
}

// queue puts w at the end of those that wait for the room that o did not find.
func (l *loop) queue(o *order, w withheld) {
	w.since = l.Now()
	l.withheld[o.lacks] = append(l.withheld[o.lacks], w)
	l.awaitRoom(o.lacks)
}

// awaitRoom sees to it that what waits for room in m is tried again; if m is nil,
// for the budget, the tick does.
func (l *loop) awaitRoom(m *mailbox) {
	waiting := l.withheld[m]
	if m != nil && len(waiting) > 0 && m.await(l, waiting[0].size, l.g.settings.Load().mailbox) {
		l.post(letter{freed: m})
	}
}
