package upstream

import "time"

// sparingly lets one line in so much time into the log: a backend that refuses
// all its events would fill it.
type sparingly struct {
	said   bool
	last   time.Duration
	unsaid int // lines that were left out since
}

const betweenLines = 10 * time.Second

// allow reports whether a line may be written, and how many were left out
// before it.
func (s *sparingly) allow(now time.Duration) (ok bool, unsaid int) {
	if s.said && now-s.last < betweenLines {
		s.unsaid++
		return false, 0
	}
	unsaid = s.unsaid
	*s = sparingly{said: true, last: now}
	return true, unsaid
}
