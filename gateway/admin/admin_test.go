package admin

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"))
}

func ready() error { return nil }

// serve starts an admin listener.
func serve(t *testing.T, ready func() error) *httptest.Server {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(collectors.NewGoCollector())
	hits := prometheus.NewCounter(prometheus.CounterOpts{Name: "hits_total", Help: "Hits."})
	hits.Add(3)
	reg.MustRegister(hits)
	srv := httptest.NewServer(Handler(Options{
		Gatherer: reg,
		Ready:    ready,
		Info:     "sluice 1.2.3",
	}))
	t.Cleanup(srv.Close)
	return srv
}

// do returns the response to a request and its body.
func do(t *testing.T, srv *httptest.Server, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestPagesAnswer(t *testing.T) {
	srv := serve(t, ready)
	for _, tt := range []struct{ path, contentType, body string }{
		{"/", "text/html; charset=utf-8", "<title>Sluice console</title>"},
		{"/console/state", "application/json", `"info":"sluice 1.2.3"`},
		{"/metrics", "text/plain; version=0.0.4; charset=utf-8", "hits_total 3\n"},
		{"/healthz", "text/plain; charset=utf-8", "ok\n"},
		{"/readyz", "text/plain; charset=utf-8", "ok\n"},
		{"/debug/pprof/", "text/html; charset=utf-8", "goroutine"},
		{"/debug/pprof/goroutine?debug=1", "text/plain; charset=utf-8", "goroutine profile:"},
		{"/debug/pprof/heap", "application/octet-stream", ""},
		{"/debug/pprof/cmdline", "text/plain; charset=utf-8", "admin.test"},
		{"/debug/pprof/symbol", "text/plain; charset=utf-8", "num_symbols"},
		{"/debug/pprof/trace?seconds=0.01", "application/octet-stream", ""},
		{"/debug/pprof/profile?seconds=1", "application/octet-stream", ""},
	} {
		t.Run(tt.path, func(t *testing.T) {
			t.Parallel()
			resp, body := do(t, srv, "GET", tt.path)
			if resp.StatusCode != http.StatusOK || !strings.Contains(body, tt.body) || body == "" {
				t.Errorf("GET: %s, body %.200q", resp.Status, body)
			}
			if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, tt.contentType) {
				t.Errorf("content type %q, want %q", got, tt.contentType)
			}
		})
	}
}

func TestHeadAnswersAsGetWithoutTheBody(t *testing.T) {
	srv := serve(t, ready)
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/debug/pprof/"} {
		resp, body := do(t, srv, "HEAD", path)
		if resp.StatusCode != http.StatusOK || body != "" {
			t.Errorf("HEAD %s: %s, body %q", path, resp.Status, body)
		}
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	srv := serve(t, ready)
	for path, allow := range map[string]string{
		"/":                      "GET, HEAD",
		"/metrics":               "GET, HEAD",
		"/healthz":               "GET, HEAD",
		"/readyz":                "GET, HEAD",
		"/debug/pprof/":          "GET, HEAD",
		"/debug/pprof/goroutine": "GET, HEAD",
		"/debug/pprof/profile":   "GET, HEAD",
		"/debug/pprof/symbol":    "GET, HEAD, POST",
	} {
		resp, _ := do(t, srv, "DELETE", path)
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != allow {
			t.Errorf("DELETE %s: %s, Allow %q, want %q", path, resp.Status, resp.Header.Get("Allow"), allow)
		}
	}
}

func TestReadinessFollowsReady(t *testing.T) {
	var isReady atomic.Bool
	srv := serve(t, func() error {
		if !isReady.Load() {
			return errors.New("draining")
		}
		return nil
	})
	if resp, body := do(t, srv, "GET", "/readyz"); resp.StatusCode != 503 || body != "draining\n" {
		t.Errorf("not ready: %s, body %q", resp.Status, body)
	}
	if resp, _ := do(t, srv, "GET", "/healthz"); resp.StatusCode != 200 {
		t.Errorf("a node that is not ready must be healthy: %s", resp.Status)
	}
	isReady.Store(true)
	if resp, body := do(t, srv, "GET", "/readyz"); resp.StatusCode != 200 || body != "ok\n" {
		t.Errorf("ready: %s, body %q", resp.Status, body)
	}
}

func TestMetricsSpeakOpenMetricsWhenAsked(t *testing.T) {
	srv := serve(t, ready)
	resp, body := do(t, srv, "GET", "/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") {
		t.Errorf("content type %q", got)
	}
	if !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("body does not end with # EOF: %.200q", body)
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	srv := serve(t, ready)
	for _, path := range []string{"/nothing", "/debug", "/debug/pprof/nothing", "/metrics/"} {
		if resp, _ := do(t, srv, "GET", path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
	}
}
