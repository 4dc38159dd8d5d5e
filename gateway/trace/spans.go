package trace

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Handshake is a client's way from the accept to its session, or to a refusal.
type Handshake struct {
	Hub        string // "": it was refused before that was known
	Connection string // public id of the session, "" without one
	Result     string // as it is counted
	Failed     bool   // and that is not the client's doing
}

// Handshake records that s has ended now, after d.
func (t *Tracer) Handshake(s Span, d time.Duration, h Handshake) {
	if !s.Sampled {
		return
	}
	failure := ""
	if h.Failed {
		failure = h.Result
	}
	now := time.Now()
	t.record(s, "handshake", trace.SpanKindServer, now.Add(-d), now, failure,
		attribute.String("sluice.hub", h.Hub),
		attribute.String("sluice.connection.id", h.Connection),
		attribute.String("sluice.result", h.Result))
}

// Event is one that an upstream was to be sent.
type Event struct {
	Hub, Type  string
	Name       string // of a message
	ID         string // "": it was never attempted
	Connection string
	Attempts   int
	Outcome    string // as it is counted
	OK         bool
}

// Event records that s, which began at a time, has ended after d.
func (t *Tracer) Event(s Span, began time.Time, d time.Duration, e Event) {
	if !s.Sampled {
		return
	}
	failure := ""
	if !e.OK {
		failure = e.Outcome
	}
	t.record(s, "event "+e.Type, trace.SpanKindInternal, began, began.Add(d), failure,
		attribute.String("sluice.hub", e.Hub),
		attribute.String("sluice.event", e.Type),
		attribute.String("sluice.event.name", e.Name),
		attribute.String("sluice.event.id", e.ID),
		attribute.String("sluice.connection.id", e.Connection),
		attribute.Int("sluice.attempts", e.Attempts),
		attribute.String("sluice.outcome", e.Outcome))
}

// Attempt records that s, the nth attempt to deliver an event, has ended now,
// after d. failure is why it did not deliver it, or "".
func (t *Tracer) Attempt(s Span, d time.Duration, n int, failure string) {
	if !s.Sampled {
		return
	}
	now := time.Now()
	t.record(s, "attempt", trace.SpanKindClient, now.Add(-d), now, failure, attribute.Int("sluice.attempt", n))
}
