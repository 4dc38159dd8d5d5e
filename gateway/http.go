package gateway

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/auth"
	"sluice/gateway/dataplane"
	"sluice/gateway/delivery"
	"sluice/gateway/handshake"
	"sluice/metrics"
	"sluice/netpoll"
)

// httpSide serves the requests on the clients' port that are no upgrades. It
// is a net/http server whose listener is the loops: they give it sockets whose
// first request head is read already.
type httpSide struct {
	g       *Gateway
	server  *http.Server
	api     http.Handler // the data plane
	conns   chan handedOver
	count   atomic.Int64
	limit   atomic.Int64
	next    atomic.Uint64 // the loop that gets the next upgrade back
	closed  chan struct{} // by Close
	closing sync.Once
}

// handedOver is a socket on its way to the HTTP server, and what was read of
// it.
type handedOver struct {
	conn netpoll.Conn
	read []byte
}

// handOverQueue is how many sockets may wait for the HTTP server to take them.
const handOverQueue = 256

func newHTTPSide(g *Gateway) *httpSide {
	h := &httpSide{
		g:      g,
		conns:  make(chan handedOver, handOverQueue),
		closed: make(chan struct{}),
	}
	h.api = dataplane.Handler(dataplane.Options{
		Node:      g,
		Hubs:      func(name string) bool { return g.settings.Load().hubs[name] != nil },
		Authorize: g.Authorize,
		Token:     g.token,
		Endpoint:  func() string { return g.settings.Load().endpoint },
		Log:       g.log,
		MaxBody:   maxPush,
	})
	h.server = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10, // the most that limits.head can be, which loops hold the first request of a connection to
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
	return h
}

// offer gives a socket to the HTTP server. It is called by a loop, never
// blocks, and is false when there are too many: the caller keeps the socket.
func (h *httpSide) offer(s handedOver) bool {
	if h.isClosed() {
		return false
	}
	if h.count.Add(1) > h.limit.Load() {
		h.count.Add(-1)
		h.g.metrics.Reached(metrics.LimitHTTPConnections)
		return false
	}
	select {
	case h.conns <- s:
		return true
	default:
		h.count.Add(-1)
		h.g.metrics.Reached(metrics.LimitHTTPQueue)
		return false
	}
}

// Accept implements net.Listener.
func (h *httpSide) Accept() (net.Conn, error) {
	for {
		select {
		case s := <-h.conns:
			nc, err := s.conn.NetConn()
			if err != nil {
				h.count.Add(-1)
				h.g.log.Warn("HTTP connection lost", "err", err)
				continue
			}
			// The net package has put its own in place of the listener's.
			nc.(*net.TCPConn).SetKeepAliveConfig(keepAlive)
			return &httpConn{Conn: nc, read: s.read, side: h}, nil
		case <-h.closed:
			return nil, net.ErrClosed
		}
	}
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

// shutdown lets requests under way finish.
func (h *httpSide) shutdown(ctx context.Context) error { return h.server.Shutdown(ctx) }

// drop closes what was offered and not taken any more.
func (h *httpSide) drop() {
	h.Close() // before Serve has told the server of its listener, the server cannot
	h.server.Close()
	for {
		select {
		case s := <-h.conns:
			s.conn.Close()
			h.count.Add(-1)
		default:
			return
		}
	}
}

// httpConn is a connection of the HTTP server. What the loop had read comes
// first.
type httpConn struct {
	net.Conn
	read []byte
	side *httpSide
	done atomic.Bool
}

func (c *httpConn) Read(p []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(p, c.read)
		c.read = c.read[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *httpConn) Close() error {
	c.uncount()
	return c.Conn.Close()
}

// CloseWrite lets the server end its direction first, so that a client which is
// still sending gets its answer and no reset.
func (c *httpConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

func (c *httpConn) uncount() {
	if c.done.CompareAndSwap(false, true) {
		c.side.count.Add(-1)
	}
}

const page = `This is Sluice, a WebSocket gateway.

Clients connect with a WebSocket upgrade to the path of a hub.
Backends push to them below /api/hubs/; /api/openapi.json describes how.
/api/health says whether the gateway serves.
`

// ServeHTTP answers requests on the clients' port.
func (h *httpSide) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if handshake.AsksForWebSocket(r.Header) {
		h.giveBack(w, r)
		return
	}
	_, isHub := h.g.settings.Load().routes[r.URL.EscapedPath()]
	switch {
	case r.URL.Path == "/api/health":
		h.health(w, r)
	case strings.HasPrefix(r.URL.Path, "/api/"):
		h.serveAPI(w, r)
	case r.URL.Path == "/":
		if allowGet(w, r) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			io.WriteString(w, page)
		}
	case isHub:
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, "this path speaks WebSocket", http.StatusUpgradeRequired)
	default:
		http.NotFound(w, r)
	}
}

// maxPush is the longest body of a request to the data plane.
const maxPush = 1 << 20

// serveAPI serves the data plane, as long as there is memory for what it reads.
func (h *httpSide) serveAPI(to http.ResponseWriter, r *http.Request) {
	w := &statusWriter{ResponseWriter: to, status: http.StatusOK}
	defer func() { h.g.metrics.Answered(w.status) }()
	body := maxPush
	if r.ContentLength >= 0 && r.ContentLength < maxPush {
		body = int(r.ContentLength)
	}
	if !h.g.budget.Take(body) {
		h.g.metrics.Reached(metrics.LimitBuffered)
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"error":{"code":"ServiceUnavailable","message":"buffers almost used up"}}`)
		return
	}
	defer h.g.budget.Give(body)
	h.api.ServeHTTP(w, r)
}

// statusWriter remembers what status an answer has.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// API is the data plane, below /api/, as it is on the clients' port.
func (g *Gateway) API() http.Handler { return http.HandlerFunc(g.http.serveAPI) }

// Authorize is nil if a request to the data plane of a hub is a backend's.
func (g *Gateway) Authorize(r *http.Request, hub string) error {
	err := g.settings.Load().dataPlane.Check(r, hub)
	g.distrusted(err)
	return err
}

// token makes a token for a client of a hub.
func (g *Gateway) token(hub string, c dataplane.TokenRequest) (string, error) {
	s := g.settings.Load()
	h := s.hubs[hub]
	if h == nil {
		return "", delivery.ErrNoHub
	}
	return h.now.Load().keys.ClientToken(auth.ClientClaims{
		Endpoint: s.endpoint,
		Hub:      hub,
		User:     c.User,
		Roles:    c.Roles,
		Groups:   c.Groups,
		TTL:      c.TTL,
	})
}

// health answers 200 while the node serves, for balancers that look at the
// clients' port.
func (h *httpSide) health(w http.ResponseWriter, r *http.Request) {
	if !allowGet(w, r) {
		return
	}
	if h.g.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n")
}

func allowGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}

// giveBack returns a socket to a loop whose next request is an upgrade, as
// proxies send it that keep connections alive. It takes the same way there as
// an upgrade that comes first.
func (h *httpSide) giveBack(w http.ResponseWriter, r *http.Request) {
	request, err := handshake.AppendRequest(nil, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the connection cannot be upgraded", http.StatusInternalServerError)
		return
	}
	hc := nc.(*httpConn)
	behind, _ := rw.Reader.Peek(rw.Reader.Buffered())
	read := append(append(request, behind...), hc.read...)
	hc.uncount()
	conn, err := netpoll.Detach(hc.Conn.(*net.TCPConn))
	if err != nil {
		h.g.log.Warn("upgrade on a kept-alive connection lost", "err", err)
		return
	}
	l := h.g.loops[h.next.Add(1)%uint64(len(h.g.loops))]
	adopt := func(l *loop) bool {
		l.adopt(conn, read)
		return true
	}
	if !l.post(letter{run: adopt}, 0) {
		conn.Close()
	}
}
