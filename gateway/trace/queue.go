package trace

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// queueSize is how many spans wait at most, those on their way included.
	queueSize  = 4096
	batchSize  = 512
	batchTime  = 2 * time.Second
	exportTime = 10 * time.Second // how long one batch is tried to be sent
)

// queue is an sdk.SpanProcessor that hands spans over to a batch processor
// only if that has room, so that whatever is dropped is counted here.
type queue struct {
	sdk.SpanProcessor
	waiting           atomic.Int64
	exported, dropped atomic.Uint64
	ended             chan struct{} // closed when nothing is sent any more
}

func newQueue(to sdk.SpanExporter, log *slog.Logger) *queue {
	q := &queue{ended: make(chan struct{})}
	q.SpanProcessor = sdk.NewBatchSpanProcessor(&exporter{SpanExporter: to, queue: q, log: log},
		sdk.WithMaxQueueSize(queueSize),
		sdk.WithMaxExportBatchSize(batchSize),
		sdk.WithBatchTimeout(batchTime),
		sdk.WithExportTimeout(exportTime))
	return q
}

// OnEnd implements sdk.SpanProcessor. It never blocks.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if q.waiting.Add(1) > queueSize {
		q.waiting.Add(-1)
		q.dropped.Add(1)
		return
	}
	q.SpanProcessor.OnEnd(s)
}

// exporter is the way out of a queue. One goroutine at a time uses it.
type exporter struct {
	sdk.SpanExporter
	queue   *queue
	log     *slog.Logger
	failing bool
}

// ExportSpans implements sdk.SpanExporter. It never fails: of what is lost, the
// count tells, and the log when it begins and ends.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.queue.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.queue.dropped.Add(uint64(len(spans)))
	} else {
		e.queue.exported.Add(uint64(len(spans)))
	}
	switch failing := err != nil; {
	case failing && !e.failing:
		e.log.Warn("traces are lost: the collector does not take them", "err", err)
	case !failing && e.failing:
		e.log.Info("the collector takes traces again")
	}
	e.failing = err != nil
	return nil
}

// Shutdown implements sdk.SpanExporter. It is called once, behind the last
// spans.
func (e *exporter) Shutdown(ctx context.Context) error {
	defer close(e.queue.ended)
	return e.SpanExporter.Shutdown(ctx)
}
