package gateway

import (
	"github.com/gobwas/ws"

	"sluice/gateway/engine"
	"sluice/gateway/upstream"
)

// message sends a message of c to its upstream and, if it has an answer at
// once, the answer back.
func (l *loop) message(c *client, hs *hubSettings, op ws.OpCode, payload []byte) {
	l.metrics.Received(c.hub.metrics, len(payload))
	l.ask(c, hs, upstream.Event{Type: upstream.Message, Name: "message", Op: op, Data: payload})
}

// ask sends an event of c to the hub's upstream. One that answers at once is
// heard at once; for any other the session waits, and the next event with it.
func (l *loop) ask(c *client, hs *hubSettings, ev upstream.Event) {
	if hs.traits.Events&ev.Type == 0 {
		return
	}
	ev.Hub, ev.From = c.hub.name, c.Ref()
	if c.who != nil {
		ev.User, ev.Subprotocol, ev.State = c.who.User, c.subprotocol(), c.upstreamState()
	}
	l.event = ev
	c.asked = ev.Type
	r, inline := hs.upstream.Send(&l.event, l)
	if inline {
		l.heard(c, r)
		return
	}
	c.Hold(engine.HoldEvent)
}

// heard takes a reply to what c has asked, whenever it comes. The caller flushes.
// It is false when c has to wait on until all of the reply has happened.
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
