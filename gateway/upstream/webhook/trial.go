package webhook

import (
	"sync"
	"time"
)

// trial has connections that rest and are not used again, to see for how long
// the backend lets them. What becomes of them costs no event, unlike that of a
// connection that is used to find out. Any goroutine.
type trial struct {
	trust *trust

	mu      sync.Mutex
	resting []*conn // the oldest first
	timer   *time.Timer
}

const (
	// trials is how many connections are on trial at most: more than one,
	// because a name can stand for several backends.
	trials = 4
	// trialLook is how often they are looked at.
	trialLook = time.Second
)

// take takes the connection out of c, which has just come to rest, and reports
// whether there was room for it.
func (t *trial) take(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.resting) >= trials {
		return false
	}
	taken := *c
	*c = conn{trust: c.trust}
	if t.resting = append(t.resting, &taken); len(t.resting) == 1 {
		t.timer = time.AfterFunc(trialLook, func() { t.look(time.Now()) })
	}
	return true
}

// look learns from those on trial, and closes those that have ended or rested
// for as long as matters.
func (t *trial) look(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.resting[:0]
	for _, c := range t.resting {
		if c.look(now) && now.Sub(c.rested) < max(t.trust.limit, shortest) {
			kept = append(kept, c)
			continue
		}
		c.rested = time.Time{} // has been looked at
		c.Close()
	}
	clear(t.resting[len(kept):])
	if t.resting = kept; len(kept) > 0 {
		t.timer.Reset(trialLook)
	}
}

// close closes those on trial. One that comes later is closed by look.
func (t *trial) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.resting {
		c.Close()
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	t.resting = nil
}
