package engine

import (
	"errors"
	"time"

	"github.com/gobwas/ws"

	"sluice/metrics"
	"sluice/session"
)

// serve serves the frames at the front of p and returns how many bytes it
// took. It stops at a data frame that has to wait, and takes everything of a
// stream whose input does not matter any more.
func (e *Engine) serve(s *Stream, p []byte) (taken int) {
	if !s.reading() {
		return len(p)
	}
	if s.state == Closing && len(e.outlines) > 0 {
		if o := e.outlines[s]; o != nil {
			e.heed(s, o, p)
			return len(p)
		}
	}
	lim := s.limits()
	for {
		if len(e.out) >= ReadSize {
			if e.Flush(s); !s.reading() {
				return len(p)
			}
		}
		in, n, err := s.Reader.Next(e.context, &lim.Message, p[taken:], !s.parked())
		taken += n
		if err == session.ErrBudget && s.state == Open {
			e.thirst(s)
			return taken
		}
		if err != nil {
			e.violated(s, err)
			return len(p)
		}
		switch in.Kind {
		case session.None, session.Held:
			if s.state == Open && s.Reader.Partial() && s.Reader.Started() == e.now {
				e.wheel.Hasten(&s.timer, e.now+1+lim.MessageAge)
			}
			return taken
		case session.Message:
			if s.state == Open {
				e.owner.Message(s, in.Op, in.Payload)
			} else {
				e.metrics.Discarded(s.class.Counts, metrics.DiscardClosing, 1)
			}
		case session.Ping, session.Pong:
			e.pinged(s, in)
		case session.Close:
			e.closed(s, in.Code)
		}
		if !s.reading() {
			return len(p)
		}
	}
}

// pinged answers a ping and takes a pong.
func (e *Engine) pinged(s *Stream, in session.Input) {
	if !s.control.Allow(time.Duration(e.now)*Tick, s.limits().Control) {
		e.metrics.RateLimited(s.class.Counts, metrics.ScopeControl)
		e.Fail(s, ws.StatusPolicyViolation, metrics.ReasonControlRate, "too many control frames")
		return
	}
	if in.Kind == session.Ping {
		if s.state == Open { // behind our Close frame nothing follows
			e.out = session.AppendFrame(e.out, ws.OpPong, in.Payload)
		}
		return
	}
	if sent, ok := s.heartbeat.Answered(); ok {
		e.metrics.PingRTT(e.Since(sent))
	}
}

// closed takes the peer's Close frame.
func (e *Engine) closed(s *Stream, code ws.StatusCode) {
	if s.Closing.Open() {
		s.reason = metrics.ReasonClientClose
	}
	e.out = s.Closing.Receive(e.out, code)
	e.leave(s)
}

// violated ends a session whose peer broke a rule or a limit of framing.
func (e *Engine) violated(s *Stream, err error) {
	var broken *session.Error
	if !errors.As(err, &broken) {
		panic(err) // the reader has no other errors
	}
	reason := metrics.ReasonProtocolError
	switch {
	case broken == session.ErrBudget:
		reason = metrics.ReasonMemory
	case broken == session.ErrFragments:
		reason = metrics.ReasonFragments
	case broken.Code == ws.StatusMessageTooBig:
		reason = metrics.ReasonMessageTooBig
	case broken.Code == ws.StatusInvalidFramePayloadData:
		reason = metrics.ReasonInvalidPayload
	}
	e.metrics.ProtocolError(e.set.Metrics.KindIndex(broken.Kind))
	e.Fail(s, broken.Code, reason, broken.Error())
}

// Skim has only the Close frame looked for in what a closing stream says from now
// on, and its messages counted: its reader was taken with its input, and o is
// where that stands.
func (e *Engine) Skim(s *Stream, o *session.Outline) { e.outlines[s] = o }

// Heed looks for the Close frame in what the outline of a closing stream has seen
// already.
func (e *Engine) Heed(s *Stream) {
	if o := e.outlines[s]; o != nil {
		e.heed(s, o, nil)
	}
}

// heed looks for the Close frame in the input p of a stream that is skimmed: all
// else that comes now is too late.
func (e *Engine) heed(s *Stream, o *session.Outline, p []byte) {
	before := o.Messages
	o.Read(p)
	e.metrics.Discarded(s.class.Counts, metrics.DiscardClosing, o.Messages-before)
	switch {
	case o.Err != nil:
		e.violated(s, o.Err)
	case o.Closed:
		e.closed(s, o.Code)
	}
}
