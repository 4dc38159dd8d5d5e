// Package echo is the upstream that is built in: every message goes back to
// the client that sent it. It lets a gateway be tried, tested and measured
// without a backend.
package echo

import (
	"context"

	"sluice/gateway/delivery"
	"sluice/gateway/upstream"
)

// Upstream sends each message back, on the loop, without a copy.
type Upstream struct{}

// Open returns an Upstream; it needs nothing.
func Open(upstream.Options) (upstream.Upstream, error) { return Upstream{}, nil }

// Traits says that only messages matter and that answers are immediate.
func (Upstream) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Message, Inline: true}
}

// Send answers ev with its own payload.
func (Upstream) Send(ev *upstream.Event, _ upstream.Sink) (upstream.Reply, bool) {
	return upstream.Reply{Send: delivery.Send{Op: ev.Op, Data: ev.Data}}, true
}

// Close has nothing to wait for.
func (Upstream) Close(context.Context) int { return 0 }
