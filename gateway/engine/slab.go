package engine

import "sluice/session"

// Chunk is how many slots are made at once.
const Chunk = 128

// slab is the slots of one engine. A slot never moves.
type slab struct {
	chunks [][]Stream
	free   []uint32
	// A callback can run after its descriptor was deleted, as the events of
	// one epoll_wait are collected first. So a slot that becomes free waits
	// here until a tick has passed that was collected later: by then the
	// stale callback has run and found the slot vacant.
	limbo [2][]uint32
	used  int
}

// grow makes slots, which are vacant, and returns them.
func (b *slab) grow() []Stream {
	base := uint32(len(b.chunks) * Chunk)
	chunk := make([]Stream, Chunk)
	b.chunks = append(b.chunks, chunk)
	for i := range chunk {
		chunk[i].timer.Slot = base + uint32(i)
		b.free = append(b.free, base+uint32(Chunk-1-i))
	}
	return chunk
}

// take returns a vacant slot. There must be one.
func (b *slab) take() *Stream {
	slot := b.free[len(b.free)-1]
	b.free = b.free[:len(b.free)-1]
	b.used++
	return b.at(slot)
}

// at returns the slot of that number, which must exist.
func (b *slab) at(slot uint32) *Stream {
	return &b.chunks[slot/Chunk][slot%Chunk]
}

// slots is how many slots exist, vacant ones included.
func (b *slab) slots() uint32 { return uint32(len(b.chunks) * Chunk) }

// find returns the stream that ref names, or nil if it is gone.
func (b *slab) find(ref session.Ref) *Stream {
	if ref.Slot >= b.slots() {
		return nil
	}
	if s := b.at(ref.Slot); s.state != Vacant && s.generation == ref.Generation {
		return s
	}
	return nil
}

// put makes a slot vacant. It may be taken again after two ticks.
func (b *slab) put(s *Stream) {
	engine, slot, onEvent, generation := s.engine, s.timer.Slot, s.onEvent, s.generation
	*s = Stream{engine: engine, onEvent: onEvent, generation: generation + 1}
	s.timer.Slot = slot
	b.limbo[0] = append(b.limbo[0], slot)
	b.used--
}

// settle is called once a tick.
func (b *slab) settle() {
	b.free = append(b.free, b.limbo[1]...)
	b.limbo[1], b.limbo[0] = b.limbo[0], b.limbo[1][:0]
}

// Find returns the stream that ref names, or nil if it is gone.
func (e *Engine) Find(ref session.Ref) *Stream { return e.slab.find(ref) }

// At returns the slot of that number, which must be less than Slots.
func (e *Engine) At(slot uint32) *Stream { return e.slab.at(slot) }

// Slots is how many slots exist, vacant ones included.
func (e *Engine) Slots() uint32 { return e.slab.slots() }

// Used is how many slots have a tenant.
func (e *Engine) Used() int { return e.slab.used }

// All calls f for each stream that is there.
func (e *Engine) All(f func(*Stream)) {
	for _, chunk := range e.slab.chunks {
		for i := range chunk {
			if chunk[i].state != Vacant {
				f(&chunk[i])
			}
		}
	}
}
