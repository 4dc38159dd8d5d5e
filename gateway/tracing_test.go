package gateway

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"sluice/gateway/config"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/trace"
	"sluice/gateway/trace/tracetest"
	"sluice/metrics"
)

// openTracer makes a Tracer that samples everything, and shut sends the rest.
func openTracer(t testing.TB, url string) (tracer *trace.Tracer, shut func()) {
	t.Helper()
	tracer, err := trace.New(trace.Options{Endpoint: url, Sample: 1, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	shut = func() { tracer.Close(t.Context()) }
	return tracer, shut
}

// hooks is a backend that remembers the headers of its requests by the event.
type hooks struct {
	*httptest.Server
	mu      sync.Mutex
	headers map[string][]http.Header
}

// serveHooks starts a backend. answer, if not nil, is asked first, with the
// event and how often it was asked before.
func serveHooks(t testing.TB, answer func(w http.ResponseWriter, event string, n int) bool) *hooks {
	t.Helper()
	h := &hooks{headers: make(map[string][]http.Header)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WebHook-Allowed-Origin", "*")
		event := r.Header.Get("ce-eventName")
		h.mu.Lock()
		n := len(h.headers[event])
		h.headers[event] = append(h.headers[event], r.Header)
		h.mu.Unlock()
		if answer == nil || !answer(w, event, n) {
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(h.Server.Close)
	return h
}

// of returns the headers of the requests for an event.
func (h *hooks) of(event string) []http.Header {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.headers[event]
}

// named returns the spans of a name, in the order of their ends.
func named(spans []*tracepb.Span, name string) (found []*tracepb.Span) {
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

// below returns the spans whose parent is s.
func below(spans []*tracepb.Span, s *tracepb.Span) (found []*tracepb.Span) {
	for _, c := range spans {
		if bytes.Equal(c.ParentSpanId, s.SpanId) && bytes.Equal(c.TraceId, s.TraceId) {
			found = append(found, c)
		}
	}
	return found
}

// traceparent is what a backend is told of a span.
func traceparent(s *tracepb.Span) string { return fmt.Sprintf("00-%x-%x-01", s.TraceId, s.SpanId) }

func TestTraceGoesFromTheClientToTheBackend(t *testing.T) {
	receiver := tracetest.Receive(t)
	tracer, shut := openTracer(t, receiver.URL)
	// The first message is not taken at once.
	backend := serveHooks(t, func(w http.ResponseWriter, event string, n int) bool {
		if event == "message" && n == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	n := startWith(t, backend.URL, func(o *Options) { o.Tracer = tracer })

	const client = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	p := n.dial("traceparent: "+client, "tracestate: vendor=1")
	p.send(text("hello"))
	eventually(t, "the message is taken", func() bool { return len(backend.of("message")) == 2 })
	p.send(closeFrame(ws.StatusNormalClosure))
	eventually(t, "the end is told", func() bool { return len(backend.of("disconnected")) == 1 })
	n.Close()
	shut()
	spans := receiver.Spans()

	handshake := named(spans, "handshake")[0]
	if hex.EncodeToString(handshake.TraceId) != client[3:35] || hex.EncodeToString(handshake.ParentSpanId) != client[36:52] {
		t.Errorf("the handshake is below %x of trace %x", handshake.ParentSpanId, handshake.TraceId)
	}
	if tracetest.Attribute(handshake, "sluice.hub") != "default" || tracetest.Attribute(handshake, "sluice.result") != "ok" ||
		tracetest.Attribute(handshake, "sluice.connection.id") == "" || handshake.EndTimeUnixNano <= handshake.StartTimeUnixNano {
		t.Errorf("the handshake is %v", handshake)
	}
	if got := below(spans, handshake); len(got) != 2 || len(named(got, "event connect")) != 1 || len(named(got, "event connected")) != 1 {
		t.Errorf("below the handshake is %v", got)
	}
	for event, attempts := range map[string]int{"connect": 1, "connected": 1, "message": 2, "disconnected": 1} {
		all := named(spans, "event "+event)
		if len(all) != 1 || tracetest.Attribute(all[0], "sluice.outcome") != "ok" || all[0].Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
			t.Fatalf("%s: spans %v", event, all)
		}
		span, headers := all[0], backend.of(event)
		tries := below(spans, span)
		if len(tries) != attempts || len(headers) != attempts {
			t.Fatalf("%s: %d attempts, %d requests, want %d", event, len(tries), len(headers), attempts)
		}
		for i, attempt := range tries {
			if got := headers[i].Get("Traceparent"); got != traceparent(attempt) {
				t.Errorf("%s: the backend is told %q, and the span is %q", event, got, traceparent(attempt))
			}
			if failed := attempt.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR; failed != (i < attempts-1) {
				t.Errorf("%s: attempt %d has failed: %v", event, i+1, failed)
			}
		}
		ofHandshake := event == "connect" || event == "connected"
		if same := bytes.Equal(span.TraceId, handshake.TraceId); same != ofHandshake || len(span.ParentSpanId) > 0 != ofHandshake {
			t.Errorf("%s: trace %x below %x", event, span.TraceId, span.ParentSpanId)
		}
		if got := headers[0].Get("Tracestate"); (got == "vendor=1") != ofHandshake {
			t.Errorf("%s: state %q", event, got)
		}
		if tracetest.Attribute(span, "sluice.connection.id") != tracetest.Attribute(handshake, "sluice.connection.id") ||
			tracetest.Attribute(span, "sluice.event.id") != headers[0].Get("ce-id") {
			t.Errorf("%s: %v", event, span)
		}
	}
	wantExemplars(t, n, named(spans, "event message")[0])
}

// wantExemplars looks for the trace of an event among the exemplars.
func wantExemplars(t *testing.T, n *node, event *tracepb.Span) {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(rec, r)
	found := false
	for line := range strings.Lines(rec.Body.String()) {
		found = found || strings.HasPrefix(line, "sluice_upstream_request_duration_seconds_bucket") && strings.Contains(line, fmt.Sprintf(`# {trace_id="%x"}`, event.TraceId))
	}
	if !found {
		t.Errorf("the trace %x is no exemplar", event.TraceId)
	}
}

func TestRefusedHandshakesAreTraced(t *testing.T) {
	receiver := tracetest.Receive(t)
	tracer, shut := openTracer(t, receiver.URL)
	cfg := gatewaytest.Config()
	cfg.Limits.Handshake = config.Duration(100 * time.Millisecond)
	n := startOptions(t, cfg, func(o *Options) { o.Tracer = tracer })

	n.connect().wantStatus(http.StatusRequestTimeout)
	for _, head := range []string{"no HTTP\r\n\r\n", request("/nowhere"), request("/", "Origin: https://evil.example")} {
		p := n.connect()
		p.say(head)
		http.ReadResponse(p.r, nil)
	}
	gone := n.connect()
	gone.say("GET")
	gone.Close()
	n.connect().say("GET / HTTP/1.1\r\nHost: x\r\n\r\n") // is no handshake
	eventually(t, "all is counted", func() bool { return n.metric("sluice_handshakes_total") == 6 })
	n.dial("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00") // wants no trace
	n.Close()
	n.loops[0].do(func(l *loop) {
		if len(l.traced) > 0 {
			t.Errorf("%d handshakes are still under way", len(l.traced))
		}
	})
	shut()

	results := map[string]int{}
	for _, s := range receiver.Spans() {
		results[tracetest.Attribute(s, "sluice.result")]++
		if s.Name != "handshake" || len(s.ParentSpanId) > 0 || s.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
			t.Errorf("span %v", s)
		}
	}
	for _, r := range []metrics.Result{metrics.ResultTimeout, metrics.ResultBadRequest, metrics.ResultNotFound, metrics.ResultOrigin, metrics.ResultClientGone} {
		if results[r.String()] != 1 {
			t.Errorf("%d spans with the result %v", results[r.String()], r)
		}
		delete(results, r.String())
	}
	if len(results) > 0 {
		t.Errorf("there are also %v", results)
	}
}

func TestWithoutATracerTheBackendIsToldOfNoTrace(t *testing.T) {
	backend := serveHooks(t, nil)
	n := startWith(t, backend.URL, nil)
	n.dial("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if h := backend.of("connect"); len(h) != 1 || h[0].Get("Traceparent") != "" {
		t.Errorf("headers %v", h)
	}
	if n.loops[0].traced != nil {
		t.Error("handshakes are kept for nobody")
	}
}

func TestTwoTraceparentsAreNone(t *testing.T) {
	receiver := tracetest.Receive(t)
	tracer, shut := openTracer(t, receiver.URL)
	cfg := gatewaytest.Config()
	n := startOptions(t, cfg, func(o *Options) { o.Tracer = tracer })
	const header = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333"
	n.dial(header+"1-01", header+"2-01")
	n.dial(header+"1-01", "tracestate: a=1", "Tracestate: b=2")
	n.Close()
	shut()
	spans := receiver.Spans()
	if len(spans) != 2 || len(spans[0].ParentSpanId) > 0 || len(spans[1].ParentSpanId) == 0 || spans[1].TraceState != "a=1,b=2" {
		t.Errorf("spans %v", spans)
	}
}
