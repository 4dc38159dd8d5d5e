// Package delivery says what can happen to the sessions of a hub: whom is meant
// ([Target]), and what is to happen to them ([Action]); both are an [Effect].
// It is one vocabulary, whoever speaks it: the data plane reads it from
// requests, an upstream answers events with it, and the gateway carries it out.
//
// Everything in it is plain values, which another node could be sent.
package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/gobwas/ws"
)

// Kind is how a Target names sessions.
type Kind uint8

const (
	All        Kind = iota // every session of the hub
	Group                  // those that have joined a group
	User                   // those of a user
	Connection             // the one with that id
)

// Target names sessions of a hub.
type Target struct {
	Hub      string
	Kind     Kind
	Name     string   // of the group, of the user, or the connection's id
	Excluded []string // ids of connections that are not meant
	Filter   *Filter  // nil: no further condition
}

// Action is what happens to each session that is meant: one of the types below.
type Action interface{ action() }

type (
	// Send sends a message.
	Send struct {
		Op   ws.OpCode // ws.OpText or ws.OpBinary
		Data []byte    // the receiver's from then on
		// TTL, if not zero, is how long the message may wait for a client.
		TTL time.Duration
	}
	// Close ends the session with a close code and a reason for the client.
	Close struct {
		Code   ws.StatusCode // 0: see Status
		Reason string
	}
	// Join makes the session a member of groups.
	Join struct{ Groups []string }
	// Leave ends the session's membership in groups; in all if there are none.
	Leave struct{ Groups []string }
	// Grant gives the session a permission.
	Grant struct{ Permission Permission }
	// Revoke takes a permission away.
	Revoke struct{ Permission Permission }
	// Assume gives the session roles besides those that it has, by the names
	// that tokens give them.
	Assume struct{ Roles []string }
	// State replaces what the session's upstream is reminded of with each event.
	State struct{ Value string }
	// Find does nothing: it finds out whether there is such a session, with
	// the permission unless that is nil.
	Find struct{ Permission *Permission }
)

func (Send) action()   {}
func (Close) action()  {}
func (Join) action()   {}
func (Leave) action()  {}
func (Grant) action()  {}
func (Revoke) action() {}
func (Assume) action() {}
func (State) action()  {}
func (Find) action()   {}

// Status returns the close code that the client is told, 1000 if none is given.
func (c Close) Status() ws.StatusCode {
	if c.Code == 0 {
		return ws.StatusNormalClosure
	}
	return c.Code
}

// Effect is an action and whom it is for.
type Effect struct {
	// Target, if nil, is the session itself whose event has the effect.
	Target *Target
	Action Action
}

// Permission is what the client of a subprotocol may do.
type Permission struct {
	Verb  Verb
	Group string // "": in every group
}

// Verb is what can be permitted.
type Verb uint8

const (
	JoinLeaveGroup Verb = iota // join and leave the group
	SendToGroup                // send to the members of the group
)

// Result says what has become of an action.
type Result struct {
	Matched int // sessions that were meant and there
	Queued  int // of them, those the action was done to; a message is with the socket or in its queue
	Dropped int // of them, those it could not be done to
	Pending int // loops that had not answered when the time was up, or have failed to carry it out
}

// Entry is a session in a list.
type Entry struct {
	ConnectionID string `json:"connectionId"`
	UserID       string `json:"userId,omitempty"`
}

// Cursor is where a list goes on: behind a slot of a loop. The zero Cursor is
// the beginning.
type Cursor struct {
	Loop uint16
	Slot uint32 // the first that is not on the pages so far
}

// Page is a part of a list. Sessions that stay are on exactly one page.
type Page struct {
	Entries []Entry
	Next    *Cursor // nil: this is the last
}

var (
	// ErrFull says that a loop has as much to deliver as it may hold: come
	// back later.
	ErrFull = errors.New("too much waits for delivery")
	// ErrTooManyGroups says that a session may join no more groups.
	ErrTooManyGroups = errors.New("too many groups")
	// ErrNoHub says that there is no hub of that name.
	ErrNoHub = errors.New("no such hub")
)

// Node carries actions out. Any goroutine but a loop's.
type Node interface {
	// Do does a to every session that t means, and waits for up to a second,
	// or until ctx ends. An action that nobody is meant by is no error. With
	// ErrFull it has reached nobody. With ErrTooManyGroups the sessions in
	// Dropped have joined none, and those in Queued have.
	Do(ctx context.Context, t Target, a Action) (Result, error)
	// List returns at most limit of the sessions that t means, from a cursor on.
	// It waits for up to a second, and returns fewer then, with a cursor for
	// the rest. If there are none yet, the error is
	// [context.DeadlineExceeded].
	List(ctx context.Context, t Target, from Cursor, limit int) (Page, error)
}
