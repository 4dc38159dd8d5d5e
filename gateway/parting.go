package gateway

import (
	"github.com/gobwas/ws"

	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// parting is a close of ours that waits: the client has a message at the
// upstream, and gets the answer before it is sent away. Of what the client
// says meanwhile, no further message is taken; what has been read of it by then
// goes to the upstream afterwards, see remains.
type parting struct {
	code    ws.StatusCode
	reason  metrics.Reason
	text    string
	until   session.Tick // no answer is waited for any longer
	drained bool         // the drain counts it as still to be ended
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

// close begins the close handshake with c from our side.
func (l *loop) close(c *client, code ws.StatusCode, reason metrics.Reason, text string) {
	if c.State() == engine.Open {
		l.unpart(c)
		l.Close(c.Stream, code, reason, text)
	}
}

// unpart forgets the close that waits for c, which ends now.
func (l *loop) unpart(c *client) {
	if p, ok := l.partings[c]; ok {
		delete(l.partings, c)
		if p.drained {
			l.metrics.Gauge(metrics.DrainRemaining, -1)
		}
	}
}

// dismissed reports whether c is as good as closed for backends, though the
// answer to its last message is waited for. A drain is nobody's order to keep
// anything from a client: what is pushed still arrives.
func (l *loop) dismissed(c *client) bool {
	if len(l.partings) == 0 {
		return false
	}
	p, ok := l.partings[c]
	return ok && p.reason != metrics.ReasonDrain
}
