package session

import "math/bits"

const (
	// A class is the binary logarithm of its size: 256 B to 64 KiB.
	minClass = 8
	maxClass = 16
	classes  = maxClass - minClass + 1

	// classShare is what a class keeps, or one buffer if that is more: 24 KiB
	// for each of the six small ones and 16, 32 and 64 KiB, together 256 KiB.
	classShare = 24 << 10

	// pageSize is the unit in which the Go allocator hands out large objects.
	pageSize = 8 << 10
)

// Pool lends buffers to the sessions of one loop, whose goroutine alone may
// use it. Sizes are powers of two from 256 B to 64 KiB; larger buffers are
// made to measure and not kept. What is lent is charged to the [Budget] by
// its capacity. What has come back is kept for the next borrower, up to
// 256 KiB, and not charged.
type Pool struct {
	budget *Budget
	free   [classes][][]byte
	pieces pieces // of the queues; see queue.go
	reach  reach
}

// reach is how far what is lent may exceed the limit of the budget.
type reach uint8

const (
	ordinary reach = iota
	reserved       // see Budget.TakeReserved
	overdraw       // what one message takes that is done with at once
)

// Reserved runs f, in which the pool also lends of the budget's reserve.
func (p *Pool) Reserved(f func()) {
	defer p.to(p.reach)
	p.reach = reserved
	f()
}

func (p *Pool) to(r reach) { p.reach = r }

// charge takes n bytes from the budget, and reports whether there was room.
func (p *Pool) charge(n int) bool {
	switch p.reach {
	case reserved:
		return p.budget.TakeReserved(n)
	case overdraw:
		p.budget.overdraw(n)
		return true
	}
	return p.budget.Take(n)
}

// NewPool returns an empty Pool that charges what it lends to b.
func NewPool(b *Budget) *Pool { return &Pool{budget: b} }

// Get lends an empty buffer with room for at least n bytes. It returns nil if
// the budget is exhausted. The buffer is the caller's until Put; its contents
// beyond the length are arbitrary.
func (p *Pool) Get(n int) []byte {
	if n > 1<<maxClass {
		size := (n + pageSize - 1) &^ (pageSize - 1)
		if !p.charge(size) {
			return nil
		}
		return make([]byte, 0, size)
	}
	class := classOf(n)
	size := 1 << class
	if !p.charge(size) {
		return nil
	}
	free := &p.free[class-minClass]
	if len(*free) == 0 {
		return make([]byte, 0, size)
	}
	last := len(*free) - 1
	buf := (*free)[last]
	(*free)[last] = nil
	*free = (*free)[:last]
	return buf
}

// Grow returns a buffer with the content of buf and room for at least n bytes
// in all, which replaces buf; buf itself if it has the room. If the budget is
// exhausted it returns nil, and buf is still the caller's. A nil buf is
// allowed.
func (p *Pool) Grow(buf []byte, n int) []byte {
	if buf != nil && n <= cap(buf) {
		return buf
	}
	grown := p.Get(max(n, len(buf)))
	if grown == nil {
		return nil
	}
	grown = append(grown, buf...)
	p.Put(buf)
	return grown
}

// Put takes back a buffer that Get or Grow has lent, whatever its length now;
// it must begin where it began then. Nobody may use it afterwards. A nil
// buffer is ignored.
func (p *Pool) Put(buf []byte) {
	size := cap(buf)
	if size == 0 {
		return
	}
	p.budget.Give(size)
	if size > 1<<maxClass {
		return
	}
	class := classOf(size)
	if size != 1<<class {
		panic("session: Put of a buffer that no pool has lent")
	}
	free := &p.free[class-minClass]
	if kept := (len(*free) + 1) * size; kept <= max(classShare, size) {
		*free = append(*free, buf[:0])
	}
}

// Trim drops all that waits for a borrower.
func (p *Pool) Trim() {
	p.free = [classes][][]byte{}
	p.pieces = pieces{}
}

// classOf returns the smallest class whose buffers hold n bytes.
func classOf(n int) int {
	if n <= 1<<minClass {
		return minClass
	}
	return bits.Len(uint(n - 1))
}
