package gateway

import (
	"sluice/gateway/delivery"
	"sluice/metrics"
	"sluice/session"
)

// form is how a message is encoded for some of its receivers: those of one form
// share the bytes. It is an index, so that who has encoded a message finds it
// again.
type form uint8

const (
	// plain is a frame that is not compressed.
	plain form = iota
	// windowed is for the smallest window of permessage-deflate. Those for the
	// larger ones, up to 15 bits, follow.
	windowed

	smallestWindow = 8
	forms          = windowed + 15 - smallestWindow + 1
)

// formFor returns the form for clients that have agreed on that window, 0 for
// none.
func formFor(bits uint8) form {
	if bits == 0 {
		return plain
	}
	return windowed + form(bits) - smallestWindow
}

// encode returns m in that form, on a loop.
func (f form) encode(l *loop, m *delivery.Send) []byte {
	if f == plain {
		return session.AppendFrame(nil, m.Op, m.Data)
	}
	return l.Deflate(m.Op, m.Data, int(f-windowed)+smallestWindow)
}

// charged charges a frame that many may hold to the budget, until nobody does.
// It is nil when the budget is used up.
func (g *Gateway) charged(frame []byte) *session.Shared {
	size := cap(frame) + session.SharedSize
	if !g.budget.Take(size) {
		return nil
	}
	return session.NewShared(frame, func([]byte) { g.budget.Give(size) })
}

// shared is charged, and counts that there was no room.
func (g *Gateway) shared(frame []byte) *session.Shared {
	f := g.charged(frame)
	if f == nil {
		g.metrics.Reached(metrics.LimitBuffered)
	}
	return f
}
