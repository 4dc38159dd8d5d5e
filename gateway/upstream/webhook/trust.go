package webhook

import (
	"sync"
	"sync/atomic"
	"time"
)

// trust is how long a connection to a backend may have rested to be used again.
// Backends close resting connections when they like, and a request that crosses
// the end is lost or worse. How long they wait some announce; of the others it
// is learned from what becomes of connections that rest, and until then none is
// used again. Any goroutine.
type trust struct {
	limit  time.Duration // the most
	bound  atomic.Int64  // a time.Duration: what nothing speaks against
	proven atomic.Int64  // a time.Duration: what was seen to be safe

	mu    sync.Mutex
	since time.Time // when something was last known against the backend
}

const (
	// shortest is the rest that a backend must grant for its connections to be
	// used again at all: one that closes sooner may do so at any time.
	shortest = time.Second
	// announceMargin is how long before the announced end a connection is not
	// used any more: servers look at their clocks once a second.
	announceMargin = time.Second
	// doubtTime is how long nothing is believed that speaks for a backend.
	doubtTime = 10 * time.Second
)

func newTrust(limit time.Duration) *trust {
	t := &trust{limit: limit}
	t.bound.Store(int64(limit))
	return t
}

// allows returns the rest up to which a connection may be used, of which the
// backend has announced that it will be kept so long; 0: it has said nothing.
func (t *trust) allows(announced time.Duration) time.Duration {
	bound := time.Duration(t.bound.Load())
	if announced > 0 {
		return min(bound, announced-announceMargin)
	}
	return min(bound, time.Duration(t.proven.Load()))
}

// complete reports whether there is nothing left to learn that would let such a
// connection rest longer.
func (t *trust) complete(announced time.Duration) bool {
	return t.bound.Load() >= int64(t.limit) && (announced > 0 || t.proven.Load() >= int64(t.limit))
}

// ended says that a connection was ended by the backend after it had rested so
// long. Half of that is safe.
func (t *trust) ended(rest time.Duration, now time.Time) {
	most := rest / 2
	if rest < shortest {
		most = 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	bound := time.Duration(t.bound.Load())
	if most < bound {
		bound = most
		t.bound.Store(int64(most))
	}
	if bound < t.limit && most <= 2*bound {
		t.since = now
	}
}

// lasted says that a connection, of which the backend has announced so much, was
// open after it had rested so long. What was learned against it is unlearned
// that way, not at once: a name can stand for several backends, and not all need
// to be alike.
func (t *trust) lasted(rest, announced time.Duration, now time.Time) {
	if rest < shortest || t.complete(announced) {
		return
	}
	safe := rest / 2
	if rest >= t.limit {
		safe = t.limit
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if int64(safe) > t.proven.Load() {
		t.proven.Store(int64(safe))
	}
	if announced > 0 && rest >= announced-announceMargin {
		safe = t.limit // its word is good
	}
	if int64(safe) > t.bound.Load() && now.Sub(t.since) >= doubtTime {
		t.bound.Store(int64(safe))
	}
}
