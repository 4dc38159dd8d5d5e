package upstream

import (
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

// insistent are the events that arrive at least once, all others at most once
// unless the hub wants otherwise.
const insistent = Connected | Disconnected

// repeats reports whether p, whose attempt failed so, is attempted again.
func (s *Schedule) repeats(p *Pending, f *Failure, now time.Duration) bool {
	switch {
	case s.aborted || now >= p.lastTurn || !s.repeatable(p.Call.Type, f):
		return false
	case f.Verdict != nil && now+f.After > p.lastTurn:
		return false // the client can wait as well as the event, and knows for how long
	}
	return true
}

// repeatable reports whether an event whose attempt failed so may be attempted
// again.
func (s *Schedule) repeatable(t Type, f *Failure) bool {
	switch f.Kind {
	case Unsent:
		return true
	case Unanswered:
		return s.config.RepeatUnanswered || s.config.RepeatReset && f.Stale || t&insistent != 0
	}
	return f.Broken && t&insistent != 0
}

// due is when p, whose attempt failed so, is to be attempted again.
func (s *Schedule) due(p *Pending, f *Failure, now time.Duration) time.Duration {
	return min(now+max(s.pause(p.Call.Attempt), f.After), p.lastTurn)
}

// pause is how long to wait behind an attempt, which was the nth.
func (s *Schedule) pause(n int) time.Duration {
	return time.Duration(s.random.Int64N(int64(min(firstCeiling<<min(n-1, 10), lastCeiling))))
}
