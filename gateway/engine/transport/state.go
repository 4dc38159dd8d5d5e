package transport

import (
	"io"

	"sluice/session"
)

// State is a transport on its way from a [Line] to a [Conn] or back, or to another loop: all that has to go along with the
// socket. Its bytes belong to nobody's pool.
type State struct {
	Transport Transport
	Plain     []byte // opened and not read: it comes before Raw
	Raw       []byte // read and not opened
	Sealed    []byte // sealed and not sent
	Up        bool
	Over      bool  // the farewell is among what was sealed
	Torn      error // why nothing more can be sent, nil if it can
	Err       error // what reading has come to, nil while it goes on: io.EOF, or the transport's
}

// State is what has to go along with the socket. The line goes on, if it stays after all; otherwise Leave ends it. Nothing may be
// at work beside the loop.
func (l *Line) State() State {
	s := State{Transport: l.t, Up: l.up, Over: l.over, Torn: l.torn}
	if l.err == io.EOF || l.failed {
		s.Err = l.err
	}
	s.Raw = append(s.Raw, l.raw...)
	s.Sealed = append(s.Sealed, l.sealed[l.sent:]...)
	return s
}

// Resume makes a line of a state whose Plain is the caller's to pass on. When there are no buffers it fails, and the transport
// is still the caller's to close.
func Resume(x *IO, s State, now session.Tick) (*Line, error) {
	l := &Line{t: s.Transport, up: s.Up, over: s.Over, torn: s.Torn, err: s.Err, failed: s.Err != nil && s.Err != io.EOF, unread: len(s.Raw) > 0, rawSince: now, since: now}
	if len(s.Raw) > 0 {
		if l.raw = x.get(len(s.Raw)); l.raw == nil {
			return nil, errBudget
		}
		l.raw = append(l.raw, s.Raw...)
	}
	if len(s.Sealed) > 0 {
		if l.sealed = x.get(len(s.Sealed)); l.sealed == nil {
			l.Leave(x)
			return nil, errBudget
		}
		l.sealed = append(l.sealed, s.Sealed...)
	}
	return l, nil
}
