package engine

import (
	"fmt"
	"net/netip"

	"sluice/session"
)

// What follows shows what an engine is at: for tests, and for who looks for a
// fault.

// Counts is how many streams an engine has of each kind.
type Counts struct {
	Used      int // slots with a tenant
	Silent    int // whose request head has not come
	Departing int // that were refused and have not left
	Stalled   int // whose sockets do not take what is written
	Thirsty   int // that wait for buffers
	Skimmed   int // whose input is only looked through for a Close frame
	Timers    int // that have a deadline
}

// Counts counts the streams of e.
func (e *Engine) Counts() Counts {
	return Counts{
		Used:      e.slab.used,
		Silent:    e.silent.waiting,
		Departing: e.departing.waiting,
		Stalled:   len(e.stalled),
		Thirsty:   e.thirsty.Len(),
		Skimmed:   len(e.outlines),
		Timers:    e.wheel.Len(),
	}
}

// Idle returns what an engine must not have between two callbacks.
func (e *Engine) Idle() error {
	if len(e.out) > 0 {
		return fmt.Errorf("%d bytes of output are kept from one callback to the next", len(e.out))
	}
	return nil
}

// Check looks at all streams between two callbacks, and returns what is not as it
// must be.
func (e *Engine) Check() (err error) {
	silent, departing, stalled, used := 0, 0, 0, 0
	e.All(func(s *Stream) {
		used++
		if _, stands := e.stalled[s]; stands && s.is(writing) {
			stalled++
		} else if s.is(writing) && err == nil {
			err = fmt.Errorf("slot %d is stalled, and not counted so", s.Slot())
		}
		if s.silent() {
			silent++
		}
		if s.departing() {
			departing++
		}
		if err == nil {
			err = e.check(s)
		}
	})
	if err == nil && (silent != e.silent.waiting || departing != e.departing.waiting) {
		err = fmt.Errorf("%d silent streams and %d that depart are counted, there are %d and %d",
			e.silent.waiting, e.departing.waiting, silent, departing)
	}
	if err == nil && stalled != len(e.stalled) {
		err = fmt.Errorf("%d streams that are stalled are counted, there are %d", len(e.stalled), stalled)
	}
	free := len(e.slab.free) + len(e.slab.limbo[0]) + len(e.slab.limbo[1])
	if err == nil && (used != e.slab.used || used+free != int(e.slab.slots())) {
		err = fmt.Errorf("of %d slots %d are used, %d as it counts, and %d free", e.slab.slots(), used, e.slab.used, free)
	}
	return err
}

// check looks at one stream.
func (e *Engine) check(s *Stream) error {
	timed := s.state == Open || s.state == Dialling || s.state == Heading || s.state == Closing || s.state == Leaving
	switch {
	case timed && !e.wheel.Armed(&s.timer):
		return fmt.Errorf("slot %d, state %v: nothing will end it, no timer runs", s.Slot(), s.state)
	case s.state == Open && s.held != nil && s.holds == 0 && !s.is(writing):
		return fmt.Errorf("slot %d holds input, and nobody will wake it", s.Slot())
	case s.is(writing) != (s.waiting() > 0):
		return fmt.Errorf("slot %d: writing is %t, and %d bytes wait", s.Slot(), s.is(writing), s.waiting())
	case s.Held(HoldQueue) != (s.waiting() > highWater):
		return fmt.Errorf("slot %d: held for its queue is %t, and %d bytes wait", s.Slot(), s.Held(HoldQueue), s.waiting())
	case s.choked() && !s.is(writing) && !s.line().Working():
		return fmt.Errorf("slot %d reads nothing, and nobody will wake it", s.Slot())
	}
	if _, thirsty := e.thirsty.Get(s); s.Held(HoldPressure) != thirsty {
		return fmt.Errorf("slot %d: held for want of buffers is %t, and on the list %t", s.Slot(), s.Held(HoldPressure), thirsty)
	}
	return nil
}

// Thirst is since when s waits for buffers, if it does.
func (e *Engine) Thirst(s *Stream) (since session.Tick, waits bool) { return e.thirsty.Get(s) }

// Queued is how many bytes wait for the socket of s.
func (s *Stream) Queued() int { return s.waiting() }

// QueuedMessages is how many messages are among them, the one that has begun to
// leave included.
func (s *Stream) QueuedMessages() int { return s.queue.Messages() }

// HeldInput is the input of s that waits to be served.
func (s *Stream) HeldInput() []byte {
	if s.held == nil {
		return nil
	}
	return s.held.Bytes()
}

// Parked reports whether messages of s have to wait.
func (s *Stream) Parked() bool { return s.parked() }

// Registered reports whether the poller knows the socket of s.
func (s *Stream) Registered() bool { return s.is(registered) }

// RemoteAddr is the peer of s.
func (s *Stream) RemoteAddr() netip.AddrPort { return s.conn.RemoteAddr() }

// FD is the descriptor of s, -1 if it has none.
func (s *Stream) FD() int { return s.conn.FD() }

// Listeners returns where e takes newcomers from.
func (e *Engine) Listeners() (all []Listener) {
	for _, x := range e.entrances {
		all = append(all, x.listener)
	}
	return all
}
