package gateway

import (
	"io"
	"net/http"
	"runtime"
	"strings"

	"sluice/gateway/auth"
	"sluice/gateway/dataplane"
	"sluice/gateway/delivery"
	"sluice/metrics"
)

const page = `This is Sluice, a WebSocket gateway.

Clients connect with a WebSocket upgrade to the path of a hub.
Backends push to them below /api/hubs/; /api/openapi.json describes how.
/api/health says whether the gateway serves.
`

// ServeHTTP answers requests on the clients' port.
//
// It lets others go first: a connection with many requests in its buffer is
// answered without ever waiting, and a loop that has been woken would stand
// behind all such connections.
func (h *httpSide) ServeHTTP(to http.ResponseWriter, from *http.Request) {
	runtime.Gosched()
	if from.Method == http.MethodConnect {
		h.turn(to)
		return
	}
	w, r := &answerWriter{ResponseWriter: to, conn: connOf(from)}, from
	if from.ContentLength != 0 {
		// The server goes by the body of its own request.
		w.body = &trackedBody{ReadCloser: from.Body}
		r = new(http.Request)
		*r = *from
		r.Body = w.body
	}
	h.route(w, r)
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
}

// route answers a request.
func (h *httpSide) route(w *answerWriter, r *http.Request) {
	s := h.g.settings.Load()
	switch api := strings.HasPrefix(r.URL.Path, "/api/"); {
	case r.URL.Path == "/api/health": // probes have any name for us
		h.health(w, r)
	case !s.hosts.allow([]byte(r.Host)) && api:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(errMisdirected.Status)
		io.WriteString(w, `{"error":{"code":"MisdirectedRequest","message":"`+errMisdirected.Reason+`"}}`)
	case !s.hosts.allow([]byte(r.Host)):
		http.Error(w, errMisdirected.Reason, errMisdirected.Status)
	case api:
		h.serveAPI(w, r)
	case r.URL.Path == "/" && r.URL.RawPath == "":
		if allowGet(w, r) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			io.WriteString(w, page)
		}
	default:
		servePath(w, r, s)
	}
}

// servePath answers a request for a path that only a hub could have.
func servePath(w http.ResponseWriter, r *http.Request, s *settings) {
	switch _, err := s.route([]byte(r.URL.EscapedPath())); err {
	case nil:
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, "this path speaks WebSocket", http.StatusUpgradeRequired)
	case errNoSuchHub:
		if r.URL.Path == "/favicon.ico" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			w.WriteHeader(http.StatusNoContent) // browsers ask for it wherever they are
			return
		}
		http.NotFound(w, r)
	default:
		http.Error(w, "malformed path", http.StatusBadRequest)
	}
}

// maxPush is the longest body of a request to the data plane.
const maxPush = 1 << 20

// serveAPI serves the data plane, and counts its answers.
func (h *httpSide) serveAPI(to http.ResponseWriter, r *http.Request) {
	w := &statusWriter{ResponseWriter: to, status: http.StatusOK}
	defer func() { h.g.metrics.Answered(w.status) }()
	h.api.ServeHTTP(w, r)
}

// pushBudget is what the data plane charges the memory to that it reads into
// and answers from.
type pushBudget struct{ g *Gateway }

func (b pushBudget) Take(n int) bool {
	if !b.g.budget.Take(n) {
		b.g.metrics.Reached(metrics.LimitBuffered)
		return false
	}
	return true
}

func (b pushBudget) Give(n int) { b.g.budget.Give(n) }

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

// answerWriter writes an answer on the clients' port. One that does not wait for
// the body of its request ends the connection, and so does one to a backend that
// has more connections than its share: net/http would read on first.
type answerWriter struct {
	http.ResponseWriter
	conn  *httpConn
	body  *trackedBody // nil: there is none
	begun bool
}

func (w *answerWriter) WriteHeader(status int) {
	if !w.begun && status >= http.StatusOK {
		w.begun = true
		if w.conn.side.crowds(w.conn) || w.body != nil && !w.body.ended && w.conn.abandonBody() {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// trackedBody knows whether it was read to its end, or as far as it came: then
// the server may be reading on in the background.
type trackedBody struct {
	io.ReadCloser
	ended bool
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	return n, err
}

// API is the data plane, below /api/, for another listener than the clients'.
func (g *Gateway) API() http.Handler { return http.HandlerFunc(g.http.serveAPI) }

// Authorize is nil if a request to the data plane of a hub is a backend's.
func (g *Gateway) Authorize(r *http.Request, hub string) error {
	err := g.settings.Load().dataPlane.Check(r, hub)
	g.distrusted(err)
	if c := connOf(r); err == nil && c != nil {
		g.http.trust(c)
	}
	return err
}

// token makes a token for a client of a hub.
func (g *Gateway) token(hub string, c dataplane.TokenRequest) (string, error) {
	s := g.settings.Load()
	h := s.hub(hub)
	if h == nil {
		return "", delivery.ErrNoHub
	}
	return h.now.Load().keys.ClientToken(auth.ClientClaims{
		Endpoint: s.endpoint,
		Hub:      h.name,
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
