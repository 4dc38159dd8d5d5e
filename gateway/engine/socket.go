package engine

import (
	"bytes"

	"sluice/gateway/engine/transport"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// A session stays on its engine, in its slot, under its Ref. A socket can move: to
// another engine, or to a session that is there already. A session without one
// keeps what it is sent, under the bounds of its class, and no heartbeat judges it.

// Socket is a connection that no stream has. It belongs to who has got it, on
// whatever goroutine, until it is plugged into a stream or discarded.
type Socket struct {
	conn    netpoll.Conn
	over    *transport.State // nil: it is plain
	read    []byte           // of it, and not served
	dialled bool
	torn    bool // its peer has the beginning of a frame whose rest is gone
}

// Read is what was read of the socket and not served: the head of the request that
// was kept waiting, and what came behind it, or frames.
func (k Socket) Read() []byte { return k.read }

// Skip takes the first n bytes of what was read: they are served.
func (k *Socket) Skip(n int) { k.read = k.read[n:] }

// Seat makes a session of a class that has no socket. It ends as others do, by
// Close and the like or Drop.
func (e *Engine) Seat(c *Class) *Stream {
	s := e.vacant()
	s.class = c
	s.state = Open
	s.set(upgraded, true)
	s.set(seated, true)
	e.owner.Came(s)
	e.overdue(s)
	return s
}

// Unplug takes the socket of s. If s is an open session it goes on without one,
// and loses the message that had begun to leave, whose beginning makes the socket
// useless to any other; otherwise its caller frees the slot. It is false, and nothing is done, if that cannot be: there is no socket, s
// is being closed, or a message of it has come in part.
func (e *Engine) Unplug(s *Stream) (k Socket, ok bool) {
	switch {
	case !s.conn.Open() || s.state != Heading && s.state != Asking && s.state != Open:
		return k, false
	case s.state == Open && (s.Reader.Partial() || s.choked()):
		return k, false
	}
	k.conn, k.over = e.Detach(s)
	k.dialled = s.is(dialled)
	if s.held != nil {
		k.read = bytes.Clone(s.held.Bytes())
	}
	if s.state != Open {
		return k, true
	}
	e.unhold(s)
	s.Reader.Release(e.context)
	before := s.waiting()
	if s.is(wired) {
		e.unwire(s).Leave(&e.io)
	}
	s.conn, s.missed = netpoll.Conn{}, 0
	s.set(seated, true)
	s.set(dialled, false)
	queued := s.queue.Len()
	e.dropped(s, metrics.DropGone, s.queue.DropBegun(e.context.Pool))
	k.torn = s.queue.Len() < queued
	e.weigh(s, before)
	if s.queue.Empty() && s.is(writing) {
		s.set(writing, false)
		delete(e.stalled, s)
	}
	e.overdue(s)
	return k, true
}

// Plug gives a socket to an open session that has none. answer, the response to
// the head that has come by it, leaves first, then what was queued, then what was
// read of it is served; deflate and windowBits are what was agreed on. It is false,
// and the socket still the caller's, if s is none such, the socket's peer is in the
// middle of a frame, what is queued is compressed as was not agreed on, or there are
// no buffers.
func (e *Engine) Plug(s *Stream, k Socket, answer []byte, deflate bool, windowBits uint8) bool {
	if !deflate {
		windowBits = 0
	}
	switch {
	case s.state != Open || s.conn.Open() || k.torn:
		return false
	case s.windowBits > windowBits && !s.queue.Empty():
		return false
	}
	line, err := e.resumeLine(k.over)
	if err != nil {
		return false
	}
	class, queued := s.class, s.setAside()
	e.metrics.Gauge(metrics.SendQueueBytes, -int64(queued.Len()))
	delete(e.stalled, s)
	s.conn = k.conn
	s.set(dialled, k.dialled)
	s.windowBits = windowBits
	s.Reader.Init(s.Role(), deflate)
	s.heartbeat = session.Heartbeat{}
	s.heartbeat.Seen(e.now)
	e.rewire(s, line)
	e.answer(s, answer)
	if s.state != Open || !s.conn.Open() { // it has been lost
		e.metrics.Dropped(class.Counts, metrics.DropGone, queued.Reset(e.context.Pool))
		return true
	}
	e.rejoin(s, queued)
	if len(k.read) > 0 && s.state == Open {
		e.Take(s, k.read)
		e.Flush(s)
	}
	if s.state == Open {
		e.overdue(s)
	}
	if s.is(wired) && s.state == Open {
		e.Resume(s) // what was read and not opened no event will tell of
	}
	return true
}

// setAside takes what is queued for s, which has no socket.
func (s *Stream) setAside() session.Queue {
	queued := s.queue
	s.queue = session.Queue{}
	s.set(seated, false)
	s.set(writing, false)
	s.holds &^= HoldQueue
	return queued
}

// answer sends the answer to a head that another stream has read.
func (e *Engine) answer(s *Stream, answer []byte) {
	masked := s.is(dialled) // what precedes frames is not
	s.set(dialled, false)
	e.out, e.answered = append(e.out[:0], answer...), len(answer)
	e.Flush(s)
	if s.state == Open {
		s.set(dialled, masked)
		e.register(s)
	}
}

// rejoin queues what was queued before behind what has not left since.
func (e *Engine) rejoin(s *Stream, queued session.Queue) {
	before := s.waiting()
	s.queue.Join(queued)
	e.weigh(s, before)
	if s.queue.Empty() {
		return
	}
	e.stall(s)
	if e.drain(s) {
		e.drained(s)
	}
}

// DiscardSocket closes a socket that no stream gets.
func (e *Engine) DiscardSocket(k Socket) { e.Discard(k.conn, k.over) }
