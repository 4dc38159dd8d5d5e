package engine

import (
	"net/http"

	"github.com/gobwas/ws"

	"sluice/gateway/handshake"
	"sluice/metrics"
	"sluice/session"
)

// Close begins the close handshake from our side: the Close frame goes out
// behind what was sent before, with the next Flush; the peer's is awaited.
func (e *Engine) Close(s *Stream, code ws.StatusCode, reason metrics.Reason, text string) {
	if s.state != Open {
		return
	}
	s.state = Closing
	s.reason = reason
	e.out = s.Closing.Start(e.out, code, text)
	e.wheel.Arm(&s.timer, e.now+1+s.limits().CloseTime)
}

// Fail ends a session after an error that leaves nothing to be said by the
// peer (RFC 6455 §7.1.7): a Close frame, then the end of our direction, and
// what still comes is thrown away.
func (e *Engine) Fail(s *Stream, code ws.StatusCode, reason metrics.Reason, text string) {
	if s.state == Open {
		s.reason = reason
	}
	e.out = s.Closing.Start(e.out, code, text)
	e.leave(s)
}

// Slow ends a session that does not read what it is sent. Of the queue only
// the rest of the frame that was begun is kept, so that the Close frame can
// follow: the peer finds it if it ever reads again.
func (e *Engine) Slow(s *Stream, reason metrics.Reason) {
	e.metrics.SlowConsumer(s.class.Counts)
	before := s.waiting()
	e.dropped(s, lostAs(reason), s.queue.Cut(e.context.Pool))
	e.weigh(s, before)
	e.Fail(s, session.StatusTryAgainLater, reason, "too slow")
}

// leave sends the last words in e.out and ends our direction behind them. The
// socket is closed when the peer closes its side, or when the time is up.
func (e *Engine) leave(s *Stream) {
	e.pend(s, Leaving)
	if s.is(upgraded) {
		e.owner.Ending(s, false)
	}
	delete(e.outlines, s)
	e.unhold(s)
	s.Reader.Release(e.context)
	e.wheel.Arm(&s.timer, e.now+1+s.limits().CloseTime)
	e.Flush(s)
	if !s.conn.Open() {
		e.Drop(s, s.reason) // nobody is there to be told
		return
	}
	if !s.is(writing) {
		e.depart(s)
	}
	e.register(s)
	if s.conn.Open() && s.missed != 0 {
		s.missed = 0 // reading was stopped: Mod reports what is there once more
		e.sys.Mod(s.conn.FD(), s.interest())
	}
	e.hurry()
}

// depart ends our direction, once the last words of a leaving stream are out.
func (e *Engine) depart(s *Stream) {
	if !e.bid(s) {
		return
	}
	if s.Closing.Done() {
		// Both Close frames are through: the server may close first
		// (RFC 6455 §7.1.1), and the peer has nothing more to send.
		e.Drop(s, s.reason)
		return
	}
	e.sys.CloseWrite(s.conn)
}

// unreadable ends a stream of which read has returned an error: at once where it
// is of the socket. Where it is of the transport, the peer is told by its farewell;
// what is queued cannot be sealed any more.
func (e *Engine) unreadable(s *Stream, err error) {
	switch {
	case !s.is(wired) || s.state == Leaving || !s.line().Failed():
		e.Drop(s, lost(err))
	case s.state == Heading:
		e.owner.BadHead(s, nil, errTransport)
	default:
		before := s.waiting()
		e.dropped(s, metrics.DropGone, s.queue.Reset(e.context.Pool))
		e.weigh(s, before)
		if s.is(writing) && s.waiting() == 0 {
			e.flow(s)
		}
		e.Fail(s, ws.StatusProtocolError, metrics.ReasonProtocolError, "transport failed")
	}
}

// errTransport is for peers whose transport does not come up. They hear of it in
// the transport's own form.
var errTransport = &handshake.Error{Status: http.StatusBadRequest, Reason: "transport failed"}

// bid says the farewell of a transport, behind all that waits. It reports whether
// that has left.
func (e *Engine) bid(s *Stream) bool {
	if !s.is(wired) || s.line().Over() && s.line().Waiting() == 0 {
		return true
	}
	before := s.waiting()
	err := s.line().Farewell(&e.io, s.conn, e.now)
	e.weigh(s, before)
	if err != nil {
		e.Drop(s, lost(err))
		return false
	}
	if s.line().Waiting() > 0 {
		e.stall(s)
		return false
	}
	return true
}

// hurry bounds the departing ones.
func (e *Engine) hurry() {
	most := e.share()
	for range evictions {
		if e.departing.waiting > most && e.evictDeparting() {
			e.set.Metrics.Reached(metrics.LimitDeparting)
		}
	}
}

// evictDeparting closes the socket of the one that was refused first. It is
// false if there is none.
func (e *Engine) evictDeparting() bool {
	t, ok := e.departing.oldest(e.isDeparting)
	if !ok {
		return false
	}
	s := e.slab.at(t.slot)
	defer e.Guard(s)
	e.Drop(s, metrics.ReasonReset)
	return true
}
