package gateway

import (
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// state is how far a client has come.
type state uint8

const (
	// vacant: the slot has no client.
	vacant state = iota
	// heading: the request head is being collected.
	heading
	// asking: the head is complete, and somebody else decides on the client,
	// for whom a place is kept.
	asking
	// open: frames come and go.
	open
	// closing: our Close frame is sent, the peer's is awaited (RFC 6455 §7.1.2).
	closing
	// leaving: our last words are sent or queued; what still comes is thrown
	// away until the peer closes. A close with unread input would reset the
	// connection and could take the last words with it.
	leaving
	// orphaned: the socket is closed, but the upstream still has an event of
	// this session and must answer before it is told of the end. Of a client
	// that did not wait for its verdict, only the end is told.
	orphaned
)

// client is one slot of a loop: the socket of a WebSocket peer and its
// session. Slots are reused; the generation tells their tenants apart.
//
// A million of these are held at once: every field is paid a million times,
// and what only some clients need hangs behind a pointer.
type client struct {
	session.Session
	timer   session.Timer
	loop    *loop
	hub     *hub
	who     *identity           // nil if there is nothing to know
	held    *held               // input that waits, nil if none
	onEvent func(netpoll.Event) // the method value handle, made once a slot

	conn       netpoll.Conn
	generation uint32
	weight     uint32       // the bytes queued, as the metric knows them
	began      uint32       // microseconds: when accepted, or when the event under way was sent
	opened     session.Tick // when the handshake was done
	control    session.Bucket
	missed     netpoll.Event // events that came while reading was stopped

	state      state
	reason     metrics.Reason // why the session ends, once that is known
	windowBits uint8          // of permessage-deflate; 0: not agreed on
	upgraded   bool           // it became a session, however it goes on
	registered bool           // the poller knows the socket
	waiting    bool           // an event is under way to the upstream
	asked      upstream.Type  // which
	writing    bool           // the queue holds bytes; EPOLLOUT is asked for
}

// held is input that was read and may not be processed yet: an unfinished
// request head, or what follows the first data frame that a parked session
// has to wait with.
type held struct {
	buf      []byte
	off      int
	petition *petition // of a client that is asking
}

// chunkSlots is how many slots are made at once.
const chunkSlots = 128

// slab is the slots of one loop. A slot never moves.
type slab struct {
	chunks [][]client
	free   []uint32
	// A callback can run after its descriptor was deleted, as the events of
	// one epoll_wait are collected first. So a slot that becomes free waits
	// here until a tick has passed that was collected later: by then the
	// stale callback has run and found the slot vacant.
	limbo [2][]uint32
	used  int
}

// take returns a vacant slot.
func (s *slab) take(l *loop) *client {
	if len(s.free) == 0 {
		base := uint32(len(s.chunks) * chunkSlots)
		chunk := make([]client, chunkSlots)
		s.chunks = append(s.chunks, chunk)
		for i := range chunk {
			c := &chunk[i]
			c.loop = l
			c.timer.Slot = base + uint32(i)
			c.onEvent = c.handle // all at once: side by side in memory, for good
			s.free = append(s.free, base+uint32(chunkSlots-1-i))
		}
	}
	slot := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.used++
	return s.at(slot)
}

// at returns the slot of that number, which must exist.
func (s *slab) at(slot uint32) *client {
	return &s.chunks[slot/chunkSlots][slot%chunkSlots]
}

// slots is how many slots exist, vacant ones included.
func (s *slab) slots() uint32 { return uint32(len(s.chunks) * chunkSlots) }

// find returns the client that ref names, or nil if it is gone.
func (s *slab) find(ref session.Ref) *client {
	if ref.Slot >= s.slots() {
		return nil
	}
	if c := s.at(ref.Slot); c.state != vacant && c.generation == ref.Generation {
		return c
	}
	return nil
}

// put makes a slot vacant. It may be taken again after two ticks.
func (s *slab) put(c *client) {
	loop, slot, onEvent, generation := c.loop, c.timer.Slot, c.onEvent, c.generation
	*c = client{loop: loop, onEvent: onEvent, generation: generation + 1}
	c.timer.Slot = slot
	s.limbo[0] = append(s.limbo[0], slot)
	s.used--
}

// settle is called once a tick.
func (s *slab) settle() {
	s.free = append(s.free, s.limbo[1]...)
	s.limbo[1], s.limbo[0] = s.limbo[0], s.limbo[1][:0]
}

// all calls f for each client that is there.
func (s *slab) all(f func(*client)) {
	for _, chunk := range s.chunks {
		for i := range chunk {
			if chunk[i].state != vacant {
				f(&chunk[i])
			}
		}
	}
}

// ref names the session of c.
func (c *client) ref() session.Ref {
	return session.Ref{
		Node:       c.loop.g.node,
		Loop:       uint16(c.loop.index),
		Slot:       c.timer.Slot,
		Generation: c.generation,
	}
}

// counts is what is counted for the hub of c, nil before that is known.
func (c *client) counts() *metrics.Hub {
	if c.hub == nil {
		return nil
	}
	return c.hub.metrics
}

// parked reports whether the next data frame has to wait: for the upstream's
// answer to the last one, or for the peer to read what it was sent. Once we
// close, data frames mean nothing and need not wait.
func (c *client) parked() bool {
	return (c.waiting || c.writing && c.Queue.Len() > highWater) && c.state == open
}

// interest is what the poller is asked to report of c.
func (c *client) interest() netpoll.Event {
	ev := netpoll.In | netpoll.ReadHup | netpoll.Edge
	if c.writing {
		ev |= netpoll.Out
	}
	return ev
}

// hangup is the events after which a short read does not mean that there is
// nothing more: data and FIN come as one event.
const hangup = netpoll.ReadHup | netpoll.Hup | netpoll.Err

// highWater is the unsent bytes over which no further message is taken from
// the same client: who does not read is not answered.
const highWater = 64 << 10

// tryAgainLater is the close code of an overloaded server (IANA WebSocket
// Close Code Number Registry); ws has no name for it.
const tryAgainLater = session.StatusTryAgainLater
