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
	if s.masks() {
		p = e.mask(p)
	}
	if sent, ok := e.send(s, nil, p); !ok {
		before := s.waiting()
		err := e.queueOut(s, p, sent)
		e.queued(s, nil, p, sent, before, err)
	}
	e.answered = 0
}

// queueOut queues what is behind the first sent bytes of p: an answer, if there is
// one, and frames.
func (e *Engine) queueOut(s *Stream, p []byte, sent int) error {
	answer := min(e.answered, len(p))
	if sent < answer {
		if err := e.queueCopy(s, p[:answer], sent, false); err != nil {
			return err
		}
		sent = answer
	}
	if answer == len(p) {
		return nil
	}
	return e.queueCopy(s, p[answer:], sent-answer, true)
}

func (e *Engine) queueCopy(s *Stream, p []byte, sent int, frames bool) (err error) {
	add := func() {
		if frames {
			err = s.queue.Append(e.context.Pool, p, sent, e.now)
		} else {
			err = s.queue.AppendOther(e.context.Pool, p, sent, e.now)
		}
	}
	add()
	if err != nil && (sent > 0 || !s.is(writing)) { // a frame may be under way, and must go on
		e.context.Pool.Reserved(add)
	}
	return err
}

// SendShared sends s a frame that many get, and queues what the socket does
// not take, for a time if that is not zero. Nobody has a copy of it. There must be
// nothing to be flushed.
func (e *Engine) SendShared(s *Stream, f *session.Shared, ttl session.Tick) {
	e.SendHeaded(s, nil, f, ttl)
}

// SendHeaded sends s one frame: it begins with head, its header at least, which is
// for s alone, and its rest is f. Without a head it is SendShared.
func (e *Engine) SendHeaded(s *Stream, head []byte, f *session.Shared, ttl session.Tick) {
	if s.masks() { // it has no share in what others get unmasked, and no time to live
		e.out = append(append(e.out, head...), f.Bytes()...)
		e.Flush(s)
		return
	}
	if sent, ok := e.send(s, head, f.Bytes()); !ok {
		before := s.waiting()
		err := e.queueShared(s, head, f, sent, ttl)
		if err != nil && (sent > 0 || !s.is(writing)) {
			e.context.Pool.Reserved(func() { err = e.queueShared(s, head, f, sent, ttl) })
		}
		e.queued(s, head, f.Bytes(), sent, before, err)
	}
}

func (e *Engine) queueShared(s *Stream, head []byte, f *session.Shared, sent int, ttl session.Tick) error {
	if len(head) > 0 {
		return s.queue.AppendHeaded(e.context.Pool, head, f, sent, e.now, ttl)
	}
	return s.queue.AppendShared(e.context.Pool, f, sent, e.now, ttl)
}

// send writes frames to the socket, unless others wait already. With ok false
// what is behind the first sent bytes has to be queued. If there is a head, they
// are one frame, which begins with it.
func (e *Engine) send(s *Stream, head, p []byte) (sent int, ok bool) {
	size := len(head) + len(p)
	switch {
	case !s.conn.Open() && !s.is(seated):
		return 0, true
	case !s.conn.Open() && !s.is(writing):
		return 0, false
	case s.mute():
		e.lose(s, metrics.DropGone, head, p, 0)
		return 0, true
	case !s.is(writing):
		n, err := e.write(s, head, p)
		if err != nil && err != netpoll.ErrWouldBlock {
			e.lose(s, metrics.DropGone, head, p, n)
			e.Drop(s, lost(err))
			return 0, true
		}
		e.metrics.SentBytes(s.class.Counts, n)
		if n < size {
			return n, false
		}
		if s.is(writing) { // the last of it is sealed, and waits
			return n, true
		}
		if s.state != Open {
			s.Closing.Left()
		}
		return n, true
	case s.waiting()-s.queue.Len()+s.queue.Weight()+size > s.limits().Queue && s.state == Open:
		e.lose(s, metrics.DropSlowConsumer, head, p, 0)
		e.Slow(s, metrics.ReasonSlowConsumerBytes)
		return 0, true
	}
	return 0, false
}

// queued makes s wait for its socket, after what is behind the first sent bytes
// of p, with its head if it has one, was queued for it, beside before bytes; err
// is of the queue, which takes all or nothing.
func (e *Engine) queued(s *Stream, head, p []byte, sent, before int, err error) {
	if err != nil {
		e.lose(s, metrics.DropMemory, head, p, sent)
		if s.is(writing) && sent == 0 && s.state == Open {
			e.Slow(s, metrics.ReasonMemory)
		} else { // no room even for the rest of a frame
			e.Drop(s, metrics.ReasonMemory)
		}
		return
	}
	e.weigh(s, before)
	e.stall(s)
}

// stall has s wait for its socket.
func (e *Engine) stall(s *Stream) {
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

// flow has s wait no more.
func (e *Engine) flow(s *Stream) {
	s.set(writing, false)
	delete(e.stalled, s)
	e.sys.Mod(s.conn.FD(), s.interest())
}

// drain writes what is queued, when the socket takes bytes again, and reports
// whether all of it has left.
func (e *Engine) drain(s *Stream) bool {
	for {
		if err := e.flushed(s); err != nil {
			if err != netpoll.ErrWouldBlock {
				e.Drop(s, lost(err))
			}
			return false
		}
		before := s.waiting()
		e.dropped(s, metrics.DropExpired, s.queue.Expire(e.context.Pool, e.now))
		e.weigh(s, before)
		if s.queue.Empty() {
			break
		}
		before = s.waiting()
		n, err := e.writeQueued(s)
		s.queue.Advance(e.context.Pool, n)
		e.weigh(s, before)
		if err != nil {
			if err != netpoll.ErrWouldBlock {
				e.Drop(s, lost(err))
			}
			return false
		}
		e.metrics.SentBytes(s.class.Counts, n)
	}
	e.flow(s)
	s.Closing.Left()
	return true
}

// write writes to the socket of s, for which nothing waits, with one system call,
// and returns how many bytes have left, or are sealed. It may then be that some
// wait.
func (e *Engine) write(s *Stream, head, p []byte) (n int, err error) {
	switch {
	case s.is(wired):
		return e.writeWire(s, head, p)
	case len(head) == 0:
		return e.sys.Write(s.conn, p)
	}
	return e.sys.Writev(s.conn, append(e.pieces[:0], head, p))
}

func (e *Engine) writeWire(s *Stream, head, p []byte) (n int, err error) {
	l := s.line()
	if n, err = l.SendBytes(&e.io, s.conn, head, p, e.now); l.Waiting() > 0 && err == nil {
		e.weigh(s, 0)
		e.stall(s)
	}
	return n, err
}

// writeQueued writes what is queued for s, behind what is sealed, or seals a record
// of it. It returns how many bytes that were.
func (e *Engine) writeQueued(s *Stream) (n int, err error) {
	pieces := s.queue.Buffers(e.pieces[:0])
	if !s.is(wired) {
		return e.sys.Writev(s.conn, pieces)
	}
	return s.line().Send(&e.io, s.conn, pieces, s.queue.Since())
}

// flushed writes what is sealed for s. The error is ErrWouldBlock where the socket
// does not take it all.
func (e *Engine) flushed(s *Stream) error {
	if !s.is(wired) {
		return nil
	}
	before := s.waiting()
	err := s.line().Flush(&e.io, s.conn)
	e.weigh(s, before)
	if s.line().Waiting() > 0 {
		return orBlocked(err)
	}
	return err
}

func orBlocked(err error) error {
	if err == nil {
		return netpoll.ErrWouldBlock
	}
	return err
}
