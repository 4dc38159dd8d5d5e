package engine

import (
	"slices"
	"time"

	"sluice/session"
)

// Quench lets the streams try again that wait for buffers.
type Quench struct {
	begun   bool
	streams []*Stream
}

// Run lets some try, until all have or slice is over, and reports whether all have.
// Until then it is to be called again.
func (q *Quench) Run(e *Engine, slice time.Duration) bool {
	if !q.begun {
		q.begun = true
		q.streams = slices.Collect(e.thirsty.Keys())
	}
	for begin := e.Micros(); len(q.streams) > 0; {
		s := q.streams[0]
		q.streams = q.streams[1:]
		e.drink(s)
		if e.Since(begin) > slice {
			return len(q.streams) == 0
		}
	}
	return true
}

// drink goes on with a stream that has waited for buffers.
func (e *Engine) drink(s *Stream) {
	since, still := e.thirsty.Get(s)
	if !still {
		return
	}
	defer e.Guard(s)
	if s.parked() { // for something else, too
		e.quenched(s)
		return
	}
	e.Resume(s)
	if _, still = e.thirsty.Get(s); still && e.now-since >= ThirstTicks && s.state == Open {
		e.violated(s, session.ErrBudget)
		e.Flush(s)
	}
}
