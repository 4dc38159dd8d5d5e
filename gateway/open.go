package gateway

import (
	"sluice/gateway/auth"
	"sluice/gateway/engine"
	"sluice/gateway/handshake"
	"sluice/gateway/upstream"
	"sluice/metrics"
)

// letIn answers the handshake and makes a session of c, which takes a place now
// unless it has one. v is the upstream's verdict, nil if it was not asked.
func (l *loop) letIn(c *client, hs *hubSettings, client *auth.Client, v *upstream.Verdict, rest []byte) {
	if !c.placed {
		if !l.g.takePlace(l.g.settings.Load(), c.hub, false) {
			l.refuse(c, engine.ErrBusy)
			return
		}
		c.placed = true
	}
	options := &hs.handshake
	if v != nil && v.Subprotocol != "" {
		chosen := *options
		chosen.Subprotocols = []string{v.Subprotocol}
		options = &chosen
	}
	if !l.endow(c, client, v) {
		l.refuseAccepted(c, errGroups)
		return
	}
	answer, agreed, err := l.upgrade.Upgrade(l.Out(), &l.head, options)
	if err != nil {
		l.refuseAccepted(c, err)
		return
	}
	l.open(c, hs, client, answer, rest, agreed)
}

// endow gives c what its token and the upstream say that it has. It is false
// when there are too many groups.
func (l *loop) endow(c *client, client *auth.Client, v *upstream.Verdict) bool {
	if client != nil {
		c.assume(client.Roles)
		if !l.join(c, client.Groups) {
			return false
		}
	}
	if v != nil {
		for _, a := range v.Given {
			if !l.change(c, a) {
				return false
			}
		}
	}
	l.enlist(c)
	return true
}

// open makes a session of c, which has a place, in answer to its head. rest is
// what came behind that.
func (l *loop) open(c *client, hs *hubSettings, client *auth.Client, answer, rest []byte, agreed handshake.Result) {
	parent := l.handshaken(c, metrics.ResultOK)
	l.metrics.Opened(c.hub.metrics)
	c.opened = l.Now()
	c.placed = false
	l.g.keepPlace(c.hub)
	l.g.sessions.Add(1)
	delete(l.petitions, c)
	kept := l.Accept(c.Stream, answer, agreed.Deflate, agreed.WindowBits)
	defer l.GiveBack(kept) // rest may be in it
	if c.State() != engine.Open {
		return // what waits at its transport is too old
	}
	if agreed.Subprotocol != "" {
		c.identify().sub = hs.subprotocol(agreed.Subprotocol)
	}
	if r, now := l.ask(c, hs, upstream.Event{Type: upstream.Connected, Parent: parent}); now {
		l.reply(c, r)
	}
	if client != nil && hs.expire && !client.Expires.IsZero() && c.State() == engine.Open {
		l.expireWith(c, client.Expires)
	}
	if len(rest) > 0 {
		l.Take(c.Stream, rest)
	}
	l.Flush(c.Stream)
}

// subprotocol points at the hub's own copy of name.
func (hs *hubSettings) subprotocol(name string) *string {
	for i := range hs.handshake.Subprotocols {
		if hs.handshake.Subprotocols[i] == name {
			return &hs.handshake.Subprotocols[i]
		}
	}
	return &name
}
