package engine

import (
	"github.com/gobwas/ws"

	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// Write appends a message to the frames for s that the next Flush sends.
func (e *Engine) Write(s *Stream, op ws.OpCode, data []byte) {
	e.metrics.Sent(s.class.Counts, len(data))
	if s.windowBits != 0 {
		e.out = e.deflate.AppendFrame(e.out, op, data, int(s.windowBits))
		return
	}
	e.out = session.AppendFrame(e.out, op, data)
}

// Deflate encodes a message for streams that have agreed on that window.
func (e *Engine) Deflate(op ws.OpCode, data []byte, windowBits int) []byte {
	return e.deflate.AppendFrame(nil, op, data, windowBits)
}

// Flush sends the frames for s, and queues what the socket does not take.
func (e *Engine) Flush(s *Stream) {
	p := e.out
	if len(p) == 0 {
		return
	}
	e.out = p[:0]
	if sent, ok := e.send(s, p); !ok {
		before := s.queue.Len()
		err := s.queue.Append(e.context.Pool, p, sent, e.now)
		if err != nil && !s.is(writing) { // a frame may be under way, and must go on
			e.context.Pool.Reserved(func() { err = s.queue.Append(e.context.Pool, p, sent, e.now) })
		}
		e.queued(s, p, sent, before, err)
	}
}

// SendShared sends s a frame that many get, and queues what the socket does
// not take, for a time if that is not zero. Nobody has a copy of it. There must be
// nothing to be flushed.
func (e *Engine) SendShared(s *Stream, f *session.Shared, ttl session.Tick) {
	if sent, ok := e.send(s, f.Bytes()); !ok {
		before := s.queue.Len()
		err := s.queue.AppendShared(e.context.Pool, f, sent, e.now, ttl)
		if err != nil && !s.is(writing) {
			e.context.Pool.Reserved(func() { err = s.queue.AppendShared(e.context.Pool, f, sent, e.now, ttl) })
		}
		e.queued(s, f.Bytes(), sent, before, err)
	}
}

// send writes frames to the socket, unless others wait already. With ok false
// what is behind the first sent bytes has to be queued.
func (e *Engine) send(s *Stream, p []byte) (sent int, ok bool) {
	switch {
	case !s.conn.Open() && !s.is(seated):
		return 0, true
	case !s.conn.Open() && !s.is(writing):
		return 0, false
	case !s.is(writing):
		n, err := e.sys.Write(s.conn, p)
		if err != nil && err != netpoll.ErrWouldBlock {
			e.lose(s, metrics.DropGone, p, 0)
			e.Drop(s, lost(err))
			return 0, true
		}
		e.metrics.SentBytes(s.class.Counts, n)
		if n < len(p) {
			return n, false
		}
		if s.state != Open {
			s.Closing.Left()
		}
		return n, true
	case s.queue.Weight()+len(p) > s.limits().Queue && s.state == Open:
		e.lose(s, metrics.DropSlowConsumer, p, 0)
		e.Slow(s, metrics.ReasonSlowConsumerBytes)
		return 0, true
	}
	return 0, false
}

// queued makes s wait for its socket, after what is behind the first sent bytes
// of p was queued for it, beside before bytes; err is of the queue, which takes
// all or nothing.
func (e *Engine) queued(s *Stream, p []byte, sent, before int, err error) {
	if err != nil {
		e.lose(s, metrics.DropMemory, p, sent)
		if s.is(writing) && s.state == Open {
			e.Slow(s, metrics.ReasonMemory)
		} else { // no room even for the rest of a frame
			e.Drop(s, metrics.ReasonMemory)
		}
		return
	}
	e.weigh(s, before)
	if s.is(writing) {
		return
	}
	s.set(writing, true)
	e.stalled[s] = struct{}{}
	if s.is(registered) {
		e.sys.Mod(s.conn.FD(), s.interest())
	}
	if s.state == Open {
		e.wheel.Hasten(&s.timer, e.now+s.limits().QueueAge)
	}
}

// drain writes what is queued, when the socket takes bytes again, and reports
// whether all of it has left.
func (e *Engine) drain(s *Stream) bool {
	for {
		before := s.queue.Len()
		e.dropped(s, metrics.DropExpired, s.queue.Expire(e.context.Pool, e.now))
		e.weigh(s, before)
		if s.queue.Empty() {
			break
		}
		n, err := e.sys.Writev(s.conn, s.queue.Buffers(e.pieces[:0]))
		if err != nil {
			if err != netpoll.ErrWouldBlock {
				e.Drop(s, lost(err))
			}
			return false
		}
		e.metrics.SentBytes(s.class.Counts, n)
		before = s.queue.Len()
		s.queue.Advance(e.context.Pool, n)
		e.weigh(s, before)
	}
	s.set(writing, false)
	delete(e.stalled, s)
	e.sys.Mod(s.conn.FD(), s.interest())
	s.Closing.Left()
	return true
}
