package upstream

import (
	"time"

	"sluice/gateway/trace"
	"sluice/metrics"
)

// begin begins the span of an event.
func (d *Dispatcher) begin(ev *Event) trace.Span {
	if ev.Parent == nil {
		return d.o.Tracer.Begin(trace.Context{})
	}
	return d.o.Tracer.Begin(*ev.Parent)
}

// traced records that p has ended.
func (d *Dispatcher) traced(p *pending, o metrics.Outcome, took time.Duration) {
	if !p.span.Sampled {
		return
	}
	d.o.Tracer.Event(p.span, p.call.At, took, trace.Event{
		Hub:        d.o.Hub,
		Type:       p.call.Type.String(),
		Name:       p.call.Name,
		ID:         p.call.ID,
		Connection: d.o.ID(p.call.From),
		Attempts:   p.call.Attempt,
		Outcome:    o.String(),
		OK:         o == metrics.OutcomeOK,
	})
}

// attempted records that an attempt has ended, which was the nth.
func (d *Dispatcher) attempted(s trace.Span, took time.Duration, n int, f *Failure) {
	if !s.Sampled {
		return
	}
	failure := ""
	if f != nil {
		failure = f.Error()
	}
	d.o.Tracer.Attempt(s, took, n, failure)
}
