package engine

import (
	"sluice/gateway/engine/transport"
	"sluice/netpoll"
	"sluice/session"
)

// Keep has s wait with its head, and what came behind it, for its owner's word:
// nothing more of it is read, and no deadline ends it but the owner's. It reports
// whether there was room for them in the budget.
func (e *Engine) Keep(s *Stream, head, rest []byte) bool {
	if s.state == Asking {
		return true
	}
	if !e.hold(s, append(append(e.out[:0], head...), rest...)) {
		return false
	}
	s.held.head = len(head)
	e.pend(s, Asking)
	e.wheel.Disarm(&s.timer)
	return true
}

// Kept is the head of a stream that waits with it, and what came behind it: valid
// until it is refused, or what Accept returns is given back.
func (s *Stream) Kept() (head, rest []byte) {
	return s.held.buf[:s.held.head], s.held.buf[s.held.head:]
}

// Refuse answers the head of s, or what there is of one, with the bytes of an
// error, and lets s go.
func (e *Engine) Refuse(s *Stream, answer []byte) {
	e.letGo(s)
	e.out, e.answered = append(e.out[:0], answer...), len(answer)
	e.leave(s)
}

// Out is an empty buffer of the engine's in which the answer to a head may be
// built, until any verb is called with it.
func (e *Engine) Out() []byte { return e.out[:0] }

// Accept makes a session of s, of the class that it is in. answer is the response
// to its head, which the next Flush sends, none if s was dialled; deflate and
// windowBits are what was agreed on. If s is still open, the caller goes on with
// Take for what has come behind the head, and Flush. It gives back with GiveBack
// what is returned: the head, and what came behind it, if s was kept waiting.
func (e *Engine) Accept(s *Stream, answer []byte, deflate bool, windowBits uint8) (kept *Held) {
	kept, s.held = s.held, nil
	e.out, e.answered = answer, len(answer)
	e.uncount(s)
	e.pend(s, Open)
	s.set(upgraded, true)
	if deflate {
		s.windowBits = windowBits
	}
	s.Reader.Init(s.Role(), deflate)
	// As if it had been silent for up to half an interval: those who came
	// together are not asked together.
	interval := s.limits().Interval
	s.heartbeat.Seen(e.now - session.Tick(e.random.Uint32N(uint32(interval/2+1))))
	e.overdue(s)
	return kept
}

// Detach takes the socket of s, whose head is known, out of the poller: it is the
// caller's, who frees the slot then, or refuses s after all. With it goes its
// transport, nil if s is plain.
func (e *Engine) Detach(s *Stream) (netpoll.Conn, *transport.State) {
	if s.is(registered) {
		e.sys.Del(s.conn.FD())
		s.set(registered, false)
	}
	if !s.is(wired) {
		return s.conn, nil
	}
	over := s.line().State()
	return s.conn, &over
}
