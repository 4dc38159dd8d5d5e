// Package admin is the private HTTP listener's handler: metrics, health and
// profiles of the process, and the console, for those who run it.
//
// It asks nobody who they are. Profiles show what the process does and the
// metrics how much of it, so the listener must not be reachable from where the
// clients are. Who is connected, and doing anything to them, takes the key of
// the data plane, if there is one; and because an operator's browser runs other
// people's pages too, everything made for a browser is behind a guard (guard.go).
package admin

import (
	"io"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sluice/gateway/delivery"
)

// Options are what the handler shows, and what it can do. Its functions are
// called from any goroutine and must not block.
type Options struct {
	// Gatherer is what /metrics exports and the console's curves are made of.
	Gatherer prometheus.Gatherer
	// Ready says why no new clients should be sent here, or nil. Its text is
	// shown.
	Ready func() error
	// Info is a line about the process, such as its name and version.
	Info string
	// Hosts returns the names, without ports, under which browsers may use the
	// console and the profiles, besides localhost and IP addresses. Nil: none.
	Hosts func() []string

	// Hubs returns the hubs that there are now, by name. Nil: the console shows
	// metrics only.
	Hubs func() []Hub
	// Node lists the sessions of hubs.
	Node delivery.Node
	// Authorize says why a request may not act on a hub as its backend does, or
	// nil. The text of its error is shown.
	Authorize func(r *http.Request, hub string) error
	// API is the data plane, below /api/. The console closes sessions, sends to
	// them and makes tokens through it. It authorizes by itself.
	API http.Handler
	// Clients is where the gateway listens to clients: the console's own
	// WebSocket client connects there.
	Clients netip.AddrPort
}

// Hub is what the console is told of a hub.
type Hub struct {
	Name         string   `json:"name"`
	Paths        []string `json:"paths"`        // all at which clients connect, at least one
	Upstream     string   `json:"upstream"`     // the scheme of its URL
	Subprotocols []string `json:"subprotocols"` // that it speaks
	Anonymous    bool     `json:"anonymous"`    // clients need no token
	Keyed        bool     `json:"keyed"`        // there is a key that opens the data plane
}

// Handler returns the handler of the admin listener. It remembers what memory
// the process takes now, before there are clients, to tell what they cost.
//
// Pages to look at answer GET and HEAD, and 405 to other methods; the symbol
// page of pprof takes POST, too.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		text(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Ready(); err != nil {
			text(w, http.StatusServiceUnavailable, err.Error()+"\n")
			return
		}
		text(w, http.StatusOK, "ok\n")
	})

	g := guard{hosts: o.Hosts}
	profile := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, g.named(h)) }
	profile("GET /debug/pprof/", pprof.Index)
	profile("GET /debug/pprof/cmdline", pprof.Cmdline)
	profile("GET /debug/pprof/profile", pprof.Profile)
	profile("GET /debug/pprof/symbol", pprof.Symbol)
	profile("POST /debug/pprof/symbol", pprof.Symbol)
	profile("GET /debug/pprof/trace", pprof.Trace)

	newConsole(o).register(func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, g.own(h)) })
	if o.API == nil {
		return mux
	}
	api := g.own(o.API)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			api.ServeHTTP(w, r) // which wants the path as it was sent, not as a mux cleans it
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func text(w http.ResponseWriter, status int, s string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.WriteString(w, s)
}
