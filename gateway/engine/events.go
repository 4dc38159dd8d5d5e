package engine

import (
	"io"

	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// vacant returns a vacant slot, of whose socket handle will hear.
func (e *Engine) vacant() *Stream {
	if len(e.slab.free) == 0 {
		chunk := e.slab.grow()
		for i := range chunk {
			s := &chunk[i]
			s.engine = e
			s.onEvent = s.handle // all at once: side by side in memory, for good
		}
	}
	return e.slab.take()
}

// handle is what the poller calls when something happens to the socket of s.
func (s *Stream) handle(ev netpoll.Event) {
	e := s.engine
	if !s.conn.Open() {
		e.metrics.Inc(metrics.StaleEvents)
		return
	}
	defer e.Guard(s)
	if s.state == Dialling {
		if e.reached(s); s.state != Heading {
			return
		}
	}
	if ev&netpoll.Out != 0 && s.is(writing) && e.drain(s) {
		e.drained(s)
	}
	if ev&(netpoll.In|hangup) == 0 {
		return
	}
	e.readable(s, ev)
}

// readable reads of a stream whose socket has something to say.
func (e *Engine) readable(s *Stream, ev netpoll.Event) {
	if s.state == Heading {
		more := e.readHead(s)
		if s.state == Asking && (more || ev&hangup != 0) {
			s.miss(ev)
		}
		if s.state != Open || !more && ev&hangup == 0 {
			return
		}
	}
	e.receive(s, ev)
}

// drained goes on with a stream for whose socket nothing waits any more.
func (e *Engine) drained(s *Stream) {
	if s.state == Leaving {
		e.depart(s)
		return
	}
	e.readOn(s)
}

// readOn goes on with a stream of which nothing was read for a while.
func (e *Engine) readOn(s *Stream) {
	switch s.state {
	case Heading:
		if ev := netpoll.Event(s.missed); ev != 0 {
			s.missed = 0
			e.readable(s, ev)
		}
	case Asking: // what was missed is read when it has been let in
	default:
		e.Resume(s)
	}
}

// receive reads what the socket has and serves it. Replies to what came with
// one read leave with one write.
func (e *Engine) receive(s *Stream, ev netpoll.Event) {
	for taken := 0; s.conn.Open(); {
		if s.is(wired) && s.line().Torn() != nil {
			e.Drop(s, lost(s.line().Torn()))
			return
		}
		if s.held != nil || s.choked() {
			// Reading is stopped: TCP slows the client down. What the event
			// said is kept for when it goes on. Only an end of both
			// directions needs no waiting.
			s.miss(ev)
			if ev&(netpoll.Hup|netpoll.Err) != 0 {
				e.Drop(s, metrics.ReasonReset)
			}
			return
		}
		size := e.readSize(s)
		p, n, more, err := e.read(s, 0, size)
		switch {
		case err == netpoll.ErrWouldBlock:
			return
		case err == io.EOF && (s.parked() || s.is(writing)) && ev&(netpoll.Hup|netpoll.Err) == 0:
			// The peer says no more, but may still hear what its last message
			// is answered. The end is found again when that is done.
			s.miss(ev)
			return
		case err != nil:
			e.unreadable(s, err)
			return
		}
		e.metrics.ReceivedBytes(s.class.Counts, len(p))
		s.heartbeat.Seen(e.now)
		e.Take(s, p)
		e.Flush(s)
		if !more && ev&hangup == 0 {
			return // a short read is the end, unless data and FIN came as one event
		}
		if taken += n; taken >= ReadSize && s.conn.Open() && s.held == nil {
			// The others first: Mod reports a socket that is still readable again.
			e.sys.Mod(s.conn.FD(), s.interest())
			return
		}
	}
}

// Take serves the frames in p, and holds what has to wait. The caller flushes.
func (e *Engine) Take(s *Stream, p []byte) {
	n := e.serve(s, p)
	if s.state != Open {
		return
	}
	if n < len(p) {
		if !e.hold(s, p[n:]) {
			e.Fail(s, session.StatusTryAgainLater, metrics.ReasonMemory, "out of buffers")
			return
		}
		e.metrics.Gauge(metrics.ParkedSessions, 1)
	}
}

// Resume goes on with a stream that was parked: with what was held first, then
// with what the socket has meanwhile.
func (e *Engine) Resume(s *Stream) {
	if h := s.held; h != nil {
		if s.parked() {
			return
		}
		since, thirsty := e.thirsty.Get(s)
		e.quenched(s)
		p := h.buf[h.off:]
		h.off = len(h.buf) // while it is served, nothing is left of it
		n := e.serve(s, p)
		if s.held == h { // nothing has ended the session meanwhile
			if _, still := e.thirsty.Get(s); still && thirsty && n == 0 {
				e.thirsty.Set(s, since)
			}
			if h.off -= len(p) - n; h.off == len(h.buf) {
				e.letGo(s)
				e.metrics.Gauge(metrics.ParkedSessions, -1)
			}
		}
		if e.Flush(s); s.held != nil {
			return // parked again
		}
	}
	if ev := netpoll.Event(s.missed); ev != 0 && s.conn.Open() {
		s.missed = 0
		e.receive(s, ev)
	}
}

// onWake is what the doorbell rings for.
func (e *Engine) onWake() {
	for _, ref := range e.woken.take() {
		if s := e.slab.find(ref); s != nil && s.is(wired) {
			e.transportWoken(s)
		}
	}
	e.owner.Woken()
}

func (e *Engine) transportWoken(s *Stream) {
	defer e.Guard(s)
	if l := s.line(); l.Working() {
		l.Woken()
		e.readOn(s)
	}
}

// reached goes on with a stream whose connection is there, or has failed.
func (e *Engine) reached(s *Stream) {
	if e.sys.Failure(s.conn) != nil {
		e.Drop(s, metrics.ReasonReset)
		return
	}
	e.pend(s, Heading)
	e.sys.Mod(s.conn.FD(), s.interest())
	e.owner.Dialled(s)
}
