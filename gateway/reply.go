package gateway

import (
	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// reply does what the upstream of c has answered. The caller flushes. It is false
// when some of it has to wait for room, and c with it.
func (l *loop) reply(c *client, r upstream.Reply) (done bool) {
	if r.State != nil {
		c.remember(*r.State)
	}
	if r.Send.Op != 0 {
		l.tell(c, &r.Send)
	}
	for i, e := range r.Effects {
		if e.Target == nil {
			l.perform(c, e.Action)
			continue
		}
		o := newOrder(c.hub, *e.Target, e.Action)
		if _, err := l.g.publish(o); err == nil {
			continue
		}
		if int64(o.size) > l.g.settings.Load().mailbox { // no mailbox will ever have that much: the upstream has failed
			l.closeFor(c, delivery.Close{Code: ws.StatusInternalServerError})
			return true
		}
		l.withhold(c, o, upstream.Reply{Effects: r.Effects[i:], Close: r.Close})
		return false
	}
	if r.Close.Code != 0 {
		l.closeFor(c, r.Close)
	}
	return true
}

// perform does to c, in its own callback, what its upstream has answered.
func (l *loop) perform(c *client, a delivery.Action) {
	switch a := a.(type) {
	case delivery.Send:
		l.tell(c, &a)
	case delivery.Close:
		l.closeFor(c, a)
	case delivery.State: // also for what is left of an ended session
		c.remember(a)
	default:
		if c.State() == engine.Open {
			l.change(c, a)
		}
	}
}

// tell sends c, in its own callback, what its upstream has answered.
func (l *loop) tell(c *client, m *delivery.Send) {
	if m.TTL > 0 {
		l.Flush(c.Stream) // that may be its end
	}
	switch {
	case c.State() != engine.Open:
		l.metrics.Sent(c.hub.metrics, len(m.Data))
		l.Dropped(c.Stream, metrics.DropClosing, 1)
	case m.TTL > 0:
		l.metrics.Sent(c.hub.metrics, len(m.Data))
		f := l.g.shared(formFor(c.WindowBits()).encode(l, m))
		if f == nil {
			l.Dropped(c.Stream, metrics.DropMemory, 1)
			return
		}
		l.SendShared(c.Stream, f, ticks(config.Duration(m.TTL)))
		f.Release()
	default:
		l.Write(c.Stream, m.Op, m.Data)
	}
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
