package upstream

import (
	"math/rand/v2"
	"time"
)

// The pause before an attempt is a random part of a ceiling, which doubles from
// the first to the last of these: clients that failed together do not come
// back together.
const (
	firstCeiling = 50 * time.Millisecond
	lastCeiling  = 2 * time.Second
)

// farewellPatience is how many times the budget of other events a farewell
// has. Nobody waits for it, and it is the only word of a session's end.
const farewellPatience = 4

// budget is how long an event may take from Send on.
func (d *Dispatcher) budget(t Type) time.Duration {
	switch t {
	case Connect:
		return time.Duration(d.o.Config.ConnectBudget)
	case Disconnected:
		return farewellPatience * time.Duration(d.o.Config.Budget)
	}
	return time.Duration(d.o.Config.Budget)
}

// tryAgain puts p, whose attempt has failed, aside until the next one, and
// reports false if there will be none. Under the lock.
func (d *Dispatcher) tryAgain(p *pending, f *Failure, now time.Duration) bool {
	if d.aborted || now >= p.lastTurn || !d.repeats(p.call.Type, f) {
		return false
	}
	if f.Verdict != nil && now+f.After > p.lastTurn {
		return false // the client can wait as well as the event, and knows for how long
	}
	p.failure = f
	d.queue.rest(p, min(now+max(pause(p.call.Attempt), f.After), p.lastTurn))
	return true
}

// insistent are the events that arrive at least once, all others at most once
// unless the hub wants otherwise.
const insistent = Connected | Disconnected

// repeats reports whether an event whose attempt failed so is attempted again.
func (d *Dispatcher) repeats(t Type, f *Failure) bool {
	switch f.Kind {
	case Unsent:
		return true
	case Unanswered:
		return d.o.Config.RepeatUnanswered || d.o.Config.RepeatReset && f.Stale || t&insistent != 0
	}
	return f.Broken && t&insistent != 0
}

// pause is how long to wait behind an attempt, which was the nth.
func pause(n int) time.Duration {
	return rand.N(min(firstCeiling<<min(n-1, 10), lastCeiling))
}
