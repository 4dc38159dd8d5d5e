package plainhttp

import (
	"io"
	"net/http"
	"strings"

	"sluice/gateway/handshake"
)

// Page is what there is at the root.
const Page = `This is Sluice, a WebSocket gateway.

Clients connect with a WebSocket upgrade to the path of a hub.
Backends push to them below /api/hubs/; /api/openapi.json describes how.
/api/health says whether the gateway serves.
`

// Site says what there is on the clients' port for requests that are no
// upgrades. All fields have to be set; any goroutine calls them.
type Site struct {
	// API is the data plane, below /api/.
	API http.Handler
	// Host is nil if requests with that Host field are answered.
	Host func(field []byte) *handshake.Error
	// Hub reports whether there is a hub at a path as it was sent. The error is that
	// of a path which could be taken for another.
	Hub func(path []byte) (bool, error)
	// Serves reports whether newcomers are welcome.
	Serves func() bool
}

// ServeHTTP implements [http.Handler].
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api := strings.HasPrefix(r.URL.Path, "/api/")
	if r.URL.Path == "/api/health" { // probes have any name for us
		s.health(w, r)
		return
	}
	switch err := s.Host([]byte(r.Host)); {
	case err != nil && api:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(err.Status)
		io.WriteString(w, `{"error":{"code":"MisdirectedRequest","message":"`+err.Reason+`"}}`)
	case err != nil:
		http.Error(w, err.Reason, err.Status)
	case api:
		s.API.ServeHTTP(w, r)
	case r.URL.Path == "/" && r.URL.RawPath == "":
		if allowGet(w, r) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			io.WriteString(w, Page)
		}
	default:
		s.servePath(w, r)
	}
}

// servePath answers a request for a path that only a hub could have.
func (s *Site) servePath(w http.ResponseWriter, r *http.Request) {
	switch there, err := s.Hub([]byte(r.URL.EscapedPath())); {
	case err != nil:
		http.Error(w, "malformed path", http.StatusBadRequest)
	case there:
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, "this path speaks WebSocket", http.StatusUpgradeRequired)
	case r.URL.Path == "/favicon.ico" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.WriteHeader(http.StatusNoContent) // browsers ask for it wherever they are
	default:
		http.NotFound(w, r)
	}
}

// health answers 200 while the node serves, for balancers that look at the
// clients' port.
func (s *Site) health(w http.ResponseWriter, r *http.Request) {
	if !allowGet(w, r) {
		return
	}
	if !s.Serves() {
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
