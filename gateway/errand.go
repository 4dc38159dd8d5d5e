package gateway

import (
	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/metrics"
	"sluice/session"
)

// errand is an order on its way through the sessions of one loop.
type errand struct {
	*order
	result delivery.Result
	frames [forms]*session.Shared // of a message, those that were needed so far

	begun  bool
	done   bool
	slots  []uint32 // of who may be meant, unless that is everybody
	cursor uint32   // the next of them, or the next slot
}

// run visits sessions for a slice of time, and is true when all had their
// turn. Each is visited once, whoever comes and goes meanwhile.
//
// A panic while a session is visited ends that session. Any other ends the
// errand, of which nobody knows then whom it has not reached.
func (e *errand) run(l *loop) (done bool) {
	defer func() {
		if v := recover(); v != nil {
			l.Panicked(v)
			e.result.Pending = 1
			e.finish(l)
			done = true
		}
	}()
	if !e.begun {
		e.begun = true
		e.slots = l.candidates(e.order)
	}
	everybody := e.target.Kind == delivery.All
	end := uint32(len(e.slots))
	if everybody {
		end = l.Slots()
	}
	for begin := l.Micros(); e.cursor < end; e.cursor++ {
		if e.cursor%64 == 63 && l.Since(begin) > slice {
			return false
		}
		slot := e.cursor
		if !everybody {
			slot = e.slots[slot]
		}
		e.visit(l, l.at(slot))
	}
	e.finish(l)
	return true
}

// finish gives back what the errand holds, and answers whoever waits for it.
func (e *errand) finish(l *loop) {
	if e.done {
		return
	}
	e.done = true
	e.release()
	if e.size > 0 {
		l.mail.delivered(e.size)
		l.metrics.Delivered(l.g.uptime() - e.posted)
	}
	if e.answers != nil {
		e.answers <- e.result
	}
}

func (e *errand) release() {
	for _, f := range e.frames {
		if f != nil {
			f.Release()
		}
	}
}

// visit does what the errand is about to c, if it is meant.
func (e *errand) visit(l *loop, c *client) {
	if !e.means(l, c) {
		return
	}
	if find, ok := e.action.(delivery.Find); ok && find.Permission != nil && !c.permits(*find.Permission) {
		return
	}
	defer l.Guard(c.Stream)
	e.result.Matched++
	if e.do(l, c) {
		e.result.Queued++
	} else {
		e.result.Dropped++
	}
}

// do is false when it cannot be done.
func (e *errand) do(l *loop, c *client) bool {
	switch a := e.action.(type) {
	case delivery.Send:
		return e.send(l, c, &a)
	case delivery.Close:
		l.dismiss(c, a.Status(), metrics.ReasonBackend, a.Reason)
	default:
		return l.change(c, a)
	}
	return true
}

func (e *errand) send(l *loop, c *client, m *delivery.Send) bool {
	l.metrics.Sent(c.hub.metrics, len(m.Data))
	var ttl session.Tick
	if m.TTL > 0 {
		left := m.TTL - (l.g.uptime() - e.posted)
		if left <= 0 {
			l.Dropped(c.Stream, metrics.DropExpired, 1)
			return false
		}
		ttl = ticks(config.Duration(left))
	}
	form := formFor(c.WindowBits())
	f := e.frames[form]
	if f == nil {
		if f = l.g.shared(form.encode(l, m)); f == nil {
			l.Dropped(c.Stream, metrics.DropMemory, 1)
			return false
		}
		e.frames[form] = f
	}
	l.SendShared(c.Stream, f, ttl)
	return c.State() == engine.Open
}
