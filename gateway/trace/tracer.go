package trace

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options are what a Tracer is made of.
type Options struct {
	// Endpoint is the URL of an OTLP receiver that speaks HTTP; without a path,
	// that is /v1/traces.
	Endpoint string
	// Sample is the share of traces that is recorded, 0 to 1.
	Sample  float64
	Version string // of this program
	Log     *slog.Logger
}

// Tracer begins and records spans. Its methods may be called from any
// goroutine, never block but for Close, and do nothing if it is nil.
type Tracer struct {
	bound    uint64 // traces whose id, shifted, is below are sampled
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	queue    *queue
	client   *client
}

// New returns a Tracer. It connects to nothing yet. The caller closes it.
func New(o Options) (*Tracer, error) {
	c, err := newClient(o.Endpoint)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	exporter, err := otlptrace.New(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	// What the environment says of the service (OTEL_SERVICE_NAME,
	// OTEL_RESOURCE_ATTRIBUTES) comes last, and wins.
	service, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "sluice"),
		attribute.String("service.version", o.Version),
	), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	t := &Tracer{bound: uint64(o.Sample * (1 << 63)), queue: newQueue(exporter, o.Log), client: c}
	t.provider = sdk.NewTracerProvider(
		sdk.WithSpanProcessor(t.queue),
		sdk.WithSampler(sdk.AlwaysSample()), // what is recorded was sampled when it began
		sdk.WithIDGenerator(given{}),
		sdk.WithResource(service),
	)
	t.tracer = t.provider.Tracer("sluice")
	return t, nil
}

// Close sends what waits, until ctx ends, and gives up the rest.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	err := t.provider.Shutdown(ctx)
	t.client.giveUp()
	<-t.queue.ended
	return err
}

// Counts are what became of the spans that were recorded.
type Counts struct {
	Waiting           int64 // in the queue, or on their way
	Exported, Dropped uint64
}

// Counts returns what has been counted so far.
func (t *Tracer) Counts() Counts {
	if t == nil {
		return Counts{}
	}
	return Counts{Waiting: t.queue.waiting.Load(), Exported: t.queue.exported.Load(), Dropped: t.queue.dropped.Load()}
}

// Span is something that is under way: its Context, for those below it, and the
// span above it.
type Span struct {
	Context
	parent [8]byte // zero: it is the first of its trace
}

// Begin begins a span below parent, or a trace if that is not valid. Whether it
// is sampled follows from the id of its trace, as everywhere in OpenTelemetry
// (TraceIdRatioBased), so that processes with the same share agree; whoever
// began the trace can have less recorded thereby, and not more.
func (t *Tracer) Begin(parent Context) (s Span) {
	if t == nil {
		return Span{}
	}
	s.Span = newSpanID()
	if parent.Valid() {
		s.Trace, s.State, s.parent = parent.Trace, parent.State, parent.Span
		s.Sampled = parent.Sampled && t.samples(s.Trace)
	} else {
		s.Trace = newTraceID()
		s.Sampled = t.samples(s.Trace)
	}
	return s
}

func (t *Tracer) samples(id [16]byte) bool { return binary.BigEndian.Uint64(id[8:])>>1 < t.bound }

// record records s, which is sampled and has ended. failure is what went wrong,
// or "".
func (t *Tracer) record(s Span, name string, kind trace.SpanKind, began, ended time.Time, failure string, attributes ...attribute.KeyValue) {
	ctx := context.WithValue(context.Background(), givenKey{}, &s)
	if s.parent != [8]byte{} {
		state, _ := trace.ParseTraceState(s.State) // Parse has
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID:    s.Trace,
			SpanID:     s.parent,
			TraceFlags: trace.FlagsSampled,
			TraceState: state,
			Remote:     kind == trace.SpanKindServer, // only a handshake is begun elsewhere
		}))
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(began), trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	if failure != "" {
		span.SetStatus(codes.Error, failure)
	}
	span.End(trace.WithTimestamp(ended))
}

// given is the sdk.IDGenerator of spans that have their ids already.
type given struct{}

type givenKey struct{}

func (given) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	s := ctx.Value(givenKey{}).(*Span)
	return s.Trace, s.Span
}

func (given) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	return ctx.Value(givenKey{}).(*Span).Span
}
