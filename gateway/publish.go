package gateway

import (
	"sluice/gateway/delivery"
	"sluice/metrics"
	"sluice/session"
)

// publish has o carried out, and waits for nothing: any goroutine may call it, a
// loop's own among them. It returns how many loops have been told.
//
// Room is taken in the mailboxes of all loops that o concerns, or in none: who
// is refused, with ErrFull, comes again, and nobody shall get a message twice.
// What concerns the caller's own loop goes through its mailbox, too. So a
// session meets what one goroutine publishes in that order.
func (g *Gateway) publish(o *order) (told int, err error) {
	o.posted = g.uptime()
	if !g.resolve(o) {
		return 0, nil
	}
	loops, ok := g.reserveRoom(o)
	if !ok {
		return 0, delivery.ErrFull
	}
	var frame *session.Shared
	if m, ok := o.action.(delivery.Send); ok {
		if frame = g.charged(session.AppendFrame(nil, m.Op, m.Data)); frame == nil {
			if !o.again {
				g.metrics.Reached(metrics.LimitBuffered)
			}
			for _, l := range loops {
				l.mail.delivered(o.size)
			}
			return 0, delivery.ErrFull
		}
		defer frame.Release()
	}
	for _, l := range loops {
		e := &errand{order: o}
		if frame != nil {
			frame.Retain(1)
			e.frames[plain] = frame
		}
		if !l.post(letter{errand: e}) { // it has ended since, and its sessions with it
			if frame != nil {
				frame.Release()
			}
			l.mail.delivered(o.size)
			continue
		}
		told++
	}
	return told, nil
}

// reserveRoom takes room in the mailbox of every loop that o concerns. It is
// false, and nothing is taken, if one of them has none, or has ended.
func (g *Gateway) reserveRoom(o *order) (loops []*loop, ok bool) {
	for _, l := range g.loops {
		if !o.concerns(l) {
			continue
		}
		got := l.mail.take(o.size, g.settings.Load().mailbox)
		if got == taken {
			loops = append(loops, l)
			continue
		}
		if got == full && !o.again {
			g.metrics.Reached(metrics.LimitMailbox)
		}
		for _, l := range loops {
			l.mail.delivered(o.size)
		}
		o.lacks = &l.mail
		return nil, false
	}
	return loops, true
}
