package main

import (
	"time"

	"sluice/session"
)

// retryAfter is how long a client that was turned away in a storm waits before it comes again.
const retryAfter = 100 * time.Millisecond

// connecting opens connections until there are so many more.
type connecting struct {
	missing  int // not yet dialled
	parallel int // at most so many on their way; 0: no bound
	pace     pace
	since    int64 // what latency is counted from; 0: from each dial
	retry    bool
	pause    int64 // no dial before
	underWay int
}

func (t *connecting) due(l *loop, now int64) (int64, error) {
	for t.missing > 0 && (t.parallel == 0 || t.underWay < t.parallel) {
		if next := max(t.pace.next(now), t.pause); next > now {
			return next, nil
		}
		t.pace.taken()
		t.missing--
		t.underWay++
		if err := l.dial(now); err != nil {
			return 0, err
		}
		now = l.now()
	}
	return never, nil
}

func (t *connecting) opened(l *loop, c *conn, now int64) {
	t.underWay--
	since := t.since
	if since == 0 {
		since = c.began
	}
	l.tally.complete(since, now)
}

func (t *connecting) received(*loop, *conn, session.Input, int64) {}

func (t *connecting) closed(l *loop, c *conn) {
	if c.opened && !t.retry {
		return // one of those that were there before
	}
	if !c.opened {
		t.underWay--
	}
	if t.retry {
		t.missing++
		t.pause = l.now() + int64(retryAfter)
	}
}

func (t *connecting) done() bool   { return t.missing == 0 && t.underWay == 0 }
func (t *connecting) pending() int { return t.missing + t.underWay }
