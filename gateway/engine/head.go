package engine

import (
	"net/http"

	"sluice/gateway/handshake"
	"sluice/netpoll"
)

// ErrBusy is the answer to newcomers over a limit of the node.
var ErrBusy = &handshake.Error{Status: http.StatusServiceUnavailable, Reason: "too many connections"}

// RetryAfter is the seconds after which a refused client may come again.
const RetryAfter = 5

// busyNow is ErrBusy on the wire, for newcomers that get no slot.
var busyNow = handshake.AppendResponse(nil, ErrBusy, handshake.Answer{RetryAfter: RetryAfter})

// readHead collects the request head. The whole of it usually comes with the
// first read and is never copied; of a slow one, the beginning is held. Not
// more is read than a head may be, so that little can be behind it. It reports
// whether there may be more to read.
func (e *Engine) readHead(s *Stream) (more bool) {
	if s.state != Heading {
		return false
	}
	limit := s.limits().Head
	for s.state == Heading {
		k := 0
		if s.held != nil {
			k = copy(e.in[:], s.held.buf)
			limit = max(limit, k+1) // a reload may have lowered it
		}
		if s.choked() {
			s.miss(netpoll.In)
			return false
		}
		var p []byte
		var err error
		p, _, more, err = e.read(s, k, limit-k)
		switch {
		case err == netpoll.ErrWouldBlock:
			return false
		case err != nil:
			e.unreadable(s, err)
			return false
		case len(p) == 0:
			continue // a transport's own
		}
		e.metrics.ReceivedBytes(s.class.Counts, len(p))
		e.takeHead(s, e.in[:k+len(p)], k)
	}
	return more
}

// takeHead looks for the end of the head in p, which is all that has come so
// far; the first seen bytes were searched before.
func (e *Engine) takeHead(s *Stream, p []byte, seen int) {
	limit := s.limits().Head
	end := handshake.End(p, seen)
	switch {
	case end > limit || end < 0 && len(p) >= limit:
		e.owner.BadHead(s, p[:limit], handshake.TooLarge(p[:limit]))
	case end >= 0:
		e.letGo(s)
		e.owner.Head(s, p[:end], p[end:])
	default:
		if err := s.check(p, seen); err != nil {
			e.owner.BadHead(s, p, err)
		} else if !e.hold(s, p) {
			e.owner.BadHead(s, p, ErrBusy)
		}
	}
}

// check looks at what has come of a request head. Of an answer the owner makes what
// it can.
func (s *Stream) check(p []byte, seen int) error {
	if s.is(dialled) {
		return nil
	}
	return handshake.CheckPrefix(p, seen)
}
