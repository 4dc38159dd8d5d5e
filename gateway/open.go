package gateway

import (
	"errors"
	"net/http"

	"sluice/gateway/auth"
	"sluice/gateway/engine"
	"sluice/gateway/engine/transport"
	"sluice/gateway/handshake"
	"sluice/gateway/route"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/netpoll"
)

// Answers to request heads that are well-formed and still not welcome.
var (
	errDraining     = &handshake.Error{Status: http.StatusServiceUnavailable, Reason: "going away"}
	errOrigin       = &handshake.Error{Status: http.StatusForbidden, Reason: "origin not allowed"}
	errUnauthorized = &handshake.Error{
		Status: http.StatusUnauthorized,
		Reason: "this hub does not accept anonymous clients",
		Header: "WWW-Authenticate: Bearer\r\n", // RFC 9110 §11.6.1 wants one
	}
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

// welcomes is nil while clients that have a place, or find one, may come in.
func (g *Gateway) welcomes() error {
	switch {
	case g.draining.Load():
		return errDraining
	case g.set.Crowded():
		g.metrics.Reached(metrics.LimitBuffered)
		g.relieve() // rather than at the next tick
		return engine.ErrBusy
	}
	return nil
}

// open makes a session of c, which has a place, in answer to its head. rest is
// what came behind that.
func (l *loop) open(c *client, hs *hubSettings, client *auth.Client, answer, rest []byte, agreed handshake.Result) {
	c.placed = false
	l.g.keepPlace(c.hub)
	l.g.sessions.Add(1)
	delete(l.petitions, c)
	kept := l.Accept(c.Stream, answer, agreed.Deflate, agreed.WindowBits)
	parent := l.handshaken(c, metrics.ResultOK)
	l.metrics.Opened(c.hub.metrics)
	c.opened = l.Now()
	if agreed.Subprotocol != "" {
		c.identify().sub = hs.subprotocol(agreed.Subprotocol)
	}
	l.ask(c, hs, upstream.Event{Type: upstream.Connected, Parent: parent})
	if client != nil && hs.expire && !client.Expires.IsZero() {
		l.expireWith(c, client.Expires)
	}
	if len(rest) > 0 {
		l.Take(c.Stream, rest)
	}
	l.Flush(c.Stream)
	l.GiveBack(kept)
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

// refuse answers a request head with an error and lets the client go.
func (l *loop) refuse(c *client, err error) {
	var e *handshake.Error
	if !errors.As(err, &e) {
		e = &handshake.Error{Status: http.StatusBadRequest, Reason: "bad request"}
	}
	l.refuseAs(c, e, result(e))
}

// refuseAs is refuse with a result to be counted as.
func (l *loop) refuseAs(c *client, e *handshake.Error, as metrics.Result) {
	l.handshaken(c, as)
	again := 0
	if e.Status == http.StatusServiceUnavailable {
		again = engine.RetryAfter
	}
	if c.placed {
		c.placed = false
		l.g.givePlace(c.hub)
	}
	delete(l.petitions, c)
	l.Refuse(c.Stream, handshake.AppendResponse(l.Out(), e, handshake.Answer{RetryAfter: again, Date: l.g.kernel.wall(), Bodiless: l.bodiless}))
}

// result is how an error answer is counted.
func result(e *handshake.Error) metrics.Result {
	switch e.Status {
	case http.StatusRequestHeaderFieldsTooLarge, http.StatusRequestURITooLong:
		return metrics.ResultHeadTooLarge
	case http.StatusRequestTimeout:
		return metrics.ResultTimeout
	case http.StatusForbidden:
		if e != errOrigin {
			return metrics.ResultForbidden
		}
		return metrics.ResultOrigin
	case http.StatusNotFound:
		return metrics.ResultNotFound
	case http.StatusUpgradeRequired:
		return metrics.ResultVersion
	case http.StatusUnauthorized:
		return metrics.ResultUnauthorized
	case http.StatusBadGateway:
		return metrics.ResultUpstream
	case http.StatusServiceUnavailable:
		switch e {
		case errDraining:
			return metrics.ResultUnavailable
		case errNoVerdict:
			return metrics.ResultUpstream
		case errNoKeySet:
			return metrics.ResultKeySet
		}
		return metrics.ResultOverloaded
	}
	return metrics.ResultBadRequest
}

// handOver gives a client that asks for no WebSocket to the HTTP server, with
// the bytes read so far.
func (l *loop) handOver(c *client, head, rest []byte) {
	read := make([]byte, 0, len(head)+len(rest))
	read = append(append(read, head...), rest...)
	conn, over := l.Detach(c.Stream)
	if !l.g.http.Offer(&lent{g: l.g, sys: l.System(), conn: conn, over: over}, read) {
		l.refuse(c, engine.ErrBusy)
		return
	}
	l.metrics.Handshake(nil, metrics.ResultHTTP, l.Since(c.began))
	l.vacate(c)
}

// adopt takes a socket from the HTTP server whose next request, in read, is
// an upgrade. Bytes behind that request's head are the first frames.
func (l *loop) adopt(conn netpoll.Conn, read []byte, over *transport.State) {
	if l.over {
		l.Discard(conn, over)
		return
	}
	l.TakeOver(conn, read, over)
}
