// Package admin is the private HTTP listener's handler: metrics, health and
// profiles of the process, for those who run it.
//
// It asks nobody who they are. Profiles show what the process does and the
// metrics how much of it, so the listener must not be reachable from where the
// clients are.
package admin

import (
	"io"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options are what the handler shows.
type Options struct {
	// Gatherer is what /metrics exports.
	Gatherer prometheus.Gatherer
	// Ready says why no new clients should be sent here, or nil. Its text is
	// shown. It is called from any goroutine and must not block.
	Ready func() error
	// Info is a line about the process at the top of the index, such as its
	// name and version.
	Info string
}

// Handler returns the handler of the admin listener. All its pages answer GET
// and HEAD, and 405 to other methods; the symbol page of pprof takes POST, too.
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
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		text(w, http.StatusOK, o.Info+"\n\n"+index)
	})
	return mux
}

const index = `/metrics        for Prometheus
/healthz        200 while the process answers
/readyz         200 while it takes clients, else 503 and why
/debug/pprof/   profiles
`

func text(w http.ResponseWriter, status int, s string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.WriteString(w, s)
}
