package gateway

import (
	"sync"
	"sync/atomic"
)

// beside runs what would keep a loop waiting: a bounded number of goroutines,
// which end with their work.
type beside struct {
	mu     sync.Mutex
	active atomic.Int64 // changed under the lock
	closed bool
	ended  sync.WaitGroup
}

// besideMost bounds what is under way beside the loops.
const besideMost = 256

func (b *beside) underWay() int64 { return b.active.Load() }

// try runs f, unless too much is under way already.
func (b *beside) try(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.active.Load() == besideMost {
		return false
	}
	b.active.Add(1)
	b.ended.Go(func() {
		defer b.done()
		f()
	})
	return true
}

func (b *beside) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active.Add(-1)
}

// close waits for what is under way, and refuses everything from now on.
func (b *beside) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.ended.Wait()
}
