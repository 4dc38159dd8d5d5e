// Package upstream says what a hub's backend is to the gateway: it is sent
// the events of sessions, and answers them. Each protocol spoken to backends
// lives in a folder of its own below this one and implements [Upstream].
//
// It is not a client for any protocol, and holds no queue: what an upstream
// needs of those, it brings.
package upstream

import (
	"github.com/gobwas/ws"

	"sluice/session"
)

// Type is what happened to a session.
type Type uint8

const (
	// Connected: the handshake is done and the session is open.
	Connected Type = 1 << iota
	// Message: the client sent a text or binary message.
	Message
	// Disconnected: the session has ended. It is the last event of a session.
	Disconnected
)

// String returns the name of t as it stands in metrics.
func (t Type) String() string {
	switch t {
	case Connected:
		return "connected"
	case Message:
		return "message"
	case Disconnected:
		return "disconnected"
	}
	return "unknown"
}

// Event is something that happened to one session. It belongs to the loop
// that sends it and is valid, with everything it points at, only until
// [Upstream.Send] returns: an upstream that answers later copies what it needs.
type Event struct {
	Type        Type
	Hub         string
	From        session.Ref
	Subprotocol string // what the handshake agreed on, or ""

	// Op and Data are a message's type, ws.OpText or ws.OpBinary, and payload.
	Op   ws.OpCode
	Data []byte

	// Code and Reason say why a session ended: the close code seen or sent
	// (1006 when there was none) and a reason from a fixed set.
	Code   ws.StatusCode
	Reason string
}

// Reply is the answer to an event. The zero Reply says that the event was
// taken and that the client gets nothing.
type Reply struct {
	// Op, if not zero, sends Data to the client as one message of that type.
	Op   ws.OpCode
	Data []byte
	// Close, if not zero, ends the session with that code, after Data: 1011
	// when the upstream refused or failed, 1013 when it is overloaded.
	Close ws.StatusCode
}

// Sink takes the replies that come late. Reply never blocks, may be called
// from any goroutine, and owns r.Data afterwards. A reply to a session that
// has ended meanwhile only ends its wait.
type Sink interface {
	Reply(to session.Ref, r Reply)
}

// Traits say how the loops are to treat an upstream.
type Traits struct {
	// Events is the set of types, or-ed together, that the upstream wants.
	Events Type
	// Inline upstreams answer every event before Send returns. Sessions of
	// the others are parked while an event is under way.
	Inline bool
}

// Upstream answers the events of a hub's sessions. A session has at most one
// event under way: the next one is sent after the reply to the last.
type Upstream interface {
	// Traits are asked for once, when the hub is made.
	Traits() Traits
	// Send hands ev over. It is called on a loop and never blocks. Either it
	// answers at once (inline is true), or it takes ev and calls late.Reply
	// exactly once, with ev.From, at any time and from any goroutine.
	Send(ev *Event, late Sink) (r Reply, inline bool)
}
