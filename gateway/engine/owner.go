package engine

import (
	"github.com/gobwas/ws"

	"sluice/session"
)

// Owner is whose the streams of an engine are: it decides who may come, answers
// what they say, and is told of their ends. All of it is called on the engine's
// goroutine; the bytes that it is given are valid until it returns, or calls a verb
// of the engine. Any verb may be called from within, but none that ends s from
// Ending and Gone: s ends already.
type Owner interface {
	// Room reports whether a newcomer may have a descriptor.
	Room() bool
	// Came hears of a stream that is there from now on: a newcomer, whose request
	// head is to come, or one that was dialled or seated.
	Came(s *Stream)
	// Dialled hears that s, which was dialled, is connected. The owner sends the
	// head of its request, with Ask.
	Dialled(s *Stream)
	// Head hears that the request head of s is complete, or the head of the answer
	// if s was dialled; rest is what came behind it. The owner accepts s, refuses
	// it, keeps it waiting, detaches its socket, or drops it.
	Head(s *Stream, head, rest []byte)
	// BadHead hears that no head of s will come that could be served, why, and
	// what has come of it. The owner refuses s, or drops it if it was dialled.
	BadHead(s *Stream, got []byte, err error)
	// Message hears a message of s. It may hold s.
	Message(s *Stream, op ws.OpCode, payload []byte)
	// Due hears that a deadline of the open stream s has come, perhaps one of the
	// owner's. It returns the next of the owner's, if there is some.
	Due(s *Stream) (next session.Tick, some bool)
	// Ending hears that nothing more of the session of s will be served. What
	// waits to be served can be taken with TakeInput. With socket, the socket is
	// about to be closed, and what it still has can be read with ReadRest; s is
	// open until then.
	Ending(s *Stream, socket bool)
	// Gone hears that the socket of s is closed, and how far s had come. The slot
	// is the owner's until it calls Free.
	Gone(s *Stream, from State)
	// Broken hears that a callback of s has panicked: s must end, with nobody
	// waited for. If its end panics, too, it hears so again, and s is Gone.
	Broken(s *Stream)
	// Pressed hears that a stream waits for buffers.
	Pressed()
	// Woken hears that Wake was called.
	Woken()
	// Ticked hears of each tick, when the deadlines have been seen to.
	Ticked()
}
