// Package upstream says what a hub's backend is to the gateway: it is sent
// the events of sessions, and answers them. Each protocol spoken to backends
// lives in a folder of its own below this one. One that answers on the spot
// implements [Upstream]; one that needs a network implements [Protocol], and a
// [Dispatcher] makes an Upstream of it: bounded, in order, with retries and a
// circuit breaker.
package upstream

import (
	"context"
	"log/slog"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/trace"
	"sluice/metrics"
	"sluice/session"
)

// Type is what happened to a session.
type Type uint8

const (
	// Connect: a client asks to be let in. Its handshake waits for the answer.
	Connect Type = 1 << iota
	// Connected: the handshake is done and the session is open.
	Connected
	// Message: the client sent a text or binary message.
	Message
	// Disconnected: the session has ended, or a client that was let in, or may
	// have been, did not become one. It is the last event of a session.
	Disconnected
)

// String returns the name of t as it stands in metrics and configurations.
func (t Type) String() string { return t.Metric().String() }

// Metric returns what t is counted as.
func (t Type) Metric() metrics.Event {
	switch t {
	case Connect:
		return metrics.EventConnect
	case Connected:
		return metrics.EventConnected
	case Disconnected:
		return metrics.EventDisconnected
	}
	return metrics.EventMessage
}

// Event is something that happened to one session. It belongs to the loop
// that sends it and is valid, with everything it points at but Request, only
// until [Upstream.Send] returns: an upstream that answers later copies what it
// needs. Strings may be kept.
type Event struct {
	Type        Type
	Hub         string
	From        session.Ref
	User        string // "" if the client is anonymous
	State       string // what the upstream wants to be reminded of, "" if nothing
	Subprotocol string // what the handshake agreed on, or ""

	// Name is what a message is called: "message", or what the client of a
	// subprotocol calls it.
	Name string
	// Op and Data are a message's type, ws.OpText or ws.OpBinary, and payload.
	Op   ws.OpCode
	Data []byte

	// Code and Reason say why a session ended: the close code seen or sent
	// (1006 when there was none) and a reason from a fixed set.
	Code   ws.StatusCode
	Reason string

	// Parent is the span of the handshake that the event belongs to, nil if it
	// belongs to none or nothing is traced.
	Parent *trace.Context

	// Request is what a client that wants to connect has sent, nil for other
	// events. It is never changed and may be kept.
	Request *Request
}

// Request is the handshake of a client, as far as it concerns a backend. Names
// of headers are in canonical form; the token is in neither map.
type Request struct {
	Claims       map[string][]string // of the client's token, nil without one
	Query        map[string][]string
	Headers      map[string][]string
	Subprotocols []string // that it offers, in its order
}

// Reply is the answer to an event: what happens now, in the order of the
// fields. The zero Reply says that the event was taken and nothing happens.
//
// What nearly all answers consist of has a field of its own, so that it needs
// no memory beside its data. Answers to Connect have no effects but a state:
// there is no session yet.
type Reply struct {
	// State, if not nil, is what the session's next events carry as theirs.
	State *delivery.State
	// Send, unless its Op is zero, is a message for the client.
	Send delivery.Send
	// Effects are what else happens, in their order, to the session and to others
	// of its hub; which hub a Target names does not matter. There may be no room
	// for what others are sent: then nothing more of the reply happens before
	// there is, and the session's next event waits for it.
	Effects []delivery.Effect
	// Close, unless its Code is zero, ends the session: with 1011 when the
	// upstream refused or failed, and with 1013 when it is overloaded.
	Close delivery.Close
	// Outcome is how the event fared.
	Outcome metrics.Outcome
	// Verdict answers Connect, and nothing else.
	Verdict *Verdict
}

// Verdict says whether a client may connect, and as whom.
type Verdict struct {
	// Status, if not zero, is the HTTP status that the client is refused with,
	// 400 to 599, and Text goes into the body.
	Status int
	Text   string
	// RetryAfter and Authenticate are header values that go with a refusal: when
	// to come back, "" if that is not said, and what would be accepted.
	RetryAfter   string
	Authenticate []string
	// Doubt: the upstream may have accepted the client all the same. It is told
	// of the client's end as if it had.
	Doubt bool

	User        string // "": whom the token names
	Subprotocol string // "": the gateway's choice
	// Given are actions that change the session, and nothing else, before anybody
	// can mean it: memberships and roles besides those of the token. Who cannot
	// be given all of them is not let in.
	Given []delivery.Action
}

// Sink takes the replies that come late. Reply never blocks, may be called
// from any goroutine, and owns what r points at afterwards. A reply to a session that
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
// event under way: the next one is sent after the reply to the last, but for
// Disconnected, which nobody waits for.
type Upstream interface {
	// Traits are asked for once, when the hub is made.
	Traits() Traits
	// Send hands ev over. It is called on a loop and never blocks. Either it
	// answers at once (inline is true), or it takes ev and calls late.Reply
	// exactly once, with ev.From, at any time and from any goroutine; the
	// answer to Disconnected is not wanted.
	Send(ev *Event, late Sink) (r Reply, inline bool)
	// Close ends the upstream: no more events come, those it has taken are
	// delivered until ctx ends, and then given up and counted. It returns the
	// number of those. Not called by a loop.
	Close(ctx context.Context) (lost int)
}

// Options are what the upstream of a hub is made of.
type Options struct {
	Hub    string
	Config config.Upstream
	// Keys are the hub's access keys, which sign its events; the first is the
	// primary one. There may be none.
	Keys []string
	// Endpoint is the gateway's own base URL, as backends know it.
	Endpoint string
	// ID returns the public id of a session. Any goroutine.
	ID      func(session.Ref) string
	Budget  *session.Budget // what is kept of messages is charged to a share of it
	Metrics *metrics.Upstream
	Tracer  *trace.Tracer // nil: nothing is traced
	Log     *slog.Logger
}
