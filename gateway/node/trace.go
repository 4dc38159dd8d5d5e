package node

import (
	"context"
	"log/slog"
	"time"

	"sluice/gateway/config"
	"sluice/gateway/trace"
	"sluice/metrics"
)

// openTracer returns what traces handshakes and events, nil if that is not
// wanted.
func openTracer(cfg *config.Config, set *metrics.Set, log *slog.Logger, version string) (*trace.Tracer, error) {
	if cfg.Trace.Endpoint == "" {
		return nil, nil
	}
	t, err := trace.New(trace.Options{Endpoint: cfg.Trace.Endpoint, Sample: cfg.Trace.Sample, Version: version, Log: log})
	if err != nil {
		return nil, err
	}
	set.GaugeFunc("sluice_trace_queue_spans", "Spans that wait to be sent to the collector of traces.",
		func() float64 { return float64(t.Counts().Waiting) })
	set.CounterFunc("sluice_trace_spans_exported_total", "Spans that the collector of traces has taken.",
		func() float64 { return float64(t.Counts().Exported) })
	set.CounterFunc("sluice_trace_spans_dropped_total", "Spans for which the queue had no room, or that the collector of traces did not take.",
		func() float64 { return float64(t.Counts().Dropped) })
	return t, nil
}

// closeTracer sends the last spans, if that does not take long.
func closeTracer(t *trace.Tracer, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.Warn("the last traces were not sent", "err", err)
	}
}
