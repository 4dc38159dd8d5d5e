package gateway

import (
	"context"
	"time"

	"sluice/gateway/delivery"
	"sluice/metrics"
	"sluice/session"
)

// loopPatience is how long the loops are waited for that carry an action out.
const loopPatience = time.Second

// Do implements [delivery.Node]. A message is encoded once, and once more for
// each deflate window in use. A session gets it once, if it is open when its
// loop comes to it, and meant then.
//
// Room is reserved with all loops that it concerns before any of them hears of
// it: who is told that it was too much repeats it, and nobody shall get a
// message twice.
func (g *Gateway) Do(ctx context.Context, t delivery.Target, a delivery.Action) (result delivery.Result, err error) {
	h := g.settings.Load().hubs.Named(t.Hub)
	if h == nil {
		return result, delivery.ErrNoHub
	}
	o := &order{hub: h, target: t, action: a, posted: g.uptime()}
	if !g.resolve(o) {
		return result, nil
	}
	size := 0
	if send, ok := a.(delivery.Send); ok {
		size = letterSize + len(send.Data)
		if o.plain = g.shared(session.AppendFrame(nil, send.Op, send.Data)); o.plain == nil {
			return result, delivery.ErrFull
		}
		defer o.plain.Release()
	}
	loops, ok := g.reserveRoom(o, size)
	if !ok {
		return result, delivery.ErrFull
	}
	answers := make(chan delivery.Result, len(loops))
	asked := 0
	for _, l := range loops {
		e := &errand{order: o, size: size, answer: answers}
		if o.plain != nil {
			o.plain.Retain(1)
			e.frames[0] = o.plain
		}
		if !l.postReserved(letter{run: e.run}) { // it has ended since, and its sessions with it
			e.release()
			l.mail.delivered(size)
			continue
		}
		asked++
	}
	timer := time.NewTimer(loopPatience)
	defer timer.Stop()
	failed := 0
	for result.Pending = asked; result.Pending > 0; result.Pending-- {
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
	if _, joining := a.(delivery.Join); joining && result.Dropped > 0 && err == nil {
		err = delivery.ErrTooManyGroups
	}
	return result, err
}

// reserveRoom takes size bytes of the mailbox of every loop that o concerns. It
// is false, and nothing is taken, if one of them does not have it.
func (g *Gateway) reserveRoom(o *order, size int) (loops []*loop, ok bool) {
	for _, l := range g.loops {
		if !o.concerns(l) {
			continue
		}
		if !l.reserve(size) {
			for _, l := range loops {
				l.mail.delivered(size)
			}
			return nil, false
		}
		loops = append(loops, l)
	}
	return loops, true
}

// shared charges a frame that many may hold to the budget, until nobody does.
// It is nil when the budget is used up.
func (g *Gateway) shared(frame []byte) *session.Shared {
	size := cap(frame) + session.SharedSize
	if !g.budget.Take(size) {
		g.metrics.Reached(metrics.LimitBuffered)
		return nil
	}
	return session.NewShared(frame, func([]byte) { g.budget.Give(size) })
}
