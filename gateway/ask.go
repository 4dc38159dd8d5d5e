package gateway

import (
	"github.com/gobwas/ws"

	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
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
	r, inline := hs.upstream.Send(&l.event, l)
	if inline {
		l.heard(c, ev.Type, r)
		return
	}
	c.Hold(engine.HoldEvent)
	c.asked = ev.Type
}

// heard takes a reply, whenever it comes. The caller flushes.
func (l *loop) heard(c *client, to upstream.Type, r upstream.Reply) {
	if to == upstream.Connect {
		l.decided(c, r)
		return
	}
	l.reply(c, r)
}

// answered takes a reply that came late.
func (l *loop) answered(c *client, r upstream.Reply) {
	if !c.waiting() {
		return // a second reply, or one to a session that fell to a panic
	}
	c.Release(engine.HoldEvent)
	if c.State() == engine.Gone {
		if c.Upgraded() {
			if l.heard(c, c.asked, r); l.carryOn(c) {
				return
			}
		}
		l.orphanAnswered(c, r)
		return
	}
	l.heard(c, c.asked, r)
	l.Flush(c.Stream)
	if p, ok := l.partings[c]; ok {
		l.partFrom(c, p)
	}
	l.carryOn(c)
	if c.Connected() {
		l.Resume(c.Stream)
	}
}

// reply does to c what its upstream answered. The caller flushes.
func (l *loop) reply(c *client, r upstream.Reply) {
	if r.State != nil {
		c.remember(*r.State)
	}
	if r.Send.Op != 0 {
		l.tell(c, &r.Send)
	}
	if r.Close.Code != 0 {
		l.closeFor(c, r.Close)
	}
}

// tell sends c, in its own callback, what its upstream has answered.
func (l *loop) tell(c *client, m *delivery.Send) {
	if c.State() == engine.Open {
		l.Write(c.Stream, m.Op, m.Data)
		return
	}
	l.metrics.Sent(c.hub.metrics, len(m.Data))
	l.Dropped(c.Stream, metrics.DropClosing, 1)
}

// closeFor closes c, in its own callback, as its upstream has answered.
func (l *loop) closeFor(c *client, a delivery.Close) {
	if c.State() == engine.Open {
		l.close(c, a.Status(), closedByUpstream(a), a.Reason)
		return
	}
	l.forsake(c, metrics.DiscardUpstream)
}

func closedByUpstream(a delivery.Close) metrics.Reason {
	switch a.Code {
	case ws.StatusInternalServerError:
		return metrics.ReasonUpstreamFailed
	case session.StatusTryAgainLater:
		return metrics.ReasonUpstreamOverload
	}
	return metrics.ReasonBackend
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
