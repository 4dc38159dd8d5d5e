package gateway

import (
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// client is what the node knows of the tenant of a slot beyond its stream. It is
// at the slot's number in a slab of its own, and as often there: every field is
// paid a million times.
type client struct {
	*engine.Stream
	hub    *hub
	who    *identity // nil if there is nothing to know
	began  uint32    // microseconds: when accepted, or when the event under way was sent
	opened session.Tick
	asked  upstream.Type // the event under way, while HoldEvent is on
	placed bool          // it has a place among those that are not sessions yet
}

// waiting reports whether an event is under way to the upstream of c.
func (c *client) waiting() bool { return c.Held(engine.HoldEvent) }

// clients is the slab.
type clients struct{ chunks [][]client }

// reach makes clients until there is one for that slot of e.
func (b *clients) reach(e *engine.Engine, slot uint32) {
	for base := uint32(len(b.chunks) * engine.Chunk); base <= slot; base += engine.Chunk {
		chunk := make([]client, engine.Chunk)
		for i := range chunk {
			chunk[i].Stream = e.At(base + uint32(i))
		}
		b.chunks = append(b.chunks, chunk)
	}
}

// of returns the client whose stream s is.
func (l *loop) of(s *engine.Stream) *client {
	slot := s.Slot()
	return &l.clients.chunks[slot/engine.Chunk][slot%engine.Chunk]
}

// find returns the client that ref names, or nil if it is gone.
func (l *loop) find(ref session.Ref) *client {
	if s := l.Find(ref); s != nil {
		return l.of(s)
	}
	return nil
}

// at returns the client in a slot that exists.
func (l *loop) at(slot uint32) *client { return l.of(l.At(slot)) }

// all calls f for each client that is there.
func (l *loop) all(f func(*client)) {
	l.All(func(s *engine.Stream) { f(l.of(s)) })
}

// counts is what is counted for the hub of c, nil before that is known.
func (c *client) counts() *metrics.Hub {
	if c.hub == nil {
		return nil
	}
	return c.hub.metrics
}
