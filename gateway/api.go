package gateway

import (
	"net/http"

	"sluice/gateway/auth"
	"sluice/gateway/dataplane"
	"sluice/gateway/delivery"
	"sluice/gateway/plainhttp"
	"sluice/metrics"
)

// maxPush is the longest body of a request to the data plane.
const maxPush = 1 << 20

// newAPI makes the data plane, whose answers are counted.
func (g *Gateway) newAPI() http.Handler {
	api := dataplane.Handler(dataplane.Options{
		Node:      g,
		Hubs:      func(name string) bool { return g.settings.Load().hubs.Named(name) != nil },
		Authorize: g.Authorize,
		Token:     g.token,
		Endpoint:  func() string { return g.settings.Load().endpoint },
		Log:       g.log,
		MaxBody:   maxPush,
		Budget:    pushBudget{g},
	})
	return http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		w := &statusWriter{ResponseWriter: to, status: http.StatusOK}
		defer func() { g.metrics.Answered(w.status) }()
		api.ServeHTTP(w, r)
	})
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

// API is the data plane, below /api/, for another listener than the clients'.
func (g *Gateway) API() http.Handler { return g.api }

// Authorize is nil if a request to the data plane of a hub is a backend's.
func (g *Gateway) Authorize(r *http.Request, hub string) error {
	err := g.settings.Load().dataPlane.Check(r, hub)
	g.distrusted(err)
	if err == nil {
		plainhttp.Trust(r)
	}
	return err
}

// token makes a token for a client of a hub.
func (g *Gateway) token(hub string, c dataplane.TokenRequest) (string, error) {
	s := g.settings.Load()
	h := s.hubs.Named(hub)
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
