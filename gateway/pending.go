package gateway

import "sluice/metrics"

// A socket that is no session yet, or will not become one, waits for one of
// three things: for its request head (it is silent), for somebody's word about
// it (it asks), or for its peer to leave after a refusal (it departs). Each kind
// has a bound of its own, limits.pending_handshakes, so that none keeps the
// others out, and what asks for nothing, as a push, is not kept out by any.
//
// Of the silent and the departing each loop has its share. Over it, the one that
// has waited longest goes: it has had its time, and a newcomer is served.

// line names the clients of a loop that wait for the same, oldest first. Who
// does not wait any more is found out when its turn comes, so that the others,
// who are nearly all, cost nothing to take out.
type line struct {
	waiting int // clients, of whom those at hand may not stand in the line yet
	tickets []ticket
	next    int // the first ticket that has not been looked at
}

// ticket names a client of the loop.
type ticket struct{ slot, generation uint32 }

// join puts c at the end. most is how many are meant to wait at a time.
func (q *line) join(c *client, most int, waits func(ticket) bool) {
	if len(q.tickets) >= 2*most+chunkSlots {
		left := q.tickets[:0]
		for _, t := range q.tickets[q.next:] {
			if waits(t) {
				left = append(left, t)
			}
		}
		q.tickets, q.next = left, 0
	}
	q.tickets = append(q.tickets, ticket{c.timer.Slot, c.generation})
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

// share is how many silent clients, and departing ones, the loop may have.
func (l *loop) share() int {
	n := int64(len(l.g.loops))
	return int((l.g.settings.Load().pending + n - 1) / n)
}

// isSilent reports whether the holder of t has not said all of its head.
func (l *loop) isSilent(t ticket) bool {
	c := l.slab.at(t.slot)
	return c.generation == t.generation && c.state == heading
}

// isDeparting reports whether the holder of t was refused and still there.
func (l *loop) isDeparting(t ticket) bool {
	c := l.slab.at(t.slot)
	return c.generation == t.generation && c.departing()
}

// departing reports whether c was refused and its peer has not left yet.
func (c *client) departing() bool { return c.state == leaving && !c.upgraded }

// pend gives c another state, and counts it, unless it is a session, to those
// who wait for the same.
func (l *loop) pend(c *client, to state) {
	switch {
	case c.state == heading:
		l.silent.waiting--
	case c.departing():
		l.departing.waiting--
	case c.placed():
		l.g.givePlace(c.hub)
	}
	switch c.state = to; {
	case to == heading:
		l.silent.waiting++
	case c.departing():
		l.departing.waiting++
		l.departing.join(c, l.share(), l.isDeparting)
	}
}

// quieten bounds the silent ones after c has come, which may be the last of them.
func (l *loop) quieten(c *client) {
	if c.state != heading {
		return // most have spoken when they are accepted
	}
	most := l.share()
	l.silent.join(c, most, l.isSilent)
	for range evictions {
		if l.silent.waiting > most && l.evictSilent() {
			l.g.metrics.Reached(metrics.LimitSilent)
		}
	}
}

// evictSilent sends away the client that has been silent for longest, unless its head
// has come just now. It is false if there is none.
func (l *loop) evictSilent() bool {
	t, ok := l.silent.oldest(l.isSilent)
	if !ok {
		return false
	}
	c := l.slab.at(t.slot)
	defer c.guard()
	if l.readHead(c); c.state == heading {
		l.refuse(c, errBusy)
		l.drop(c, metrics.ReasonReset) // nothing of it is unread: it is not reset
	}
	return true
}

// hurry bounds the departing ones.
func (l *loop) hurry() {
	most := l.share()
	for range evictions {
		if l.departing.waiting > most && l.evictDeparting() {
			l.g.metrics.Reached(metrics.LimitDeparting)
		}
	}
}

// evictDeparting closes the socket of the one that was refused first. It is
// false if there is none.
func (l *loop) evictDeparting() bool {
	t, ok := l.departing.oldest(l.isDeparting)
	if !ok {
		return false
	}
	c := l.slab.at(t.slot)
	defer c.guard()
	l.drop(c, metrics.ReasonReset)
	return true
}
