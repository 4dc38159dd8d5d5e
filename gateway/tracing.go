package gateway

import (
	"bytes"

	"sluice/gateway/handshake"
	"sluice/gateway/trace"
	"sluice/metrics"
)

// beginTrace begins the span of a handshake whose head is complete, below the
// span that the client names, if it does.
func (l *loop) beginTrace(c *client) {
	if l.traced == nil {
		return
	}
	span := l.g.tracer.Begin(parentOf(&l.head))
	l.traced[c] = &span
}

// parentOf is the span that a head names. Of two, nobody knows which is meant.
func parentOf(h *handshake.Head) trace.Context {
	var parent, state []byte
	for _, f := range h.Fields {
		switch {
		case bytes.EqualFold(f.Name, []byte("traceparent")):
			if parent != nil {
				return trace.Context{}
			}
			parent = f.Value
		case bytes.EqualFold(f.Name, []byte("tracestate")):
			if len(state) > 0 {
				state = append(state, ',')
			}
			state = append(state, f.Value...)
		}
	}
	return trace.Parse(parent, state)
}

// traceOf is the span of the handshake of c, nil if nothing is traced.
func (l *loop) traceOf(c *client) *trace.Context {
	if span := l.traced[c]; span != nil {
		return &span.Context
	}
	return nil
}

// handshaken counts a handshake that has ended, and returns its span, nil if
// nothing is traced.
func (l *loop) handshaken(c *client, r metrics.Result) *trace.Context {
	took := l.Since(c.began)
	l.metrics.Handshake(c.counts(), r, took)
	if l.traced == nil {
		return nil
	}
	span := l.traced[c]
	delete(l.traced, c)
	if span == nil { // it has ended before the head was complete
		s := l.g.tracer.Begin(trace.Context{})
		span = &s
	}
	if span.Sampled {
		l.g.tracer.Handshake(*span, took, l.told(c, r))
	}
	return &span.Context
}

// told is what a trace tells of the handshake of c.
func (l *loop) told(c *client, r metrics.Result) trace.Handshake {
	h := trace.Handshake{Result: r.String()}
	if c.hub != nil {
		h.Hub = c.hub.name
	}
	switch r {
	case metrics.ResultOK:
		h.Connection = l.g.ids.Encode(c.Ref())
	case metrics.ResultOverloaded, metrics.ResultUnavailable, metrics.ResultUpstream:
		h.Failed = true
	}
	return h
}
