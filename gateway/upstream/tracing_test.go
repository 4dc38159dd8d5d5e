package upstream

import (
	"context"
	"log/slog"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"sluice/gateway/config"
	"sluice/gateway/trace"
	"sluice/gateway/trace/tracetest"
	"sluice/session"
)

// traced are options whose spans the receiver gets, when shut is called.
func traced(t *testing.T, change ...func(*config.Upstream)) (o counted, receiver *tracetest.Receiver, shut func()) {
	t.Helper()
	receiver = tracetest.Receive(t)
	tracer, err := trace.New(trace.Options{Endpoint: receiver.URL, Sample: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	o = options(change...)
	o.Tracer = tracer
	o.ID = func(session.Ref) string { return "connection" }
	return o, receiver, func() { tracer.Close(t.Context()) }
}

func TestEventThatIsNotTakenIsTraced(t *testing.T) {
	o, receiver, shut := traced(t)
	o.Budget.SetLimit(3)
	d := NewDispatcher(newBackend(taken), o.Options)
	d.Send(message(1, "four"), nil)
	closeAll(t, d)
	d.Send(event(Disconnected, 1), nil)
	shut()
	spans := receiver.Spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	for i, want := range []string{"overloaded", "canceled"} {
		s := spans[i]
		if s.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || tracetest.Attribute(s, "sluice.outcome") != want || len(s.ParentSpanId) > 0 {
			t.Errorf("span %v, want one with the outcome %s", s, want)
		}
	}
}

func TestRefusalIsTracedWithItsCause(t *testing.T) {
	o, receiver, shut := traced(t)
	d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
		if !c.Trace.Valid() || !c.Trace.Sampled {
			t.Errorf("the backend is told of %v", c.Trace)
		}
		return Reply{}, failure(Refused)
	}), o.Options)
	parent := o.Tracer.Begin(trace.Context{})
	ev := event(Connect, 1)
	ev.Parent = &parent.Context
	var l loop
	send(t, d, ev, &l)
	closeAll(t, d)
	shut()
	spans := receiver.Spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	attempt, of := spans[0], spans[1]
	if attempt.Name != "attempt" || attempt.Status.GetMessage() != "refused: as the test wants it" || [8]byte(attempt.ParentSpanId) != [8]byte(of.SpanId) {
		t.Errorf("attempt %v", attempt)
	}
	if of.Name != "event connect" || of.Status.GetMessage() != "refused" || [8]byte(of.ParentSpanId) != parent.Span ||
		tracetest.Attribute(of, "sluice.connection.id") != "connection" {
		t.Errorf("event %v", of)
	}
}

func TestWithoutATracerEventsHaveNoTrace(t *testing.T) {
	d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
		if c.Trace != (trace.Context{}) {
			t.Errorf("the backend is told of %v", c.Trace)
		}
		return Reply{}, nil
	}), options().Options)
	var l loop
	send(t, d, message(1, "x"), &l)
	closeAll(t, d)
}
