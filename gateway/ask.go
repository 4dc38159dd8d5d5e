package gateway

import (
	"github.com/gobwas/ws"

	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// message sends a message of c to its upstream and, if it has an answer at
// once, the answer back.
func (l *loop) message(c *client, hs *hubSettings, op ws.OpCode, payload []byte) {
	l.metrics.Received(c.hub.metrics, len(payload))
	if r, now := l.ask(c, hs, upstream.Event{Type: upstream.Message, Name: "message", Op: op, Data: payload}); now {
		l.reply(c, r)
	}
}

// carryOn takes what c has left behind to its upstream, up to a message whose
// answer has to be waited for. It reports whether an answer is waited for.
func (l *loop) carryOn(c *client) (waits bool) {
	for !c.waiting() {
		r, ok := l.remains.Get(c)
		if !ok {
			break // an answer at once may end them
		}
		if !l.Now().Before(r.until) {
			l.forsake(c, metrics.DiscardTimeout)
			break
		}
		in, n, err := l.Next(&r.reader, &c.hub.class, r.held.Bytes())
		r.held.Advance(n)
		switch {
		case err == session.ErrBudget:
			l.forsake(c, metrics.DiscardMemory)
		case err != nil || in.Kind == session.None || in.Kind == session.Close:
			r.held.Advance(len(r.held.Bytes()))
			l.forsake(c, metrics.DiscardTimeout) // of nothing
		case in.Kind == session.Message:
			l.message(c, c.hub.now.Load(), in.Op, in.Payload)
		}
	}
	return c.waiting()
}

// ask sends an event of c to the hub's upstream. One that answers at once has
// done so: now is true. For any other the session waits, and the next event with it.
func (l *loop) ask(c *client, hs *hubSettings, ev upstream.Event) (r upstream.Reply, now bool) {
	if hs.traits.Events&ev.Type == 0 {
		return r, false
	}
	ev.Hub, ev.From = c.hub.name, c.Ref()
	if c.who != nil {
		ev.User, ev.Subprotocol, ev.State = c.who.User, c.subprotocol(), c.upstreamState()
	}
	l.event = ev
	c.asked = ev.Type
	if r, now = hs.upstream.Send(&l.event, l); !now {
		c.Hold(engine.HoldEvent)
	}
	return r, now
}
