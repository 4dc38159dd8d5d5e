// Package tracetest has a receiver of traces for tests: what a collector is to
// the gateway, over a real socket.
package tracetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Receiver takes spans by OTLP over HTTP. All methods may be called from any
// goroutine.
type Receiver struct {
	URL string

	mu        sync.Mutex
	resources []*tracepb.ResourceSpans
	spans     []*tracepb.Span
	refusals  []http.HandlerFunc
	requests  int
	news      chan struct{}
}

// Receive starts a Receiver that ends with the test.
func Receive(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{news: make(chan struct{}, 1)}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// Refuse has the next requests answered by these, one each, and their spans
// forgotten.
func (r *Receiver) Refuse(by ...http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals = append(r.refusals, by...)
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	// As a message, TracesData is what ExportTraceServiceRequest is.
	var data tracepb.TracesData
	if err == nil {
		err = proto.Unmarshal(body, &data)
	}
	if err != nil || q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "no spans", http.StatusBadRequest)
		return
	}
	if refuse := r.take(&data, q); refuse != nil {
		refuse(w, q)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf") // of an empty answer: all were taken
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// take keeps the spans, or returns how they are to be refused.
func (r *Receiver) take(data *tracepb.TracesData, q *http.Request) (refuse http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if len(r.refusals) > 0 {
		refuse, r.refusals = r.refusals[0], r.refusals[1:]
		return refuse
	}
	if q.URL.Path != "/v1/traces" {
		return http.NotFound
	}
	for _, resource := range data.ResourceSpans {
		r.resources = append(r.resources, resource)
		for _, scope := range resource.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	return nil
}

// Requests returns how many requests there were.
func (r *Receiver) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// Spans returns what has been received so far.
func (r *Receiver) Spans() []*tracepb.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*tracepb.Span(nil), r.spans...)
}

// Resource returns the attributes of who has sent the first spans.
func (r *Receiver) Resource() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	attributes := map[string]string{}
	if len(r.resources) > 0 {
		for _, a := range r.resources[0].Resource.Attributes {
			attributes[a.Key] = a.Value.GetStringValue()
		}
	}
	return attributes
}

// Await returns the spans when there are n of them.
func (r *Receiver) Await(t testing.TB, n int) []*tracepb.Span {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		spans := r.Spans()
		if len(spans) >= n {
			return spans
		}
		select {
		case <-r.news:
		case <-late:
			t.Fatalf("%d spans, want %d", len(spans), n)
		}
	}
}

// Attribute returns the text of an attribute of s, "" if it has none.
func Attribute(s *tracepb.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}
