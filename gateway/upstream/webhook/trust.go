package webhook

import (
	"sync"
	"sync/atomic"
	"time"
)

// trust is how long a connection to a backend may have rested to be used again.
// Backends close resting connections when they like, and a request that crosses
// the end is lost or worse. How long they wait some announce; of the others it
// is learned from what becomes of connections that rest. Any goroutine.
type trust struct {
	limit time.Duration // the most, also with nothing known
	bound atomic.Int64  // a time.Duration: what is allowed now

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
	// forgetTime is how long it takes to double what is allowed where nothing
	// new is known.
	forgetTime = 5 * time.Minute
)

func newTrust(limit time.Duration) *trust {
	t := &trust{limit: limit}
	t.bound.Store(int64(limit))
	return t
}

// allows returns the rest up to which a connection may be used, of which the
// backend has announced that it will be kept so long; 0: it has said nothing.
func (t *trust) allows(announced time.Duration) time.Duration {
	most := time.Duration(t.bound.Load())
	if announced > 0 {
		most = min(most, announced-announceMargin)
	}
	return most
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

// lasted says that a connection was open after it had rested so long. What was
// learned is unlearned that way, not at once: a name can stand for several
// backends, and not all need to be alike.
func (t *trust) lasted(rest time.Duration, now time.Time) {
	if time.Duration(t.bound.Load()) >= t.limit {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	bound := time.Duration(t.bound.Load())
	switch doubt := now.Sub(t.since); {
	case rest >= t.limit && doubt >= doubtTime:
		bound = t.limit
	case rest >= shortest && rest/2 > bound && doubt >= doubtTime:
		bound = rest / 2
	case doubt >= forgetTime:
		bound = min(t.limit, max(2*bound, shortest/2))
		t.since = now
	}
	t.bound.Store(int64(bound))
}
