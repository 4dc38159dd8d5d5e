package engine

import (
	"net/http"
	"sync"

	"github.com/gobwas/ws"

	"sluice/gateway/engine/transport"
	"sluice/gateway/handshake"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// Every byte that a stream reads or writes passes here. A stream is plain, or it
// is wired: there is a line between it and its socket, in which bytes can wait on
// their way, see package transport.

// Over gives the connections of listeners a transport, unless m is nil.
func Over(listeners []Listener, m transport.Maker) []Listener {
	if m == nil {
		return listeners
	}
	over := make([]Listener, len(listeners))
	for i, l := range listeners {
		over[i] = overTransport{l, m}
	}
	return over
}

// overTransport is a listener whose connections have a transport.
type overTransport struct {
	Listener
	maker transport.Maker
}

// wires are the lines of an engine's streams. They are beside the slots, by the
// same numbers, so that plain streams do not pay for them.
type wires [][]*transport.Line

// wire puts a line between s and its socket.
func (e *Engine) wire(s *Stream, l *transport.Line) {
	chunk := int(s.timer.Slot / Chunk)
	for len(e.wires) <= chunk {
		e.wires = append(e.wires, nil)
	}
	if e.wires[chunk] == nil {
		e.wires[chunk] = make([]*transport.Line, Chunk)
	}
	e.wires[chunk][s.timer.Slot%Chunk] = l
	s.set(wired, true)
}

// unwire takes the line of s, which is wired, away.
func (e *Engine) unwire(s *Stream) *transport.Line {
	l := s.line()
	s.set(wired, false)
	e.wires[s.timer.Slot/Chunk][s.timer.Slot%Chunk] = nil
	return l
}

// line is that of a wired stream.
func (s *Stream) line() *transport.Line {
	return s.engine.wires[s.timer.Slot/Chunk][s.timer.Slot%Chunk]
}

// waiting is how many bytes wait for the socket of s: those that are queued, and
// those that are sealed.
func (s *Stream) waiting() int {
	if s.is(wired) {
		return s.queue.Len() + s.line().Waiting()
	}
	return s.queue.Len()
}

// since is when the first of them began to wait. There must be one.
func (s *Stream) since() session.Tick {
	if s.is(wired) && s.line().Waiting() > 0 {
		return s.line().Since()
	}
	return s.queue.Since()
}

// choked reports whether nothing may be read of s, not even what is no message:
// its transport is at work, or what it has provoked is not taken. Its end is told
// to onWake, or found by drain.
func (s *Stream) choked() bool {
	return s.is(wired) && s.state != Leaving && s.line().Holds(&s.engine.io)
}

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
	if !s.is(wired) || s.line().Waiting() == 0 {
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

// mute reports whether nothing that s says reaches its peer: its transport is not
// up, or has failed.
func (s *Stream) mute() bool { return s.is(wired) && !s.line().Speaks() }

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

// newWire makes the transport of a newcomer.
func (e *Engine) newWire(s *Stream, m transport.Maker) {
	ref := s.Ref()
	e.wire(s, transport.NewLine(m.New(func() { e.woken.add(e, ref) })))
}

// woken are the streams whose transports have done what they did beside the engine.
type woken struct {
	mu     sync.Mutex
	refs   []session.Ref
	closed bool
}

// add is for any goroutine, at any time.
func (w *woken) add(e *Engine, ref session.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock() // after Wake: once it is closed, nobody touches the doorbell
	if !w.closed {
		w.refs = append(w.refs, ref)
		e.sys.Wake()
	}
}

func (w *woken) take() (refs []session.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	refs, w.refs = w.refs, nil
	return refs
}

func (w *woken) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
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
