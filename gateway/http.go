package gateway

import (
	"container/list"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/dataplane"
	"sluice/metrics"
	"sluice/netpoll"
)

// httpSide serves the requests on the clients' port that are no upgrades. It
// is a net/http server whose listener is the loops: they give it sockets whose
// first request head is read already.
//
// It has a bounded number of places. When all are taken, a newcomer gets that of
// the connection that has been served or heard least recently among those that
// have shown no valid key: strangers push out each other, and nobody else.
type httpSide struct {
	g       *Gateway
	server  *http.Server
	api     http.Handler // the data plane
	times   httpTimes
	count   atomic.Int64 // places taken
	limit   atomic.Int64
	next    atomic.Uint64 // the loop that gets the next upgrade back
	closed  chan struct{} // by Close
	closing sync.Once
	drained chan struct{} // nothing is taken any more, and nothing waits
	empty   sync.Once

	mu        sync.Mutex    // held for no longer than it takes to change a list
	waiting   []handedOver  // to be taken by Accept
	strangers list.List     // of *httpConn, the least recently active first
	trusted   list.List     // those that have shown a valid key
	evicted   []*httpConn   // for Accept to close: a loop must not wait for that
	arrived   chan struct{} // something waits for Accept
}

// httpTimes bound how long the peer of an HTTP connection may take.
type httpTimes struct {
	write  time.Duration // for one write to be taken
	body   time.Duration // for a body, and a second more for each bodyRate that have come
	linger time.Duration // for the rest of what is refused, so that the answer is not reset
	drain  time.Duration // for answers under way when the node leaves
}

// bodyRate is how many bytes of a body buy it a second.
const bodyRate = 16 << 10

// handedOver is a socket on its way to the HTTP server, and what was read of
// it.
type handedOver struct {
	conn netpoll.Conn
	read []byte
}

func newHTTPSide(g *Gateway) *httpSide {
	h := &httpSide{
		g:       g,
		times:   httpTimes{write: 10 * time.Second, body: 10 * time.Second, linger: time.Second, drain: 3 * time.Second},
		closed:  make(chan struct{}),
		drained: make(chan struct{}),
		arrived: make(chan struct{}, 1),
	}
	h.api = dataplane.Handler(dataplane.Options{
		Node:      g,
		Hubs:      func(name string) bool { return g.settings.Load().hub(name) != nil },
		Authorize: g.Authorize,
		Token:     g.token,
		Endpoint:  func() string { return g.settings.Load().endpoint },
		Log:       g.log,
		MaxBody:   maxPush,
		Budget:    pushBudget{g},
	})
	h.server = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    128 << 10, // httpConn knows the limit
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		ConnContext:       withConn,
		ConnState:         h.noteState,
	}
	return h
}

// offer gives a socket to the HTTP server. It is called by a loop, never
// blocks, and is false when there are too many: the caller keeps the socket.
func (h *httpSide) offer(s handedOver) bool {
	if h.isClosed() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.count.Load() >= h.limit.Load() {
		evicted := h.evict()
		if !evicted && len(h.waiting) > 0 {
			h.g.metrics.Reached(metrics.LimitHTTPQueue)
			return false
		}
		h.g.metrics.Reached(metrics.LimitHTTPConnections)
		if !evicted {
			return false
		}
	}
	h.count.Add(1)
	h.waiting = append(h.waiting, s)
	h.wake()
	return true
}

// evict frees the place of the stranger that has been served least recently. It
// is false if there is none. The caller holds the lock.
func (h *httpSide) evict() bool {
	oldest := h.strangers.Front()
	if oldest == nil {
		return false
	}
	c := h.strangers.Remove(oldest).(*httpConn)
	c.place = nil
	h.count.Add(-1)
	h.evicted = append(h.evicted, c)
	return true
}

// wake makes Accept look what there is.
func (h *httpSide) wake() {
	select {
	case h.arrived <- struct{}{}:
	default:
	}
}

// Accept implements net.Listener. After Close it gives out what still waits.
func (h *httpSide) Accept() (net.Conn, error) {
	for {
		s, ok, evicted := h.take()
		for _, c := range evicted {
			c.Conn.Close()
		}
		if ok {
			if c := h.seat(s); c != nil {
				return c, nil
			}
			continue
		}
		select {
		case <-h.arrived:
		case <-h.closed:
			if h.isDrained() {
				return nil, net.ErrClosed
			}
		}
	}
}

// take takes what has waited longest, if anything has, and whom to close.
func (h *httpSide) take() (s handedOver, ok bool, evicted []*httpConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	evicted, h.evicted = h.evicted, nil
	if len(h.waiting) == 0 {
		return s, false, evicted
	}
	s, h.waiting = h.waiting[0], h.waiting[1:]
	if len(h.waiting) == 0 {
		h.waiting = nil
	}
	return s, true, evicted
}

// isDrained reports, after Close, whether nothing waits any more.
func (h *httpSide) isDrained() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) > 0 {
		return false
	}
	h.empty.Do(func() { close(h.drained) })
	return true
}

// seat makes a connection of a socket, which has its place already.
func (h *httpSide) seat(s handedOver) *httpConn {
	nc, err := s.conn.NetConn()
	if err != nil {
		h.count.Add(-1)
		h.g.log.Warn("HTTP connection lost", "err", err)
		return nil
	}
	// The net package has put its own in place of the listener's.
	nc.(*net.TCPConn).SetKeepAliveConfig(keepAlive)
	c := &httpConn{Conn: nc, side: h, buf: s.read}
	h.mu.Lock()
	defer h.mu.Unlock()
	c.place = h.strangers.PushBack(c)
	return c
}

// noteState hears from the server what a connection is doing. Who is served is
// not the next to go.
func (h *httpSide) noteState(nc net.Conn, state http.ConnState) {
	if state != http.StateActive && state != http.StateIdle {
		return
	}
	c := nc.(*httpConn)
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.place != nil {
		c.among().MoveToBack(c.place)
	}
}

// trust gives a connection that has shown a valid key a place that no stranger
// can take.
func (h *httpSide) trust(c *httpConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.place != nil && !c.trusted {
		h.strangers.Remove(c.place)
		c.trusted = true
		c.place = h.trusted.PushBack(c)
	}
}

// crowds reports whether c has shown a valid key, and those that have fill more
// than their share, three quarters: newcomers might find no place. It is then to
// be closed with its answer, which whoever keeps connections expects of servers.
func (h *httpSide) crowds(c *httpConn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return c.trusted && int64(h.trusted.Len()) > max(1, h.limit.Load()*3/4)
}

// vacate frees the place of a connection. It is false if it has none any more.
func (h *httpSide) vacate(c *httpConn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.place == nil {
		return false
	}
	c.among().Remove(c.place)
	c.place = nil
	h.count.Add(-1)
	return true
}

// isClosed reports whether nobody takes sockets any more.
func (h *httpSide) isClosed() bool {
	select {
	case <-h.closed:
		return true
	default:
		return false
	}
}

// Close implements net.Listener.
func (h *httpSide) Close() error {
	h.closing.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *httpSide) Addr() net.Addr { return net.TCPAddrFromAddrPort(h.g.Addr()) }

// shutdown closes the connections that are idle at once, and lets requests under
// way finish, for a few seconds: the rest is cut off. It reports whether that
// hit anybody who has shown a valid key; strangers cannot hold up the end.
func (h *httpSide) shutdown(ctx context.Context) (cut bool) {
	ctx, cancel := context.WithTimeout(ctx, h.times.drain)
	defer cancel()
	h.Close()
	select {
	case <-h.drained: // whoever was handed over is known to the server
	case <-ctx.Done():
	}
	if h.server.Shutdown(ctx) == nil {
		return false
	}
	h.mu.Lock()
	cut = h.trusted.Len() > 0
	h.mu.Unlock()
	h.drop()
	return cut
}

// drop closes what is there.
func (h *httpSide) drop() {
	h.Close() // before Serve has told the server of its listener, the server cannot
	h.server.Close()
	h.mu.Lock()
	conns := h.evicted
	waiting := h.waiting
	h.evicted, h.waiting = nil, nil
	for _, l := range []*list.List{&h.strangers, &h.trusted} {
		for e := l.Front(); e != nil; e = e.Next() {
			conns = append(conns, e.Value.(*httpConn)) // the server does not know those that were hijacked
		}
	}
	h.mu.Unlock()
	for _, s := range waiting {
		s.conn.Close()
		h.count.Add(-1)
	}
	for _, c := range conns {
		c.Close()
	}
}
