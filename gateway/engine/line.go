package engine

import "sluice/metrics"

// A socket that is no session yet, or will not become one, waits for one of
// three things: for its request head (it is silent), for somebody's word about
// it (it asks), or for its peer to leave after a refusal (it departs). Each kind
// has a bound of its own, so that none keeps the others out, and what asks for
// nothing, as a push, is not kept out by any.
//
// Of the silent and the departing each engine has its share. Over it, the one that
// has waited longest goes: it has had its time, and a newcomer is served. Of
// those that ask the owner keeps count.

// line names the streams of an engine that wait for the same, oldest first. Who
// does not wait any more is found out when its turn comes, so that the others,
// who are nearly all, cost nothing to take out.
type line struct {
	waiting int // streams, of which those at hand may not stand in the line yet
	tickets []ticket
	next    int // the first ticket that has not been looked at
}

// ticket names a stream of the engine.
type ticket struct{ slot, generation uint32 }

// join puts s at the end. most is how many are meant to wait at a time.
func (q *line) join(s *Stream, most int, waits func(ticket) bool) {
	if len(q.tickets) >= 2*most+Chunk {
		left := q.tickets[:0]
		for _, t := range q.tickets[q.next:] {
			if waits(t) {
				left = append(left, t)
			}
		}
		q.tickets, q.next = left, 0
	}
	q.tickets = append(q.tickets, ticket{s.timer.Slot, s.generation})
}

// oldest takes out the ticket of the one that has waited longest.
func (q *line) oldest(waits func(ticket) bool) (t ticket, ok bool) {
	for q.next < len(q.tickets) && !ok {
		t = q.tickets[q.next]
		q.next++
		ok = waits(t)
	}
	if q.next == len(q.tickets) {
		q.tickets, q.next = q.tickets[:0], 0
	}
	return t, ok
}

// evictions is how many go when one comes: one would do, but when a reload has
// lowered the bound, all that are over it at once would hold up the loop.
const evictions = 2

// share is how many silent streams, and departing ones, the engine may have.
func (e *Engine) share() int {
	n := int64(e.set.Engines)
	return int((e.set.Waiting.Load() + n - 1) / n)
}

// isSilent reports whether the holder of t has not said all of its head.
func (e *Engine) isSilent(t ticket) bool {
	s := e.slab.at(t.slot)
	return s.generation == t.generation && s.state == Heading
}

// isDeparting reports whether the holder of t was refused and still there.
func (e *Engine) isDeparting(t ticket) bool {
	s := e.slab.at(t.slot)
	return s.generation == t.generation && s.departing()
}

// pend gives s another state, and counts it, unless it is a session, to those
// who wait for the same.
func (e *Engine) pend(s *Stream, to State) {
	switch {
	case s.state == Heading:
		e.silent.waiting--
	case s.departing():
		e.departing.waiting--
	}
	switch s.state = to; {
	case to == Heading:
		e.silent.waiting++
	case s.departing():
		e.departing.waiting++
		e.departing.join(s, e.share(), e.isDeparting)
	}
}

// quieten bounds the silent ones after s has come, which may be the last of them.
func (e *Engine) quieten(s *Stream) {
	if s.state != Heading {
		return // most have spoken when they are accepted
	}
	most := e.share()
	e.silent.join(s, most, e.isSilent)
	for range evictions {
		if e.silent.waiting > most && e.evictSilent() {
			e.set.Metrics.Reached(metrics.LimitSilent)
		}
	}
}

// evictSilent sends away the stream that has been silent for longest, unless its
// head has come just now. It is false if there is none.
func (e *Engine) evictSilent() bool {
	t, ok := e.silent.oldest(e.isSilent)
	if !ok {
		return false
	}
	s := e.slab.at(t.slot)
	defer e.Guard(s)
	if e.readHead(s); s.state == Heading {
		e.owner.BadHead(s, nil, ErrBusy)
		e.Drop(s, metrics.ReasonReset) // nothing of it is unread: it is not reset
	}
	return true
}

// hurry bounds the departing ones.
func (e *Engine) hurry() {
	most := e.share()
	for range evictions {
		if e.departing.waiting > most && e.evictDeparting() {
			e.set.Metrics.Reached(metrics.LimitDeparting)
		}
	}
}

// evictDeparting closes the socket of the one that was refused first. It is
// false if there is none.
func (e *Engine) evictDeparting() bool {
	t, ok := e.departing.oldest(e.isDeparting)
	if !ok {
		return false
	}
	s := e.slab.at(t.slot)
	defer e.Guard(s)
	e.Drop(s, metrics.ReasonReset)
	return true
}
