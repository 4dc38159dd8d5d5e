package engine

import (
	"sync"

	"sluice/gateway/engine/transport"
	"sluice/session"
)

// A stream is plain, or it is wired: there is a line between it and its socket, in
// which bytes can wait on their way, see package transport. Every byte that a stream
// reads or writes passes input.go or output.go, which ask what it is.

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

// mute reports whether nothing that s says reaches its peer: its transport is not
// up, or has failed.
func (s *Stream) mute() bool { return s.is(wired) && !s.line().Speaks() }

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
