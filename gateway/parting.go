package gateway

import (
	"github.com/gobwas/ws"

	"sluice/gateway/engine"
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
