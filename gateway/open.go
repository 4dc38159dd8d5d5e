package gateway

import (
	"errors"
	"net/http"

	"sluice/gateway/handshake"
	"sluice/gateway/route"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// Answers to request heads that are well-formed and still not welcome.
var (
	errOrigin       = &handshake.Error{Status: http.StatusForbidden, Reason: "origin not allowed"}
	errUnauthorized = &handshake.Error{
		Status: http.StatusUnauthorized,
		Reason: "this hub does not accept anonymous clients",
		Header: "WWW-Authenticate: Bearer\r\n", // RFC 9110 §11.6.1 wants one
	}
)

// readHead collects the request head. The whole of it usually comes with the
// first read and is never copied; of a slow one, the beginning is held. Not
// more is read than a head may be, so that little can be behind it. It reports
// whether there may be more to read.
func (l *loop) readHead(c *client) (more bool) {
	limit := l.g.settings.Load().head
	for c.state == heading {
		k := 0
		if c.held != nil {
			k = copy(l.in[:], c.held.buf)
			limit = max(limit, k+1) // a reload may have lowered it
		}
		n, err := l.sys.Read(c.conn, l.in[k:limit])
		switch {
		case err == netpoll.ErrWouldBlock:
			return false
		case err != nil:
			l.drop(c, metrics.ReasonReset)
			return false
		}
		l.metrics.ReceivedBytes(c.counts(), n)
		more = k+n == limit
		l.takeHead(c, l.in[:k+n], k)
	}
	return more
}

// takeHead looks for the end of the head in p, which is all that has come so
// far; the first seen bytes were searched before.
func (l *loop) takeHead(c *client, p []byte, seen int) {
	limit := l.g.settings.Load().head
	end := handshake.End(p, seen)
	l.bodiless = handshake.AsksForHead(p)
	defer func() { l.bodiless = false }()
	switch {
	case end > limit || end < 0 && len(p) >= limit:
		l.refuse(c, handshake.TooLarge(p[:limit]))
	case end >= 0:
		l.letGo(c)
		l.answerHead(c, p[:end], p[end:])
	default:
		if err := handshake.CheckPrefix(p, seen); err != nil {
			l.refuse(c, err)
		} else if !l.hold(c, p) {
			l.refuse(c, errBusy)
		}
	}
}

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
	c.hub = hub // if it names one: what becomes of it is counted there
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
		return nil, nil, errBusy
	}
	return hub, hs, g.welcomes()
}

// welcomes is nil while clients that have a place, or find one, may come in.
func (g *Gateway) welcomes() error {
	switch {
	case g.draining.Load():
		return errDraining
	case g.crowded():
		g.metrics.Reached(metrics.LimitBuffered)
		g.relieve() // rather than at the next tick
		return errBusy
	}
	return nil
}

// open makes a session of c, which has a place.
func (l *loop) open(c *client, hs *hubSettings, agreed handshake.Result) {
	l.g.keepPlace(c.hub)
	l.g.pending.Add(-1)
	l.g.sessions.Add(1)
	l.metrics.Gauge(metrics.HandshakesInFlight, -1)
	parent := l.handshaken(c, metrics.ResultOK)
	l.metrics.Opened(c.hub.metrics)

	c.state = open
	c.upgraded = true
	c.opened = l.now
	if agreed.Subprotocol != "" {
		c.identify().sub = hs.subprotocol(agreed.Subprotocol)
	}
	if agreed.Deflate {
		c.windowBits = agreed.WindowBits
	}
	c.Reader.Init(session.Server, agreed.Deflate)
	// As if it had been silent for up to half an interval: those who came
	// together are not asked together.
	interval := l.g.settings.Load().interval
	c.Heartbeat.Seen(l.now - session.Tick(l.random.Uint32N(uint32(interval/2+1))))
	l.overdue(c)
	l.ask(c, hs, upstream.Event{Type: upstream.Connected, Parent: parent})
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
	l.letGo(c)
	l.handshaken(c, as)
	again := 0
	if e.Status == http.StatusServiceUnavailable {
		again = retryAfter
	}
	l.out = handshake.AppendResponse(l.out[:0], e, handshake.Answer{RetryAfter: again, Date: l.g.kernel.wall(), Bodiless: l.bodiless})
	l.leave(c)
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
	if c.registered {
		l.sys.Del(c.conn.FD())
		c.registered = false
	}
	if !l.g.http.Offer(&lent{g: l.g, sys: l.sys, conn: c.conn}, read) {
		l.refuse(c, errBusy)
		return
	}
	l.metrics.Handshake(nil, metrics.ResultHTTP, l.since(c.began))
	c.conn = netpoll.Conn{} // theirs now
	l.vacate(c)
}

// admitted is admit for a socket that nobody else would close after a panic.
func (l *loop) admitted(conn netpoll.Conn) (c *client) {
	defer func() {
		if c == nil {
			l.sys.Close(&conn)
		}
	}()
	return l.admit(conn)
}

// adopt takes a socket from the HTTP server whose next request, in read, is
// an upgrade. Bytes behind that request's head are the first frames.
func (l *loop) adopt(conn netpoll.Conn, read []byte) {
	if l.over {
		l.sys.Close(&conn)
		return
	}
	c := l.admitted(conn)
	defer c.guard()
	l.takeHead(c, read, 0)
	if c.state == heading {
		l.readHead(c)
	}
	l.register(c)
	l.quieten(c)
}
