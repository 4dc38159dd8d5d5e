package gateway

import (
	"github.com/gobwas/ws"

	"sluice/gateway/upstream"
	"sluice/metrics"
)

// ask sends an event of c to the hub's upstream. One that answers at once is
// heard at once; for any other the session waits, and the next event with it.
func (l *loop) ask(c *client, hs *hubSettings, ev upstream.Event) {
	if hs.traits.Events&ev.Type == 0 {
		return
	}
	ev.Hub, ev.From, ev.Subprotocol = c.hub.name, c.ref(), c.subprotocol()
	l.event = ev
	r, inline := hs.upstream.Send(&l.event, l)
	if inline {
		l.reply(c, r)
		return
	}
	c.waiting, c.asked = true, ev.Type
	c.began = l.micros()
	l.metrics.UpstreamInFlight(c.hub.index, 1)
}

// answered takes a reply that came late.
func (l *loop) answered(c *client, r upstream.Reply) {
	if !c.waiting {
		return // a second reply, or one to a session that fell to a panic
	}
	l.stopWaiting(c)
	l.metrics.UpstreamDone(c.hub.index, counted(c.asked), outcome(r), l.since(c.began))
	if c.state == orphaned {
		l.farewell(c)
		return
	}
	l.reply(c, r)
	l.flush(c)
	if c.conn.Open() {
		l.resume(c)
	}
}

// reply does to c what its upstream answered. The caller flushes.
func (l *loop) reply(c *client, r upstream.Reply) {
	if c.state != open {
		return
	}
	if r.Op != 0 {
		l.write(c, r.Op, r.Data)
	}
	if r.Close != 0 {
		l.close(c, r.Close, closedByUpstream(r), "")
	}
}

// counted is what an event is called in the metrics.
func counted(t upstream.Type) metrics.Event {
	switch t {
	case upstream.Connected:
		return metrics.EventConnected
	case upstream.Disconnected:
		return metrics.EventDisconnected
	}
	return metrics.EventMessage
}

func closedByUpstream(r upstream.Reply) metrics.Reason {
	switch outcome(r) {
	case metrics.OutcomeFailed:
		return metrics.ReasonUpstreamFailed
	case metrics.OutcomeOverloaded:
		return metrics.ReasonUpstreamOverload
	}
	return metrics.ReasonBackend
}

// outcome is how a reply is counted: by the code that tells the client.
func outcome(r upstream.Reply) metrics.Outcome {
	switch r.Close {
	case ws.StatusInternalServerError:
		return metrics.OutcomeFailed
	case tryAgainLater:
		return metrics.OutcomeOverloaded
	}
	return metrics.OutcomeOK
}

// farewell tells the upstream of a session's end, and frees the slot.
func (l *loop) farewell(c *client) {
	hs := c.hub.now.Load()
	l.ask(c, hs, upstream.Event{
		Type:   upstream.Disconnected,
		Code:   c.Closing.Code(),
		Reason: c.reason.String(),
	})
	l.stopWaiting(c) // that answer tells us nothing
	l.vacate(c)
}

// stopWaiting says that no answer is awaited, or that it has come.
func (l *loop) stopWaiting(c *client) {
	if c.waiting {
		c.waiting = false
		l.metrics.UpstreamInFlight(c.hub.index, -1)
	}
}
