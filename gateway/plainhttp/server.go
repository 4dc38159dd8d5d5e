// Package plainhttp serves the requests on the clients' port that are no
// WebSocket upgrades: the data plane, health checks, and whoever went astray.
//
// A [Server] is a net/http server whose connections come from the loops, by
// [Server.Offer], with what was read of them; one on which an upgrade follows
// goes back by [Socket.Return]. A [Site] says what there is at which path. None of
// it knows the gateway, or what a socket is made of.
package plainhttp

import (
	"container/list"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sluice/metrics"
)

// Options are what a Server is made of. All fields have to be set.
type Options struct {
	// Limits are those in force. It is called for each newcomer and each head, by
	// any goroutine.
	Limits func() Limits
	// Handler answers the requests.
	Handler http.Handler
	// Addr is where clients connect.
	Addr    net.Addr
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Limits bound what a peer may ask for.
type Limits struct {
	Conns    int64         // connections at a time
	Head     int           // bytes of a request head
	Fields   int           // header fields in it
	HeadTime time.Duration // in which it has to come, once it has begun
}

// Socket is a connection that a loop gives away. The first of its methods
// ends it for whoever holds it, but that Return comes after NetConn.
type Socket interface {
	// NetConn makes it a connection of the net package, where what comes after
	// the bytes that were read can be read. On an error it is closed.
	NetConn() (Conn, error)
	// Return gives it back to the loops. Nobody may read or write what NetConn has
	// returned any more. read is what was read of it and not answered: the head of
	// an upgrade, and what came behind. On an error it is closed.
	Return(read []byte) error
	// Close closes what was not made a connection.
	Close() error
}

// Conn is a connection of which our direction can end first, so that a peer
// which is still sending gets its answer and no reset.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Server serves the requests on the clients' port that are no upgrades. It
// is a net/http server whose listener is the loops: they give it sockets whose
// first request head is read already.
//
// It has a bounded number of places. When all are taken, a newcomer gets that of
// the connection that has been served or heard least recently among those that
// have shown no valid key: strangers push out each other, and nobody else.
type Server struct {
	// Times may be changed before the first connection is given to it.
	Times Times

	o       Options
	server  *http.Server
	count   atomic.Int64  // places taken
	closed  chan struct{} // by Close
	closing sync.Once
	drained chan struct{} // nothing is taken any more, and nothing waits
	empty   sync.Once

	mu        sync.Mutex    // held for no longer than it takes to change a list
	waiting   []handedOver  // to be taken by Accept
	strangers list.List     // of *conn, the least recently active first
	trusted   list.List     // those that have shown a valid key
	evicted   []*conn       // for Accept to close: a loop must not wait for that
	arrived   chan struct{} // something waits for Accept
}

// Times bound how long the peer of an HTTP connection may take.
type Times struct {
	Write  time.Duration // for one write to be taken
	Body   time.Duration // for a body, and a second more for each bodyRate that have come
	Linger time.Duration // for the rest of what is refused, so that the answer is not reset
	Drain  time.Duration // for answers under way when the node leaves
}

// bodyRate is how many bytes of a body buy it a second.
const bodyRate = 16 << 10

// handedOver is a socket on its way to the HTTP server, and what was read of
// it.
type handedOver struct {
	socket Socket
	read   []byte
}

// New makes a server that takes connections; Serve answers them.
func New(o Options) *Server {
	h := &Server{
		Times:   Times{Write: 10 * time.Second, Body: 10 * time.Second, Linger: time.Second, Drain: 3 * time.Second},
		o:       o,
		closed:  make(chan struct{}),
		drained: make(chan struct{}),
		arrived: make(chan struct{}, 1),
	}
	h.server = &http.Server{
		Handler:           http.HandlerFunc(h.serve),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    128 << 10, // conn knows the limit
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		ConnContext:       withConn,
		ConnState:         h.noteState,
	}
	return h
}

// Serve answers requests until Shutdown or Close, and returns an error that is
// never nil. It is called once.
func (h *Server) Serve() error { return h.server.Serve(listener{h}) }

// Count is how many connections have a place.
func (h *Server) Count() int64 { return h.count.Load() }

// Offer gives a socket to the HTTP server, and what was read of it: the head of
// a request, and what came behind. It is called by a loop, never blocks, and is
// false when there are too many: the caller keeps the socket.
func (h *Server) Offer(s Socket, read []byte) bool {
	if h.isClosed() {
		return false
	}
	limit := h.o.Limits().Conns
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.count.Load() >= limit {
		evicted := h.evict()
		if !evicted && len(h.waiting) > 0 {
			h.o.Metrics.Reached(metrics.LimitHTTPQueue)
			return false
		}
		h.o.Metrics.Reached(metrics.LimitHTTPConnections)
		if !evicted {
			return false
		}
	}
	h.count.Add(1)
	h.waiting = append(h.waiting, handedOver{socket: s, read: read})
	h.wake()
	return true
}

// evict frees the place of the stranger that has been served least recently. It
// is false if there is none. The caller holds the lock.
func (h *Server) evict() bool {
	oldest := h.strangers.Front()
	if oldest == nil {
		return false
	}
	c := h.strangers.Remove(oldest).(*conn)
	c.place = nil
	h.count.Add(-1)
	h.evicted = append(h.evicted, c)
	return true
}

// wake makes Accept look what there is.
func (h *Server) wake() {
	select {
	case h.arrived <- struct{}{}:
	default:
	}
}

// listener is where the server accepts what was offered.
type listener struct{ *Server }

// Accept implements net.Listener. After Close it gives out what still waits.
func (h listener) Accept() (net.Conn, error) {
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
func (h *Server) take() (s handedOver, ok bool, evicted []*conn) {
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
func (h *Server) isDrained() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) > 0 {
		return false
	}
	h.empty.Do(func() { close(h.drained) })
	return true
}

// seat makes a connection of a socket, which has its place already.
func (h *Server) seat(s handedOver) *conn {
	nc, err := s.socket.NetConn()
	if err != nil {
		h.count.Add(-1)
		h.o.Log.Warn("HTTP connection lost", "err", err)
		return nil
	}
	c := &conn{Conn: nc, side: h, socket: s.socket, buf: s.read}
	h.mu.Lock()
	defer h.mu.Unlock()
	c.place = h.strangers.PushBack(c)
	return c
}

// noteState hears from the server what a connection is doing. Who is served is
// not the next to go.
func (h *Server) noteState(nc net.Conn, state http.ConnState) {
	if state != http.StateActive && state != http.StateIdle {
		return
	}
	c := nc.(*conn)
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.place != nil {
		c.among().MoveToBack(c.place)
	}
}

// trust gives a connection that has shown a valid key a place that no stranger
// can take.
func (h *Server) trust(c *conn) {
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
func (h *Server) crowds(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return c.trusted && int64(h.trusted.Len()) > max(1, h.o.Limits().Conns*3/4)
}

// vacate frees the place of a connection. It is false if it has none any more.
func (h *Server) vacate(c *conn) bool {
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
func (h *Server) isClosed() bool {
	select {
	case <-h.closed:
		return true
	default:
		return false
	}
}

// refuse takes no more sockets.
func (h *Server) refuse() { h.closing.Do(func() { close(h.closed) }) }

// Close implements net.Listener.
func (h listener) Close() error {
	h.refuse()
	return nil
}

// Addr implements net.Listener.
func (h listener) Addr() net.Addr { return h.o.Addr }

// Shutdown closes the connections that are idle at once, and lets requests under
// way finish, for a few seconds: the rest is cut off. It reports whether that
// hit anybody who has shown a valid key; strangers cannot hold up the end.
func (h *Server) Shutdown(ctx context.Context) (cut bool) {
	ctx, cancel := context.WithTimeout(ctx, h.Times.Drain)
	defer cancel()
	h.refuse()
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
	h.Close()
	return cut
}

// Close cuts every connection, and refuses those that come.
func (h *Server) Close() {
	h.refuse() // before Serve has told the server of its listener, the server cannot
	h.server.Close()
	h.mu.Lock()
	conns := h.evicted
	waiting := h.waiting
	h.evicted, h.waiting = nil, nil
	for _, l := range []*list.List{&h.strangers, &h.trusted} {
		for e := l.Front(); e != nil; e = e.Next() {
			conns = append(conns, e.Value.(*conn)) // the server does not know those that were hijacked
		}
	}
	h.mu.Unlock()
	for _, s := range waiting {
		s.socket.Close()
		h.count.Add(-1)
	}
	for _, c := range conns {
		c.Close()
	}
}
