package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/gateway/admin"
	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/dataplane"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream/echo"
	"sluice/gateway/upstream/webhook"
	"sluice/metrics"
	"sluice/session"
)

const (
	accessKey = "console-access-key-0123456789"
	apiKey    = "console-api-key-0123456789"
)

// node is a gateway with its admin listener. The hub keyed takes accessKey, the
// hub open has none, and the hub backed sends its events to a backend.
type node struct {
	t *testing.T
	*gateway.Gateway
	console *httptest.Server
}

func start(t *testing.T) *node {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WebHook-Allowed-Origin", "*")
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(backend.Close)
	cfg := gatewaytest.Config()
	cfg.Loops = 2
	cfg.Heartbeat = config.Heartbeat{Interval: config.Duration(200 * time.Millisecond), Timeout: config.Duration(200 * time.Millisecond)}
	cfg.Hubs = map[string]config.Hub{
		"keyed":  {Keys: []string{accessKey}, Upstream: config.DefaultUpstream("echo:"), Anonymous: true, Subprotocols: []string{"chat.v1"}},
		"open":   {Upstream: config.DefaultUpstream("echo:"), Anonymous: true},
		"backed": {Upstream: config.DefaultUpstream(backend.URL), Anonymous: true},
	}
	set := metrics.New(metrics.Options{Loops: cfg.Loops, ProtocolErrorKinds: session.Kinds()})
	registry := metrics.NewRegistry(set)
	g := gatewaytest.Start(t, gateway.New, gateway.Options{
		Config: cfg, Log: slog.New(slog.DiscardHandler), Metrics: set, Buffered: 1 << 28,
		Schemes: map[string]gateway.Open{"echo": echo.Open, "http": webhook.Open},
	}, gateway.ErrClosed)

	plane := auth.NewDataPlane(func(hub string) *auth.Keys { return auth.NewKeys(cfg.Hubs[hub].Keys) }, nil, "")
	authorize := func(r *http.Request, hub string) error {
		if hub == "keyed" && r.Header.Get("Authorization") == "Bearer "+apiKey {
			return nil
		}
		return plane.Check(r, hub)
	}
	n := &node{t: t, Gateway: g}
	n.console = httptest.NewServer(admin.Handler(admin.Options{
		Gatherer:  registry,
		Ready:     g.Ready,
		Info:      "sluice test",
		Node:      g,
		Authorize: authorize,
		Clients:   g.Addr(),
		Hubs: func() []admin.Hub {
			return []admin.Hub{
				{Name: "backed", Paths: []string{"/client/hubs/backed"}, Upstream: "http", Anonymous: true},
				{Name: "keyed", Paths: []string{"/client/hubs/keyed"}, Upstream: "echo", Anonymous: true, Keyed: true},
				{Name: "open", Paths: []string{"/client/hubs/open"}, Upstream: "echo", Anonymous: true},
			}
		},
		API: dataplane.Handler(dataplane.Options{
			Node:      g,
			Hubs:      func(name string) bool { _, ok := cfg.Hubs[name]; return ok },
			Authorize: authorize,
		}),
	}))
	t.Cleanup(n.console.Close)
	return n
}

// connect opens a session of a user, "" for nobody, who joins groups.
func (n *node) connect(hub, user string, groups ...string) *websocket.Conn {
	n.t.Helper()
	target := "ws://" + n.Addr().String() + "/client/hubs/" + hub
	if user != "" {
		token, err := auth.NewKeys([]string{accessKey}).ClientToken(auth.ClientClaims{
			Endpoint: "http://" + n.Addr().String(), Hub: hub, User: user, Groups: groups,
		})
		if err != nil {
			n.t.Fatal(err)
		}
		target += "?access_token=" + token
	}
	return gatewaytest.Dial(n.t, target, nil)
}

// ask sends a request as the page does, with a key unless that is "".
func (n *node) ask(method, path, key, body string) (status int, header http.Header, answer []byte) {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), method, n.console.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Origin", n.console.URL)
	r.Header.Set("Content-Type", "text/plain")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := n.console.Client().Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err = io.ReadAll(response.Body); err != nil {
		n.t.Fatal(err)
	}
	return response.StatusCode, response.Header, answer
}

// listed is the answer to a search.
type listed struct {
	Sessions []struct{ ConnectionID, UserID string }
	Next     string
}

func (l listed) users() []string {
	users := []string{}
	for _, s := range l.Sessions {
		users = append(users, s.UserID)
	}
	slices.Sort(users)
	return users
}

// search lists sessions.
func (n *node) search(hub, key string, query url.Values) listed {
	n.t.Helper()
	status, _, body := n.ask("GET", "/console/hubs/"+hub+"/sessions?"+query.Encode(), key, "")
	var l listed
	if err := json.Unmarshal(body, &l); err != nil || status != http.StatusOK {
		n.t.Fatalf("search for %v: %d %s", query, status, body)
	}
	return l
}

// state returns the metrics of the console's state.
func (n *node) state() map[string][]struct {
	Labels map[string]string
	Value  float64
} {
	n.t.Helper()
	status, _, body := n.ask("GET", "/console/state", "", "")
	var s struct {
		Metrics map[string][]struct {
			Labels map[string]string
			Value  float64
		}
	}
	if err := json.Unmarshal(body, &s); err != nil || status != http.StatusOK {
		n.t.Fatalf("state: %d, %v", status, err)
	}
	return s.Metrics
}

// await polls the state until a metric's sum is what is wanted.
func (n *node) await(name string, want float64) {
	n.t.Helper()
	sum := 0.0
	gatewaytest.EventuallyOr(n.t, func() string { return fmt.Sprintf("%s is %v, want %v", name, sum, want) }, func() bool {
		sum = 0
		for _, s := range n.state()[name] {
			sum += s.Value
		}
		return sum == want
	})
}

// token signs a request of the page with the access key.
func (n *node) token(key, path string) string {
	n.t.Helper()
	token, err := auth.NewKeys([]string{key}).DataPlaneToken(n.console.URL+path, time.Minute)
	if err != nil {
		n.t.Fatal(err)
	}
	return token
}
