// Package dataplane is the REST API through which backends push messages to
// the sessions of a hub, group them, and close them. It is that of Azure Web
// PubSub, whose SDKs work with it unmodified, and a little more: answers count
// the sessions in Sluice-… headers, and all sessions of a hub can be listed.
//
// [Handler] is the entry point. The package reads requests and writes answers;
// what they ask for is done by a [delivery.Node].
package dataplane

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"sluice/gateway/delivery"
)

// Options are what a Handler works with. Its functions are called by any
// goroutine.
type Options struct {
	// Node does what is asked for.
	Node delivery.Node
	// Hubs reports whether there is a hub of that name.
	Hubs func(name string) bool
	// Authorize says why a request may not act on the hub, or nil. The text of
	// its error is shown to whoever asks. The hub need not exist.
	Authorize func(r *http.Request, hub string) error
	// Token makes a token for a client of the hub. Its error says why there can
	// be none, such as that the hub has no key, and is shown as well.
	Token func(hub string, c TokenRequest) (token string, err error)
	// Endpoint returns the base URL of the node as backends know it, without a
	// slash at its end. If it is nil or returns "", links in answers begin with
	// the scheme and host that the request came with.
	Endpoint func() string
	// Log is told of errors that are nobody's but the node's. Nil: nobody is.
	Log *slog.Logger
	// Budget is charged for what is read into and answered from, as long as that
	// is held. Nil: nothing is charged.
	Budget Budget
	// MaxBody is how many bytes a message may have; 0 stands for 1 MiB.
	MaxBody int64
}

// Budget bounds the bytes that a node holds in buffers.
type Budget interface {
	// Take charges n bytes, or reports false if there is no room for them.
	Take(n int) bool
	// Give takes back what Take has charged.
	Give(n int)
}

// unbounded is the Budget that charges nothing.
type unbounded struct{}

func (unbounded) Take(int) bool { return true }
func (unbounded) Give(int)      {}

// TokenRequest is what the token of a client is to say.
type TokenRequest struct {
	User   string   // "": nobody
	Roles  []string // such as webpubsub.sendToGroup
	Groups []string // to join
	TTL    time.Duration
}

//go:embed openapi.json
var openAPI []byte

// Handler serves the paths below /api/hubs/, and /api/openapi.json, which
// describes them. Every other path is answered 404. Errors are JSON of the form
// {"error":{"code":…,"message":…}}.
//
// It wants the path as it was sent: an [http.ServeMux] before it would redirect
// requests whose path is not clean, whose names mean something else then.
//
// No byte of a body is read before the request is routed and authorized, then no
// more than MaxBody, and not slower than the server allows: time-outs of the
// http.Server are the caller's.
func Handler(o Options) http.Handler {
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.Budget == nil {
		o.Budget = unbounded{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &api{Options: o, routes: routes()}
}

// api is the Handler.
type api struct {
	Options
	routes []route
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.URL.Path == "/api/openapi.json" {
		a.describe(w, r)
		return
	}
	route, err := lookup(a.routes, r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	body, err := a.serve(r, route, h)
	if err == nil && body != nil {
		err = a.answer(w, route.statuses[0], body)
	} else if err == nil {
		w.WriteHeader(route.statuses[0])
	}
	if err != nil {
		a.refuse(w, r, err)
	}
}

// describe answers with the OpenAPI document, which is for everybody.
func (a *api) describe(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		a.refuse(w, r, notAllowed(r.Method, []string{http.MethodGet, http.MethodHead}))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(openAPI)
}

// serve lets route answer, if r may and says what it must.
func (a *api) serve(r *http.Request, route *route, h http.Header) (body any, err error) {
	hub := r.PathValue("hub")
	if isAmbiguous(hub) {
		return nil, badRequest("the hub in the path has an escaped slash or control character")
	}
	if err := a.Authorize(r, hub); err != nil {
		return nil, unauthorized(err)
	}
	if !a.Hubs(hub) {
		return nil, delivery.ErrNoHub
	}
	q, err := newRequest(r, route)
	if err != nil {
		return nil, err
	}
	q.budget = a.Budget
	defer q.release()
	return route.handle(a, q, h)
}

// answer writes body as JSON. It is charged to the budget until the client has
// taken it: an error, with nothing written, says that there is no room.
func (a *api) answer(w http.ResponseWriter, status int, body any) error {
	data := encode(body)
	if !a.Budget.Take(cap(data)) {
		return errBuffers
	}
	defer a.Budget.Give(cap(data))
	write(w, status, data)
	return nil
}

// encode returns body as JSON.
func encode(body any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(err) // none of ours can fail
	}
	return b.Bytes()
}

func write(w http.ResponseWriter, status int, data []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(data) // fails only if the client is gone
}
