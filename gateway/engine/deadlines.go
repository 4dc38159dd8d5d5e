package engine

import (
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/handshake"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// expire runs when the timer of a stream does.
func (e *Engine) expire(t *session.Timer) {
	s := e.slab.at(t.Slot)
	defer e.Guard(s)
	if was := s.state; was == Heading || was == Closing {
		// It may be us who come late, and what is awaited waits in the socket.
		if e.readable(s, netpoll.In); s.state != was {
			return
		}
	}
	switch s.state {
	case Dialling:
		e.Drop(s, metrics.ReasonReset)
	case Heading:
		var got []byte
		if s.held != nil {
			got = s.held.buf
		}
		e.owner.BadHead(s, got, handshake.ErrHeadTooSlow)
	case Open:
		e.overdue(s)
	case Closing:
		s.reason = metrics.ReasonCloseTimeout
		e.Drop(s, s.reason)
	case Leaving:
		e.Drop(s, s.reason)
	}
}

// Hasten has Due called at that tick or before.
func (e *Engine) Hasten(s *Stream, at session.Tick) { e.wheel.Hasten(&s.timer, at) }

// Review looks at the deadlines of an open session now.
func (e *Engine) Review(s *Stream) { e.overdue(s) }

// overdue looks at every deadline of an open session, and arms the timer for
// the next. Messages do not move the timer; they are looked for here.
func (e *Engine) overdue(s *Stream) {
	lim := s.limits()
	if s.is(writing) && e.now-s.since() >= lim.QueueAge {
		e.Slow(s, metrics.ReasonSlowConsumerAge)
		return
	}
	owners, some := e.owner.Due(s)
	if s.state != Open {
		return
	}
	if since, partial := s.partial(); partial && e.now-since >= lim.MessageAge {
		e.Fail(s, ws.StatusPolicyViolation, metrics.ReasonMessageAge, "message not complete in time")
		return
	}
	verdict, next := e.judge(s, lim)
	if verdict == session.Dead {
		// It may be us who come late, and the answer waits in the socket.
		if e.receive(s, netpoll.In); s.state != Open {
			return
		}
		verdict, next = e.judge(s, lim)
	}
	switch verdict {
	case session.Dead:
		e.Drop(s, metrics.ReasonHeartbeat)
		return
	case session.Ask:
		s.heartbeat.Asked(e.attended, e.Micros())
		e.metrics.Pinged(s.class.Counts)
		e.out = append(e.out, ping...)
		e.Flush(s)
		if s.state != Open {
			return
		}
	}
	e.wheel.Arm(&s.timer, next)
	if some {
		e.wheel.Hasten(&s.timer, owners)
	}
	if s.is(writing) {
		e.wheel.Hasten(&s.timer, s.since()+lim.QueueAge)
	}
	if since, partial := s.partial(); partial {
		e.wheel.Hasten(&s.timer, since+lim.MessageAge)
	}
}

// partial reports whether a message of s, or a record of its transport, has come in
// part, and since when. While nothing is read, the rest of a record cannot come.
func (s *Stream) partial() (since session.Tick, partial bool) {
	if s.is(wired) && s.held == nil && !s.choked() {
		since, partial = s.line().Partial()
	}
	if s.Reader.Partial() && !(partial && since.Before(s.Reader.Started())) {
		return s.Reader.Started(), true
	}
	return since, partial
}

// judge is the verdict on the heartbeat of s, and when to ask again. While
// input waits unread the pong may be behind it, and while output waits the ping
// would be: the queue's age and TCP_USER_TIMEOUT rule then.
func (e *Engine) judge(s *Stream, lim *Limits) (session.Verdict, session.Tick) {
	return s.heartbeat.Check(e.now, e.attended, lim.Interval, lim.Timeout, s.early(lim), e.beat(lim), s.held != nil || s.is(writing) || s.is(seated))
}

// early is how much sooner than after the whole interval s is asked. Every
// slot has its own, so that sessions do not fall into step.
func (s *Stream) early(lim *Limits) session.Tick {
	const golden = 2654435769 // 2^32 divided by the golden ratio: spreads what is close (Knuth)
	return session.Tick(s.timer.Slot*golden>>16) % (lim.Early + 1)
}

// beat is how many ticks' pings leave together: a second's worth, as long as
// that is a small part of the interval and few enough to hold up nobody.
func (e *Engine) beat(lim *Limits) session.Tick {
	const together = 2000
	few := session.Tick(together * uint64(lim.Interval) / uint64(e.slab.used+1))
	return max(1, min(session.Tick(time.Second/Tick), lim.Interval/8, few))
}

// ping is a Ping frame without payload: any answer is as good as any other.
var ping = ws.MustCompileFrame(ws.NewPingFrame(nil))
