package engine

import "sluice/metrics"

// Drop closes the socket of s now and ends its session. reason is why, unless
// the end had begun before for another.
func (e *Engine) Drop(s *Stream, reason metrics.Reason) {
	if s.state == Vacant || s.state == Gone {
		return
	}
	if s.is(registered) {
		e.sys.Del(s.conn.FD())
		s.set(registered, false)
	}
	from := s.state
	if from == Open || !s.is(upgraded) {
		s.reason = reason
	}
	if from == Open {
		e.owner.Ending(s, s.conn.Open())
	}
	before := s.waiting()
	if s.is(wired) && before == 0 {
		s.line().Farewell(&e.io, s.conn, e.now) // if the socket takes it now
	}
	if s.conn.Open() {
		e.sys.Close(&s.conn)
	}
	delete(e.outlines, s)
	e.unhold(s)
	e.lose(s, lostAs(s.reason), nil, e.out, 0)
	e.out, e.answered = e.out[:0], 0
	e.wheel.Disarm(&s.timer)
	if s.is(writing) {
		s.set(writing, false)
		delete(e.stalled, s)
	}
	if s.is(wired) {
		e.unwire(s).Close(&e.io)
	}
	s.Reader.Release(e.context)
	e.dropped(s, lostAs(s.reason), s.queue.Reset(e.context.Pool))
	e.weigh(s, before)
	e.pend(s, Gone)
	e.owner.Gone(s, from)
}

// Cut is Drop without a last look at what s has said.
func (e *Engine) Cut(s *Stream, reason metrics.Reason) {
	if s.state == Open {
		s.reason, s.state = reason, Closing
	}
	e.Drop(s, reason)
}

// Free makes the slot of s vacant, whose socket is closed or somebody else's.
func (e *Engine) Free(s *Stream) {
	e.wheel.Disarm(&s.timer)
	e.letGo(s)
	before := s.waiting()
	if s.is(wired) {
		if l := e.unwire(s); s.conn.Open() { // somebody else's, and so is the transport
			l.Leave(&e.io)
		} else {
			l.Close(&e.io)
		}
	}
	if s.is(writing) { // what is sealed has gone along
		delete(e.stalled, s)
		e.weigh(s, before)
	}
	if !s.is(upgraded) {
		e.pend(s, Vacant)
		e.uncount(s)
	}
	e.slab.put(s)
}

// uncount counts out a newcomer that becomes a session, or goes.
func (e *Engine) uncount(s *Stream) {
	if !s.is(dialled) {
		e.set.Pending.Add(-1)
		e.metrics.Gauge(metrics.HandshakesInFlight, -1)
	}
}

// register makes the poller report what happens to s, if s is still there.
// What has happened before is reported at once, so that nothing is missed.
func (e *Engine) register(s *Stream) {
	if s.is(registered) || !s.conn.Open() {
		return
	}
	if err := e.sys.Add(s.conn.FD(), s.interest(), s.onEvent); err != nil {
		e.set.Log.Error("connection cannot be polled", "err", err)
		e.Drop(s, metrics.ReasonReset)
		return
	}
	s.set(registered, true)
}

// Guard is deferred by the callbacks of a stream: a panic ends that stream and no
// other.
func (e *Engine) Guard(s *Stream) {
	v := recover()
	if v == nil {
		return
	}
	e.lose(s, metrics.DropGone, nil, e.out, 0)
	e.Panicked(v)
	if s.state != Vacant {
		defer e.finish(s)
		e.owner.Broken(s)
	}
}

// finish is deferred where the owner ends a stream that has panicked: if that panics,
// too, the socket is closed, and the owner gives up what it has of s.
func (e *Engine) finish(s *Stream) {
	if recover() == nil {
		return
	}
	defer func() {
		if recover() != nil { // there is no end to it
			e.sys.Close(&s.conn)
			e.Free(s)
		}
	}()
	if e.Cut(s, metrics.ReasonPanic); s.state == Gone {
		e.owner.Broken(s)
	}
}
