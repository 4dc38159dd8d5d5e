package engine

import (
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// State is how far a stream has come.
type State uint8

const (
	// Vacant: the slot has no stream.
	Vacant State = iota
	// Dialling: the connection to a server is being made.
	Dialling
	// Heading: the head is being collected: of a request, or of the answer to one
	// of ours.
	Heading
	// Asking: the head is complete, and its owner keeps it waiting.
	Asking
	// Open: frames come and go.
	Open
	// Closing: our Close frame is sent, the peer's is awaited (RFC 6455 §7.1.2).
	Closing
	// Leaving: our last words are sent or queued; what still comes is thrown
	// away until the peer closes. A close with unread input would reset the
	// connection and could take the last words with it.
	Leaving
	// Gone: the socket is closed, and the owner needs the slot still.
	Gone
)

var states = [...]string{"vacant", "dialling", "heading", "asking", "open", "closing", "leaving", "gone"}

func (s State) String() string { return states[s] }

// Hold is a reason why no further message of a stream is served. It is read on
// when there is none. Each has one who takes it back.
type Hold uint8

const (
	// HoldEvent: what it said last is not answered. The owner calls Release.
	HoldEvent Hold = 1 << iota
	// HoldQueue: who does not read is not answered. It ends when what waits for
	// the socket is below high water, and reading goes on when nothing does.
	HoldQueue
	// HoldPressure: there is no buffer for its message. It ends when it is tried
	// again, in Quench or Resume.
	HoldPressure
	// HoldOwner: the owner's reason, which calls Release.
	HoldOwner
)

// highWater is the unsent bytes over which no further message is taken from
// the same stream.
const highWater = 64 << 10

// Stream is one slot of an engine: a socket and what is on its way from it and
// to it. Slots are reused; the generation tells their tenants apart. It belongs to
// the engine's goroutine.
//
// A million of these are held at once: every field is paid a million times, and
// what only some streams need hangs behind a pointer.
type Stream struct {
	Reader    session.Reader
	queue     session.Queue
	heartbeat session.Heartbeat
	Closing   session.Closing
	conn      netpoll.Conn

	state  State
	holds  Hold
	reason metrics.Reason // why it ends, once that is known
	flags  flags

	timer   session.Timer
	engine  *Engine
	class   *Class
	held    *Held               // input that waits, nil if none
	onEvent func(netpoll.Event) // the method value handle, made once a slot

	control    session.Bucket
	generation uint32
	missed     uint16 // events that came while reading was stopped
	windowBits uint8  // of permessage-deflate; 0: not agreed on
}

type flags uint8

const (
	upgraded   flags = 1 << iota // it became a session, however it goes on
	registered                   // the poller knows the socket
	writing                      // bytes wait; if there is a socket, EPOLLOUT is asked for
	dialled                      // its connection is ours: it plays the client
	seated                       // it was made without a socket, and what it is sent waits
	wired                        // it has a transport, see wire.go
)

func (s *Stream) is(f flags) bool { return s.flags&f != 0 }

func (s *Stream) set(f flags, on bool) {
	if s.flags &^= f; on {
		s.flags |= f
	}
}

// State is how far s has come.
func (s *Stream) State() State { return s.state }

// Upgraded reports whether s is a session, or was.
func (s *Stream) Upgraded() bool { return s.is(upgraded) }

// Connected reports whether s has its socket.
func (s *Stream) Connected() bool { return s.conn.Open() }

// Writing reports whether something waits for the socket of s.
func (s *Stream) Writing() bool { return s.is(writing) }

// Holding reports whether input of s waits.
func (s *Stream) Holding() bool { return s.held != nil }

// Reason is why s ends, once that is known.
func (s *Stream) Reason() metrics.Reason { return s.reason }

// SetReason changes why s ends.
func (s *Stream) SetReason(r metrics.Reason) { s.reason = r }

// WindowBits is what compression was agreed on, 0 for none.
func (s *Stream) WindowBits() uint8 { return s.windowBits }

// Slot is where s is.
func (s *Stream) Slot() uint32 { return s.timer.Slot }

// Ref names the tenant of the slot.
func (s *Stream) Ref() session.Ref {
	return session.Ref{
		Node:       s.engine.set.Node,
		Loop:       uint16(s.engine.index),
		Slot:       s.timer.Slot,
		Generation: s.generation,
	}
}

// Enter makes s one of a class.
func (s *Stream) Enter(c *Class) { s.class = c }

// limits is what bounds s.
func (s *Stream) limits() *Limits { return s.class.Limits() }

// Hold stops messages of s from being served. What it says waits, and then TCP
// slows it down.
func (s *Stream) Hold(h Hold) { s.holds |= h }

// Release takes holds back. The caller lets s go on with Resume.
func (s *Stream) Release(h Hold) { s.holds &^= h }

// Held reports whether one of the holds is on.
func (s *Stream) Held(h Hold) bool { return s.holds&h != 0 }

// parked reports whether the next data frame has to wait. Once we close, data
// frames mean nothing and need not wait.
func (s *Stream) parked() bool {
	return s.holds&^HoldPressure != 0 && s.state == Open
}

// reading reports whether input of s still means anything.
func (s *Stream) reading() bool { return s.state == Open || s.state == Closing }

// Engaged reports whether s, which is there, would miss its socket. One that has
// said nothing yet, as a browser keeps it for later, would not.
func (s *Stream) Engaged() bool {
	return s.conn.Open() && (s.state != Heading || s.held != nil)
}

// departing reports whether s was refused and its peer has not left yet.
func (s *Stream) departing() bool { return s.state == Leaving && s.flags&(upgraded|dialled) == 0 }

// silent reports whether s is a newcomer whose head has not come.
func (s *Stream) silent() bool { return s.state == Heading && !s.is(dialled) }

// interest is what the poller is asked to report of s.
func (s *Stream) interest() netpoll.Event {
	ev := netpoll.In | netpoll.ReadHup | netpoll.Edge
	if s.is(writing) || s.state == Dialling {
		ev |= netpoll.Out
	}
	return ev
}

// miss keeps what an event said for when reading goes on.
func (s *Stream) miss(ev netpoll.Event) { s.missed |= uint16(ev) }

// hangup is the events after which a short read does not mean that there is
// nothing more: data and FIN come as one event.
const hangup = netpoll.ReadHup | netpoll.Hup | netpoll.Err
