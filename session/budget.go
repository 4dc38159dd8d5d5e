package session

import "sync/atomic"

// Budget counts the bytes that a node holds in buffers: partial frames,
// unfinished messages, unsent output. It bounds their sum, so that peers who
// send slowly or read slowly cannot exhaust the memory together. All methods
// may be called from every goroutine.
type Budget struct {
	used, limit atomic.Int64
}

// NewBudget returns a Budget of limit bytes.
func NewBudget(limit int64) *Budget {
	b := new(Budget)
	b.SetLimit(limit)
	return b
}

// Take charges n bytes and reports true, or charges nothing and reports false
// if they would exceed the limit.
func (b *Budget) Take(n int) bool { return b.take(n, 0) }

// TakeReserved is Take for what has been read already and has to be kept until
// there is room: it may exceed the limit by a sixteenth.
func (b *Budget) TakeReserved(n int) bool { return b.take(n, b.limit.Load()/16) }

// overdraw charges n bytes for a moment, whatever the limit is.
func (b *Budget) overdraw(n int) { b.used.Add(int64(n)) }

func (b *Budget) take(n int, beyond int64) bool {
	// Not Add and undo: while a large request is being refused, small ones
	// that fit must not see its bytes.
	for {
		used := b.used.Load()
		sum := used + int64(n)
		if sum > b.limit.Load()+beyond {
			return false
		}
		if b.used.CompareAndSwap(used, sum) {
			return true
		}
	}
}

// Give returns n bytes that were taken before.
func (b *Budget) Give(n int) { b.used.Add(-int64(n)) }

// Used returns how many bytes are charged now.
func (b *Budget) Used() int64 { return b.used.Load() }

// Limit returns how many bytes may be charged at most.
func (b *Budget) Limit() int64 { return b.limit.Load() }

// SetLimit changes the limit. If more is in use already nothing is taken back:
// Take refuses until enough has been given.
func (b *Budget) SetLimit(limit int64) { b.limit.Store(limit) }

// Share is what one of several users has charged to a [Budget]: no more than is
// left to all the others. One alone gets half of the budget, and several can
// never use it up between them. Every goroutine may call its methods.
type Share struct {
	budget *Budget
	used   atomic.Int64
}

// NewShare returns a Share of b of which nothing is used.
func NewShare(b *Budget) *Share { return &Share{budget: b} }

// Take charges n bytes and reports true, or charges nothing and reports false
// if they would exceed the share.
func (s *Share) Take(n int) bool {
	if n == 0 {
		return true
	}
	if !s.budget.Take(n) {
		return false
	}
	if s.used.Add(int64(n)) > s.budget.Limit()-s.budget.Used() {
		s.Give(n)
		return false
	}
	return true
}

// Give returns n bytes that were taken before.
func (s *Share) Give(n int) {
	s.used.Add(-int64(n))
	s.budget.Give(n)
}
