package upstream

import (
	"time"

	"sluice/gateway/trace"
	"sluice/metrics"
)

// begin begins the span of an event.
func (a *Account) begin(ev *Event) trace.Span {
	if ev.Parent == nil {
		return a.o.Tracer.Begin(trace.Context{})
	}
	return a.o.Tracer.Begin(*ev.Parent)
}

// traced records that p has ended.
func (a *Account) traced(p *Pending, o metrics.Outcome, took time.Duration) {
	if !p.span.Sampled {
		return
	}
	a.o.Tracer.Event(p.span, p.Call.At, took, trace.Event{
		Hub:        a.o.Hub,
		Type:       p.Call.Type.String(),
		Name:       p.Call.Name,
		ID:         p.Call.ID,
		Connection: a.o.ID(p.Call.From),
		Attempts:   p.Call.Attempt,
		Outcome:    o.String(),
		OK:         o == metrics.OutcomeOK,
	})
}

// attempted records that an attempt has ended, which was the nth.
func (a *Account) attempted(s trace.Span, took time.Duration, n int, f *Failure) {
	if !s.Sampled {
		return
	}
	failure := ""
	if f != nil {
		failure = f.Error()
	}
	a.o.Tracer.Attempt(s, took, n, failure)
}
