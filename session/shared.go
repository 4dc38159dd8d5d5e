package session

import "sync/atomic"

// Shared is an encoded frame that many sessions send. It is encoded once and
// counts who still needs its bytes, on whatever goroutine they are.
type Shared struct {
	b    []byte
	free func([]byte)
	refs atomic.Int64
}

// SharedSize is what a Shared takes beside its bytes, a closure for free
// included.
const SharedSize = 64

// NewShared returns a Shared with one reference, the caller's. Nobody may
// change b until it is free again: free, if not nil, is called with b when the
// last reference is released, on the goroutine that releases it.
func NewShared(b []byte, free func([]byte)) *Shared {
	s := &Shared{b: b, free: free}
	s.refs.Store(1)
	return s
}

// Bytes are the frame, for who has a reference. They must not be changed.
func (s *Shared) Bytes() []byte { return s.b }

// Retain adds n references. The caller must hold one.
func (s *Shared) Retain(n int) {
	if s.refs.Add(int64(n)) <= int64(n) {
		panic("session: Retain of a Shared that was released")
	}
}

// Release gives one reference back. Its holder must not touch the Shared
// afterwards.
func (s *Shared) Release() {
	switch refs := s.refs.Add(-1); {
	case refs < 0:
		panic("session: Release of a Shared that was released")
	case refs == 0 && s.free != nil:
		s.free(s.b)
	}
}
