package gateway

import (
	"net"
	"time"

	"sluice/gateway/engine"
	"sluice/gateway/engine/transport"
	"sluice/gateway/handshake"
	"sluice/gateway/plainhttp"
	"sluice/gateway/route"
	"sluice/metrics"
	"sluice/netpoll"
)

// httpOptions is what the requests on the clients' port that are not upgrades
// are served by.
func (g *Gateway) httpOptions() plainhttp.Options {
	return plainhttp.Options{
		Limits: func() plainhttp.Limits {
			s := g.settings.Load()
			return plainhttp.Limits{Conns: s.http, Head: s.newcomers.Head, Fields: s.headers, HeadTime: time.Duration(s.newcomers.HeadTime) * engine.Tick}
		},
		Handler: &plainhttp.Site{
			API: g.api,
			Host: func(field []byte) *handshake.Error {
				if g.settings.Load().hosts.Allow(field) {
					return nil
				}
				return route.ErrMisdirected
			},
			Hub: func(path []byte) (bool, error) {
				_, err := g.settings.Load().hubs.At(path)
				if err == route.ErrNoHub {
					return false, nil
				}
				return err == nil, err
			},
			Serves: func() bool { return !g.draining.Load() },
		},
		Addr:    net.TCPAddrFromAddrPort(g.addr),
		Metrics: g.metrics,
		Log:     g.log,
	}
}

// lent is a socket that a loop gives away.
type lent struct {
	g    *Gateway
	sys  netpoll.System // the loop's
	conn netpoll.Conn   // until NetConn
	tcp  *net.TCPConn   // from then on

	over   *transport.State // of conn: what it has for a transport, nil if it is plain
	opened *transport.Conn  // over tcp, from NetConn on
}

// NetConn implements [plainhttp.Socket].
func (s *lent) NetConn() (plainhttp.Conn, error) {
	nc, err := s.conn.NetConn()
	if err != nil {
		s.forsake()
		return nil, err
	}
	s.tcp = nc.(*net.TCPConn)
	// The net package has put its own in place of the listener's.
	s.tcp.SetKeepAliveConfig(keepAlive)
	if s.over != nil {
		s.opened = transport.NewConn(s.tcp, *s.over)
		return s.opened, nil
	}
	return s.tcp, nil
}

// Return gives the socket to a loop whose next request is an upgrade, as proxies
// send it that keep connections alive. It takes the same way there as an upgrade
// that comes first.
func (s *lent) Return(read []byte) error {
	if s.opened != nil {
		_, over := s.opened.Detach()
		s.over = &over
		read = append(read, over.Plain...)
	}
	if s.tcp != nil {
		conn, err := netpoll.Detach(s.tcp)
		if err != nil {
			s.forsake()
			return err
		}
		s.conn = conn
	}
	l := s.g.loops[s.g.returned.Add(1)%uint64(len(s.g.loops))]
	adopt := func(l *loop) bool {
		l.adopt(s.conn, read, s.over)
		return true
	}
	if !l.post(letter{run: adopt}) {
		s.Close()
	}
	return nil
}

// Close implements [plainhttp.Socket].
func (s *lent) Close() error {
	err := s.sys.Close(&s.conn)
	s.forsake()
	return err
}

// forsake ends the transport of a socket that is closed.
func (s *lent) forsake() {
	if s.over != nil {
		s.over.Transport.Close()
	}
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
