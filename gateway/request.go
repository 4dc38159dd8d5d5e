package gateway

import (
	"sluice/gateway/engine"
	"sluice/gateway/handshake"
	"sluice/gateway/route"
	"sluice/metrics"
)

// answerHead decides what becomes of a client with a complete head: a
// session, a request of the HTTP server, or an error. rest is what came
// behind the head and belongs to the first frame.
func (l *loop) answerHead(c *client, head, rest []byte) {
	s := l.g.settings.Load()
	h := &l.head
	if err := handshake.Parse(head, s.headers, h); err != nil {
		l.refuse(c, err)
		return
	}
	if !h.Upgrade() {
		l.handOver(c, head, rest)
		return
	}
	l.beginTrace(c)
	hub, hs, err := l.g.admits(s, h)
	if hub != nil { // what becomes of it is counted there
		c.enter(hub)
	}
	if err != nil {
		l.refuse(c, err)
		return
	}
	l.introduce(c, hub, hs, head, rest)
}

// admits says which hub the client may join, whoever it is, or why not. The hub
// that it has asked for in vain is returned, too.
func (g *Gateway) admits(s *settings, h *handshake.Head) (*hub, *hubSettings, error) {
	if err := h.Check(); err != nil {
		return nil, nil, err
	}
	if !s.hosts.Allow(h.Host) {
		return nil, nil, route.ErrMisdirected
	}
	hub, err := s.hubs.At(h.Path)
	if err != nil {
		return nil, nil, err
	}
	hs := hub.now.Load()
	if h.HasOrigin && !hs.origins.Allow(h.Origin, h.Host) {
		return hub, nil, errOrigin
	}
	if g.places.Load() >= s.connections { // before its token is looked at
		g.metrics.Reached(metrics.LimitConnections)
		return nil, nil, engine.ErrBusy
	}
	return hub, hs, g.welcomes()
}
