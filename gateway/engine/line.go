package engine

// A socket that is not a session yet, or will not become one, waits for one of
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

// share is how many silent streams, and departing ones, the engine may have.
func (e *Engine) share() int {
	n := int64(e.set.Engines)
	return int((e.set.Waiting.Load() + n - 1) / n)
}

// isSilent reports whether the holder of t has not said all of its head.
func (e *Engine) isSilent(t ticket) bool {
	s := e.slab.at(t.slot)
	return s.generation == t.generation && s.silent()
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
	case s.silent():
		e.silent.waiting--
	case s.departing():
		e.departing.waiting--
	}
	switch s.state = to; {
	case s.silent():
		e.silent.waiting++
	case s.departing():
		e.departing.waiting++
		e.departing.join(s, e.share(), e.isDeparting)
	}
}
