package session

import "time"

// Rate is how often something may happen: once every interval in the long run,
// and as many times at once as the burst allows. The zero Rate has no limit.
type Rate struct {
	every     time.Duration
	tolerance time.Duration // how far the bucket may run ahead of the clock
}

// NewRate returns the rate of n events a second and up to burst at once. n
// must be positive, or the rate has no limit; a burst below one counts as one.
func NewRate(n float64, burst int) Rate {
	if n <= 0 {
		return Rate{}
	}
	every := max(time.Duration(float64(time.Second)/n), 1)
	return Rate{every, every * time.Duration(max(burst, 1)-1)}
}

// Bucket applies a Rate to one session. It is a token bucket in the form of
// the generic cell rate algorithm (ITU-T I.371): instead of tokens and the time
// of their last refill it keeps the one moment at which it will be full again.
// The zero Bucket is full.
type Bucket struct {
	full time.Duration
}

// Allow takes a token at the time now and reports whether there was one. now is
// any clock that does not go back, the same at every call.
func (b *Bucket) Allow(now time.Duration, r Rate) bool {
	if b.Delay(now, r) > 0 {
		return false
	}
	b.full = max(b.full, now) + r.every
	return true
}

// Delay is how long after now there will be a token; 0 if there is one.
func (b *Bucket) Delay(now time.Duration, r Rate) time.Duration {
	if r.every == 0 {
		return 0
	}
	return max(b.full-now-r.tolerance, 0)
}
