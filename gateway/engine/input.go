package engine

import (
	"sluice/gateway/engine/transport"
	"sluice/netpoll"
)

// read reads of s, at most size bytes, to e.in from k on. It returns also how many
// bytes the socket has given, and whether there may be more.
func (e *Engine) read(s *Stream, k, size int) (p []byte, n int, more bool, err error) {
	if s.is(wired) {
		return e.readWire(s, k, size)
	}
	n, err = e.sys.Read(s.conn, e.in[k:k+size])
	return e.in[k : k+n], n, n == size, err
}

// readWire is read of a wired stream. An error that is not of the socket is the
// transport's, see unreadable.
func (e *Engine) readWire(s *Stream, k, size int) (p []byte, n int, more bool, err error) {
	l := s.line()
	if s.state == Leaving {
		n, err = l.Discard(&e.io, s.conn, e.in[k:k+size])
		return nil, n, n == size, err
	}
	before := s.waiting()
	p, n, more, err = l.Read(&e.io, s.conn, e.in[k:], size, e.now)
	e.weigh(s, before)
	if l.Waiting() > 0 {
		e.stall(s)
	}
	if since, partial := l.Partial(); partial && since == e.now && s.state == Open {
		e.wheel.Hasten(&s.timer, e.now+1+s.limits().MessageAge)
	}
	return p, n, more, err
}

// resumeLine makes the line of a socket that comes with a transport, nil if it comes
// with none. The error is of the budget.
func (e *Engine) resumeLine(over *transport.State) (*transport.Line, error) {
	if over == nil {
		return nil, nil
	}
	return transport.Resume(&e.io, *over, e.now)
}

// rewire gives s the line that its socket comes with, if it does, and sees to what
// waits in that.
func (e *Engine) rewire(s *Stream, line *transport.Line) {
	if line == nil {
		return
	}
	e.wire(s, line)
	if line.Waiting() > 0 {
		e.weigh(s, 0)
		e.stall(s)
	}
	if line.Unread() {
		s.miss(netpoll.In)
	}
}

// readSize is how much is read of s at once. Where sessions get parked it is
// little, so that little has to wait, until a long message is announced.
func (e *Engine) readSize(s *Stream) int {
	if s.class == &e.set.Newcomers {
		return ReadSize
	}
	if e.tight {
		return tightRead
	}
	return min(max(s.limits().Read, s.Reader.Announced()), ReadSize)
}

// tightRead is how much is read at once while buffers are short: who has to
// wait holds little.
const tightRead = 4 << 10

// ReadRest reads of the socket of s, which is about to be closed, what it still
// has, into a buffer of the engine's. The error is that of a read.
func (e *Engine) ReadRest(s *Stream) ([]byte, error) {
	if s.choked() {
		return nil, netpoll.ErrWouldBlock // nothing would come of it, as often as it is asked
	}
	p, _, _, err := e.read(s, 0, ReadSize)
	if err == nil {
		e.metrics.ReceivedBytes(s.class.Counts, len(p))
	}
	return p, err
}
