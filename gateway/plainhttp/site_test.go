package plainhttp

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"sluice/gateway/handshake"
)

func TestTheSiteIsWhereItIsLookedFor(t *testing.T) {
	serves := true
	foreign := &handshake.Error{Status: http.StatusMisdirectedRequest, Reason: "not here"}
	s := &Site{
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "the API") }),
		Host: func(field []byte) *handshake.Error {
			if string(field) == "evil" {
				return foreign
			}
			return nil
		},
		Hub: func(path []byte) (bool, error) {
			if string(path) == "/a%2Fb" {
				return false, errors.New("ambiguous")
			}
			return string(path) == "/chat", nil
		},
		Serves: func() bool { return serves },
	}
	for _, c := range []struct {
		method, target string
		status         int
		body           string
	}{
		{"GET", "http://us/api/health", 200, "ok\n"},
		{"GET", "http://evil/api/health", 200, "ok\n"}, // probes have any name for us
		{"PUT", "http://us/api/health", 405, "method not allowed\n"},
		{"GET", "http://us/", 200, Page},
		{"PUT", "http://us/", 405, "method not allowed\n"},
		{"GET", "http://evil/", 421, "not here\n"},
		{"PUT", "http://us/api/hubs/chat", 200, "the API"},
		{"PUT", "http://evil/api/hubs/chat", 421, `{"error":{"code":"MisdirectedRequest","message":"not here"}}`},
		{"GET", "http://us/chat", 426, "this path speaks WebSocket\n"},
		{"GET", "http://us/a%2Fb", 400, "malformed path\n"},
		{"GET", "http://us/nowhere", 404, "404 page not found\n"},
		{"GET", "http://us/favicon.ico", 204, ""},
		{"PUT", "http://us/favicon.ico", 404, "404 page not found\n"},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(c.method, c.target, nil))
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.target, w.Code, w.Body, c.status, c.body)
		}
	}
	serves = false
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/api/health", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("health of a node that leaves: %d", w.Code)
	}
}
