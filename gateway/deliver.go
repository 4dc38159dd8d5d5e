package gateway

import (
	"context"
	"time"

	"sluice/gateway/delivery"
)

// loopPatience is how long the loops are waited for that carry an action out.
const loopPatience = time.Second

// Do implements [delivery.Node]: it publishes, and counts what comes of it. A
// session gets a message once, if it is open when its loop comes to it, and
// meant then.
func (g *Gateway) Do(ctx context.Context, t delivery.Target, a delivery.Action) (result delivery.Result, err error) {
	h := g.settings.Load().hubs.Named(t.Hub)
	if h == nil {
		return result, delivery.ErrNoHub
	}
	answers := make(chan delivery.Result, len(g.loops))
	o := newOrder(h, t, a)
	o.answers = answers
	told, err := g.publish(o)
	if err != nil {
		return result, err
	}
	timer := time.NewTimer(loopPatience)
	defer timer.Stop()
	failed := 0
	for result.Pending = told; result.Pending > 0; result.Pending-- {
		select {
		case r := <-answers:
			failed += r.Pending
			result.Matched += r.Matched
			result.Queued += r.Queued
			result.Dropped += r.Dropped
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		break
	}
	result.Pending += failed
	if _, joining := a.(delivery.Join); joining && result.Dropped > 0 {
		err = delivery.ErrTooManyGroups
	}
	return result, err
}
