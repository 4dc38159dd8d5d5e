package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// event is one attempt to deliver a webhook, as a backend sees it.
type event struct {
	name       string // the last word of ce-type
	id         string
	connection string
	user       string
	body       string
}

// hooks is a backend in this process.
type hooks struct {
	address string

	mu   sync.Mutex
	seen []event
}

// serveHooks serves events until the test's end. answer may be nil: then
// messages come back.
func serveHooks(t *testing.T, answer func(http.ResponseWriter, *http.Request, event)) *hooks {
	t.Helper()
	if answer == nil {
		answer = func(w http.ResponseWriter, _ *http.Request, e event) { reply(w, e) }
	}
	h := &hooks{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			w.Header().Set("WebHook-Allowed-Origin", "*")
			return
		}
		if e, ok := h.note(r); ok {
			answer(w, r, e)
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections() // some answers wait for that
		server.Close()
	})
	h.address = server.Listener.Addr().String()
	return h
}

// note remembers what r brings. It is not ok if the body did not come whole.
func (h *hooks) note(r *http.Request) (e event, ok bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return e, false
	}
	e = event{
		name:       r.Header.Get("ce-type")[strings.LastIndexByte(r.Header.Get("ce-type"), '.')+1:],
		id:         r.Header.Get("ce-id"),
		connection: r.Header.Get("ce-connectionId"),
		user:       r.Header.Get("ce-userId"),
		body:       string(body),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, e)
	return e, true
}

// named returns the events of a name so far.
func (h *hooks) named(name string) []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var events []event
	for _, e := range h.seen {
		if e.name == name {
			events = append(events, e)
		}
	}
	return events
}

// all returns the events so far, in the order in which they came.
func (h *hooks) all() []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.seen)
}

// reply sends a message back, and takes everything else.
func reply(w http.ResponseWriter, e event) {
	if e.name != "message" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, e.body)
}
