package engine

import (
	"log/slog"
	"sync/atomic"

	"sluice/metrics"
	"sluice/session"
)

// Class is a kind of streams: what bounds them, and for whom their traffic is
// counted. It lives as long as any of them; its limits are swapped at a reload,
// which costs the loops nothing. Any goroutine.
type Class struct {
	Counts *metrics.Hub // nil: for nobody in particular
	limits atomic.Pointer[Limits]
}

// Limits are what bounds a stream. They never change; others are put in their
// place.
type Limits struct {
	Head                     int          // bytes of a request head
	HeadTime                 session.Tick // for it to come
	Message                  session.Limits
	MessageAge               session.Tick // for a message to come
	Read                     int          // bytes asked of a socket at once
	Interval, Timeout, Early session.Tick // heartbeat; Early: how much sooner some are asked
	Control                  session.Rate // control frames
	Queue                    int          // bytes that wait for a socket
	QueueAge                 session.Tick // of the oldest of them
	CloseTime                session.Tick // for the peer to answer, or to leave
}

// Set puts limits into force.
func (c *Class) Set(l *Limits) { c.limits.Store(l) }

// Limits returns what is in force.
func (c *Class) Limits() *Limits { return c.limits.Load() }

// Set is what the engines of a node share. Its fields are set before the first
// engine is made, but for the counts.
type Set struct {
	Node      uint64 // what its sessions' references say
	Engines   int    // how many there are
	Budget    *session.Budget
	Metrics   *metrics.Set
	Log       *slog.Logger
	Reserve   Reserve
	Secret    [32]byte     // which nobody can guess: masking keys come of it
	Newcomers Class        // of streams whose head has not been read
	Pending   atomic.Int64 // streams that are not sessions: heads and verdicts awaited, refusals on their way
	Waiting   atomic.Int64 // how many of each kind of those may wait, at most
}

// Crowded reports that so much is buffered that no newcomers are taken, and
// holders are closed: if they were left alone below a higher bound, they could
// keep newcomers out for as long as they hold what they have.
func (s *Set) Crowded() bool {
	return s.Budget.Used() > s.Budget.Limit()/10*9
}

// secretOf is the secret of one engine.
func (s *Set) secretOf(index int) [32]byte {
	own := s.Secret
	own[0] ^= byte(index)
	own[1] ^= byte(index >> 8)
	return own
}
