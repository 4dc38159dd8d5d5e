package trace_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"sluice/gateway/trace"
	"sluice/gateway/trace/tracetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text is a log that is read while it is written.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// open makes a Tracer that is closed with the test, if not before.
func open(t testing.TB, endpoint string, share float64) (*trace.Tracer, *text) {
	t.Helper()
	log := new(text)
	tracer, err := trace.New(trace.Options{Endpoint: endpoint, Sample: share, Version: "1.2.3", Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, tracer) })
	return tracer, log
}

// shut sends what is left.
func shut(t testing.TB, tracer *trace.Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := tracer.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestSpansOfAHandshakeReachTheReceiver(t *testing.T) {
	receiver := tracetest.Receive(t)
	tracer, _ := open(t, receiver.URL, 1)
	client := trace.Parse([]byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), []byte("vendor=1"))

	handshake := tracer.Begin(client)
	event := tracer.Begin(handshake.Context)
	attempt := tracer.Begin(event.Context)
	began := time.Now().Add(-time.Second)
	tracer.Attempt(attempt, 3*time.Millisecond, 2, "not answered")
	tracer.Event(event, began, 4*time.Millisecond, trace.Event{Hub: "chat", Type: "connect", ID: "id", Connection: "c", Attempts: 2, Outcome: "failed"})
	tracer.Handshake(handshake, 5*time.Millisecond, trace.Handshake{Hub: "chat", Connection: "c", Result: "ok"})
	shut(t, tracer)

	spans := byName(receiver.Spans())
	for name, want := range map[string]struct {
		span   [8]byte
		parent [8]byte
		took   time.Duration
		kind   tracepb.Span_SpanKind
		status tracepb.Status_StatusCode
		says   string
	}{
		"handshake":     {handshake.Span, client.Span, 5 * time.Millisecond, tracepb.Span_SPAN_KIND_SERVER, tracepb.Status_STATUS_CODE_UNSET, ""},
		"event connect": {event.Span, handshake.Span, 4 * time.Millisecond, tracepb.Span_SPAN_KIND_INTERNAL, tracepb.Status_STATUS_CODE_ERROR, "failed"},
		"attempt":       {attempt.Span, event.Span, 3 * time.Millisecond, tracepb.Span_SPAN_KIND_CLIENT, tracepb.Status_STATUS_CODE_ERROR, "not answered"},
	} {
		s := spans[name]
		if s == nil {
			t.Fatalf("no span %q among %v", name, spans)
		}
		if [16]byte(s.TraceId) != client.Trace || [8]byte(s.SpanId) != want.span || [8]byte(s.ParentSpanId) != want.parent || s.TraceState != "vendor=1" {
			t.Errorf("%s: trace %x, span %x below %x, state %q", name, s.TraceId, s.SpanId, s.ParentSpanId, s.TraceState)
		}
		if s.Kind != want.kind || s.Status.GetCode() != want.status || s.Status.GetMessage() != want.says {
			t.Errorf("%s: kind %v, status %v", name, s.Kind, s.Status)
		}
		if took := time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano); took != want.took {
			t.Errorf("%s: took %v, want %v", name, took, want.took)
		}
	}
	if s := spans["event connect"]; int64(s.StartTimeUnixNano) != began.UnixNano() || tracetest.Attribute(s, "sluice.hub") != "chat" ||
		tracetest.Attribute(s, "sluice.event") != "connect" || tracetest.Attribute(s, "sluice.outcome") != "failed" {
		t.Errorf("the event is told as %v", s)
	}
	if r := receiver.Resource(); r["service.name"] != "sluice" || r["service.version"] != "1.2.3" {
		t.Errorf("resource %v", r)
	}
	if c := tracer.Counts(); c != (trace.Counts{Exported: 3}) {
		t.Errorf("counts %+v", c)
	}
}

func byName(spans []*tracepb.Span) map[string]*tracepb.Span {
	m := make(map[string]*tracepb.Span, len(spans))
	for _, s := range spans {
		m[s.Name] = s
	}
	return m
}

// Other services of the same trace decide by the sampler of the SDK.
func TestSamplingAgreesWithOtherServices(t *testing.T) {
	const share = 0.3
	tracer, _ := open(t, "http://127.0.0.1:1", share)
	sampler := sdk.TraceIDRatioBased(share)
	sampled := 0
	for range 10_000 {
		s := tracer.Begin(trace.Context{})
		want := sampler.ShouldSample(sdk.SamplingParameters{TraceID: oteltrace.TraceID(s.Trace)}).Decision == sdk.RecordAndSample
		if s.Sampled != want {
			t.Fatalf("trace %x is sampled: %v, want %v", s.Trace, s.Sampled, want)
		}
		if child := tracer.Begin(s.Context); child.Sampled != s.Sampled || child.Trace != s.Trace || child.Span == s.Span {
			t.Fatalf("below %v is %v", s, child)
		}
		asked := tracer.Begin(trace.Context{Trace: s.Trace, Span: s.Span, Sampled: true})
		unasked := tracer.Begin(trace.Context{Trace: s.Trace, Span: s.Span})
		if asked.Sampled != want || unasked.Sampled {
			t.Fatalf("a client's trace %x is sampled: %v if it wants that, and else: %v", s.Trace, asked.Sampled, unasked.Sampled)
		}
		if s.Sampled {
			sampled++
		}
	}
	if sampled < 2500 || sampled > 3500 {
		t.Errorf("%d of 10,000 sampled", sampled)
	}
}

func TestWhatIsNotSampledIsNotRecorded(t *testing.T) {
	receiver := tracetest.Receive(t)
	tracer, _ := open(t, receiver.URL, 0)
	s := tracer.Begin(trace.Context{})
	if !s.Valid() || s.Sampled || s.TraceID() != [16]byte{} {
		t.Errorf("span %v", s)
	}
	tracer.Handshake(s, time.Second, trace.Handshake{})
	tracer.Event(s, time.Now(), time.Second, trace.Event{})
	tracer.Attempt(s, time.Second, 1, "")
	shut(t, tracer)
	if n := receiver.Requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestNoTracerAndNoSampleAllocateNothing(t *testing.T) {
	off := (*trace.Tracer)(nil)
	on, _ := open(t, "http://127.0.0.1:1", 0)
	for _, tracer := range []*trace.Tracer{off, on} {
		if n := testing.AllocsPerRun(100, func() {
			s := tracer.Begin(trace.Context{})
			child := tracer.Begin(s.Context)
			tracer.Attempt(child, time.Second, 1, "")
			tracer.Event(s, time.Time{}, time.Second, trace.Event{})
			tracer.Handshake(s, time.Second, trace.Handshake{})
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
	if s := off.Begin(trace.Context{}); s.Valid() {
		t.Errorf("without a tracer there is the span %v", s)
	}
	if err := off.Close(t.Context()); err != nil || off.Counts() != (trace.Counts{}) {
		t.Errorf("%v, %v", err, off.Counts())
	}
}

func TestFullQueueDropsAndCountsAndBlocksNobody(t *testing.T) {
	receiver := tracetest.Receive(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	receiver.Refuse(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-answer // and with 200, so the spans are gone
	})
	tracer, _ := open(t, receiver.URL, 1)
	const most, batch = 4096, 512
	record := func(n int) {
		for range n {
			tracer.Handshake(tracer.Begin(trace.Context{}), time.Millisecond, trace.Handshake{Result: "ok"})
		}
	}
	record(batch)
	<-asked // the first batch is on its way, and stays there
	record(most)
	if c := tracer.Counts(); c.Waiting != most || c.Dropped != batch {
		t.Errorf("counts %+v, want %d waiting and %d dropped", c, most, batch)
	}
	close(answer)
	shut(t, tracer)
	if c := tracer.Counts(); c != (trace.Counts{Exported: most, Dropped: batch}) {
		t.Errorf("counts %+v in the end", c)
	}
	if n := len(receiver.Spans()); n != most-batch {
		t.Errorf("%d spans received", n)
	}
}

// answer is a refusal.
func answer(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func TestReceiverWithoutRoomIsAskedAgain(t *testing.T) {
	receiver := tracetest.Receive(t)
	receiver.Refuse(answer(503), answer(429))
	tracer, log := open(t, receiver.URL, 1)
	tracer.Attempt(tracer.Begin(trace.Context{}), time.Second, 1, "")
	shut(t, tracer)
	if c := tracer.Counts(); c.Exported != 1 || c.Dropped != 0 || receiver.Requests() != 3 || log.String() != "" {
		t.Errorf("counts %+v after %d requests; log %q", c, receiver.Requests(), log)
	}
}

func TestRefusedSpansAreCountedAndLoggedOnce(t *testing.T) {
	receiver := tracetest.Receive(t)
	receiver.Refuse(answer(400), answer(302))
	tracer, log := open(t, receiver.URL, 1)
	const batch = 512
	for range 3 * batch { // batches leave one by one
		tracer.Attempt(tracer.Begin(trace.Context{}), time.Second, 1, "")
	}
	shut(t, tracer)
	if c := tracer.Counts(); c.Exported != batch || c.Dropped != 2*batch || receiver.Requests() != 3 {
		t.Errorf("counts %+v after %d requests", c, receiver.Requests())
	}
	if strings.Count(log.String(), "level=WARN") != 1 || !strings.Contains(log.String(), "400 Bad Request") || strings.Count(log.String(), "level=INFO") != 1 {
		t.Errorf("log %q", log)
	}
}

func TestReceiverThatIsNotThereHoldsUpNoEnd(t *testing.T) {
	const password = "s3cret"
	tracer, log := open(t, "http://user:"+password+"@127.0.0.1:1/", 1)
	tracer.Attempt(tracer.Begin(trace.Context{}), time.Second, 1, "")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := tracer.Close(ctx); err == nil {
		t.Error("all is said to be sent")
	}
	if c := tracer.Counts(); c != (trace.Counts{Dropped: 1}) {
		t.Errorf("counts %+v", c)
	}
	if !strings.Contains(log.String(), "refused") || strings.Contains(log.String(), password) {
		t.Errorf("log %q", log)
	}
}

func TestEndpointMustBeAURL(t *testing.T) {
	for _, endpoint := range []string{"", "collector:4318", "grpc://collector:4317", "http://", "http://a b/"} {
		if _, err := trace.New(trace.Options{Endpoint: endpoint}); err == nil {
			t.Errorf("%q is accepted", endpoint)
		}
	}
}

func TestPathOfTheEndpointIsKept(t *testing.T) {
	receiver := tracetest.Receive(t)
	paths := make(chan string, 1)
	receiver.Refuse(func(_ http.ResponseWriter, r *http.Request) { paths <- r.URL.String() })
	tracer, _ := open(t, receiver.URL+"/other?tenant=1", 1)
	tracer.Attempt(tracer.Begin(trace.Context{}), time.Second, 1, "")
	shut(t, tracer)
	if path := <-paths; path != "/other?tenant=1" {
		t.Errorf("asked for %s", path)
	}
}

func BenchmarkBegin(b *testing.B) {
	for _, share := range []float64{0, 1} {
		b.Run(fmt.Sprint("sample=", share), func(b *testing.B) {
			tracer, _ := open(b, "http://127.0.0.1:1", share)
			var header [128]byte
			b.ReportAllocs()
			for b.Loop() {
				s := tracer.Begin(trace.Context{})
				if p := s.AppendHeaders(header[:0]); len(p) != 70 {
					b.Fatal(len(p), hex.EncodeToString(p))
				}
			}
		})
	}
}

// BenchmarkRecord is what a span that is sampled costs its loop.
func BenchmarkRecord(b *testing.B) {
	receiver := tracetest.Receive(b)
	tracer, _ := open(b, receiver.URL, 1)
	b.ReportAllocs()
	for b.Loop() {
		tracer.Handshake(tracer.Begin(trace.Context{}), time.Millisecond, trace.Handshake{Hub: "chat", Connection: "c", Result: "ok"})
	}
}
