// Package plainhttp serves the requests on the clients' port that are no
// WebSocket upgrades: the data plane, health checks, and whoever went astray.
//
// A [Server] is a net/http server whose connections come from the loops, by
// [Server.Offer], with what was read of them; one on which an upgrade follows
// goes back by [Socket.Return]. A [Site] says what there is at which path. None of
// it knows the gateway, or what a socket is made of. The files stand in the order
// server.go, answer.go, turn.go, conn.go, places.go.
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

// Server serves the requests on the clients' port that are not upgrades. It
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
