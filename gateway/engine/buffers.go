package engine

import (
	"time"

	"sluice/metrics"
	"sluice/session"
)

// Held is input that was read and may not be served yet: an unfinished request
// head, or what follows the first data frame that a parked session has to wait
// with.
type Held struct {
	buf  []byte
	off  int // what stands before it was served
	head int // of a stream that is kept waiting: where its head ends
}

// Bytes is what waits to be served.
func (h *Held) Bytes() []byte { return h.buf[h.off:] }

// Advance says that n bytes of it were served.
func (h *Held) Advance(n int) { h.off += n }

// hold keeps a copy of p, which could not be processed yet, and reports whether
// there was room for it in the node's budget.
func (e *Engine) hold(s *Stream, p []byte) bool {
	h := s.held
	if h == nil {
		if n := len(e.idleHeld); n > 0 {
			h, e.idleHeld = e.idleHeld[n-1], e.idleHeld[:n-1]
		} else {
			h = new(Held)
		}
		if s.is(upgraded) { // it is read: a session's loss is more than a newcomer's
			e.context.Pool.Reserved(func() { h.buf = e.context.Pool.Get(len(p)) })
		} else {
			h.buf = e.context.Pool.Get(len(p))
		}
		if h.buf == nil {
			e.set.Metrics.Reached(metrics.LimitBuffered)
			return false
		}
		s.held = h
	}
	if cap(h.buf) < len(p) {
		grown := e.context.Pool.Grow(h.buf, len(p))
		if grown == nil {
			e.set.Metrics.Reached(metrics.LimitBuffered)
			return false
		}
		h.buf = grown
	}
	h.buf = append(h.buf[:0], p...)
	h.off = 0
	return true
}

// HoldMore adds p to the input of a session that waits, up to most bytes in all,
// and reports whether there was room for it.
func (e *Engine) HoldMore(s *Stream, p []byte, most int) bool {
	h := s.held
	if h == nil {
		if !e.hold(s, p) {
			return false
		}
		e.metrics.Gauge(metrics.ParkedSessions, 1)
		return true
	}
	if len(h.buf)+len(p) > most {
		return false
	}
	grown := e.context.Pool.Grow(h.buf, len(h.buf)+len(p))
	if grown == nil {
		return false
	}
	h.buf = append(grown, p...)
	return true
}

// letGo gives back what hold took.
func (e *Engine) letGo(s *Stream) {
	if h := s.held; h != nil {
		s.held = nil
		e.GiveBack(h)
	}
}

// GiveBack gives back what a stream does not hold any more; nil is nothing.
func (e *Engine) GiveBack(h *Held) {
	if h != nil {
		e.context.Pool.Put(h.buf)
		*h = Held{}
		e.idleHeld = append(e.idleHeld, h)
	}
}

// unhold gives up the input that was waiting.
func (e *Engine) unhold(s *Stream) {
	e.quenched(s)
	if s.held == nil {
		return
	}
	e.letGo(s)
	if s.is(upgraded) {
		e.metrics.Gauge(metrics.ParkedSessions, -1)
	}
}

// Outline returns the messages in the input of s that waits.
func (s *Stream) Outline() *session.Outline {
	o := s.Reader.Outline()
	if s.held != nil {
		o.Read(s.held.Bytes())
	}
	return o
}

// TakeInput takes from a session, which ends, the input that waits and the reader
// that stands in front of it. Both are the caller's, who gives them back. It is
// nil if none waits.
func (e *Engine) TakeInput(s *Stream) (h *Held, r session.Reader) {
	if s.held == nil {
		return nil, r
	}
	e.quenched(s)
	h, s.held = s.held, nil
	r, s.Reader = s.Reader, r
	e.metrics.Gauge(metrics.ParkedSessions, -1)
	return h, r
}

// LoseInput gives up the input of s that waits.
func (e *Engine) LoseInput(s *Stream) { e.unhold(s) }

// Next is what a reader that was taken finds next.
func (e *Engine) Next(r *session.Reader, c *Class, p []byte) (session.Input, int, error) {
	return r.Next(e.context, &c.Limits().Message, p, true)
}

// ReleaseReader gives back what a reader holds that was taken.
func (e *Engine) ReleaseReader(r *session.Reader) { r.Release(e.context) }

// thirst notes that s, whose input is held, waits for buffers. It goes on after
// the next Quench, or is closed when it has waited for ThirstTicks.
func (e *Engine) thirst(s *Stream) {
	if s.Held(HoldPressure) {
		return
	}
	s.Hold(HoldPressure)
	e.thirsty.Set(s, e.now)
	e.tight = true
	e.set.Metrics.Reached(metrics.LimitBuffered)
	e.owner.Pressed()
}

// quenched notes that s waits for buffers no more.
func (e *Engine) quenched(s *Stream) {
	if s.Held(HoldPressure) {
		s.Release(HoldPressure)
		e.thirsty.Delete(s)
	}
}

// ThirstTicks is how long a stream waits for buffers: long enough for the owner
// to get some back.
const ThirstTicks = session.Tick(2 * time.Second / Tick)

// Thirsty reports whether streams wait for buffers.
func (e *Engine) Thirsty() bool { return e.thirsty.Len() > 0 }

// Burden is what s holds of the node's buffers, in bytes.
func (s *Stream) Burden() int {
	n := s.queue.Weight() + s.Reader.Buffered()
	if s.held != nil {
		n += cap(s.held.buf)
	}
	if s.is(wired) {
		n += s.line().Weight()
	}
	return n
}
