package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// guarded is a handler whose data plane notes what reaches it.
func guarded(reached *bool) http.Handler {
	return Handler(Options{
		Gatherer: prometheus.NewRegistry(),
		Ready:    ready,
		Hosts:    func() []string { return []string{"Console.example.com"} },
		Hubs:     func() []Hub { return []Hub{{Name: "chat", Paths: []string{"/chat"}}} },
		API: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			*reached = true
			w.WriteHeader(http.StatusAccepted)
		}),
	})
}

// send returns the status of a request to a host; header is "Name: value" pairs.
func send(h http.Handler, method, host, path string, header ...string) int {
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	for _, field := range header {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func TestANameThatIsNotKnownHereIsRefused(t *testing.T) {
	var reached bool
	h := guarded(&reached)
	for host, want := range map[string]int{
		"localhost:9090":             200,
		"LOCALHOST.":                 200,
		"127.0.0.1:9090":             200,
		"[::1]:9090":                 200,
		"10.1.2.3":                   200, // a page could only come from there if it were ours
		"console.example.com:443":    200,
		"evil.example":               421,
		"evil.example:9090":          421,
		"console.example.com.evil":   421,
		"localhost.evil.example":     421,
		"127.0.0.1.evil.example":     421,
		"evil.example:127.0.0.1":     421,
		"":                           421,
		"localhost@evil.example":     421,
		"evil.example/@localhost":    421,
		"[::1].evil.example":         421,
		"xn--lcalhost-54g.example":   421,
		"console.example.com,x.test": 421,
	} {
		for _, path := range []string{"/", "/console/state", "/console/console.js", "/debug/pprof/cmdline", "/console/hubs/chat/client"} {
			want := want
			if want == 200 && strings.HasSuffix(path, "/client") {
				want = 426 // it speaks WebSocket
			}
			if got := send(h, "GET", host, path); got != want {
				t.Errorf("GET %s of %q: %d, want %d", path, host, got, want)
			}
		}
		if want == 421 {
			send(h, "POST", host, "/api/hubs/chat/:send", "Origin: http://"+host)
			if reached {
				t.Fatalf("a request to %q has reached the data plane", host)
			}
		}
	}
}

func TestMachinesMayCallMetricsAndHealthWhateverTheyWant(t *testing.T) {
	var reached bool
	h := guarded(&reached)
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		if got := send(h, "GET", "sluice-3.sluice.svc:9090", path); got != 200 {
			t.Errorf("GET %s: %d", path, got)
		}
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	const own = "http://localhost:9090"
	cases := []struct {
		request string
		header  []string
		want    int
	}{
		// What a browser says of its own.
		{"GET /console/state", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"GET /", []string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 200},
		{"POST /api/hubs/chat/:send", []string{"Origin: " + own, "Sec-Fetch-Site: same-origin"}, 202},
		{"DELETE /api/hubs/chat/connections/x", []string{"Origin: https://localhost:9090"}, 202}, // behind TLS
		{"GET /api/hubs/chat/connections", nil, 202},

		// A link to the console, and nothing else of another site.
		{"GET /", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 200},
		{"GET /", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, 403},
		{"GET /", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, 403},
		{"GET /console/state", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 403},
		{"GET /console/state", []string{"Sec-Fetch-Site: same-site"}, 403}, // another port
		{"GET /console/console.js", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: script"}, 403},
		{"GET /debug/pprof/profile?seconds=30", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"GET /api/hubs/chat/connections", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"GET /console/hubs/chat/sessions", []string{"Sec-Fetch-Site: cross-site"}, 403},

		// What acts shows the console's origin.
		{"POST /api/hubs/chat/:send", nil, 403},
		{"POST /api/hubs/chat/:send", []string{"Origin: null"}, 403},
		{"POST /api/hubs/chat/:send", []string{"Origin: http://evil.example"}, 403},
		{"POST /api/hubs/chat/:send", []string{"Origin: http://localhost:8080"}, 403},
		{"POST /api/hubs/chat/:send", []string{"Origin: http://localhost"}, 403},
		{"POST /api/hubs/chat/:send", []string{"Origin: " + own, "Sec-Fetch-Site: cross-site"}, 403},
		{"PUT /api/hubs/chat/users/ann/groups/red", []string{"Origin: http://evil.example"}, 403},
		{"DELETE /api/hubs/chat/connections/x", nil, 403},
		{"OPTIONS /api/hubs/chat/:send", []string{"Origin: http://evil.example", "Access-Control-Request-Method: POST"}, 403},
		{"POST /debug/pprof/symbol", []string{"Origin: http://evil.example"}, 403},
		{"POST /debug/pprof/symbol", nil, 200}, // go tool pprof

		// A WebSocket is opened by a GET, and its answers are open to whoever opened it.
		{"GET /console/hubs/chat/client", []string{"Upgrade: websocket", "Origin: http://evil.example"}, 403},
		{"GET /console/hubs/chat/client", []string{"Upgrade: websocket", "Sec-Fetch-Site: cross-site", "Origin: " + own}, 403},
		{"GET /console/hubs/chat/client", []string{"Upgrade: websocket"}, 403},
	}
	for _, c := range cases {
		var reached bool
		method, path, _ := strings.Cut(c.request, " ")
		got := send(guarded(&reached), method, "localhost:9090", path, c.header...)
		if got != c.want {
			t.Errorf("%s %q: %d, want %d", c.request, c.header, got, c.want)
		}
		if reached != (got == 202) {
			t.Errorf("%s %q: reached the data plane: %t", c.request, c.header, reached)
		}
	}
}

func TestNoSiteIsEverToldThatItMayRead(t *testing.T) {
	var reached bool
	h := guarded(&reached)
	for _, path := range []string{"/", "/console/state", "/console/console.js", "/metrics", "/api/hubs/chat/connections"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Host = "localhost"
		r.Header.Set("Origin", "http://evil.example")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s answers with %s", path, name)
			}
		}
	}
}
