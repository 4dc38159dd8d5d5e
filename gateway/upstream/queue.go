package upstream

import (
	"container/heap"
	"time"

	"sluice/gateway/trace"
	"sluice/metrics"
	"sluice/session"
)

// A lane is what is served in the order of arrival. The lanes take turns, so
// that a hundred thousand farewells do not make those wait who are still there,
// nor the other way round.
type lane uint8

const (
	clients lane = iota // somebody waits for the answer
	farewells

	lanes
)

func (l lane) other() lane { return farewells - l }

// limit is what the bound of the lane is counted as.
func (l lane) limit() metrics.UpstreamLimit {
	if l == farewells {
		return metrics.LimitFarewells
	}
	return metrics.LimitWaiting
}

// Pending is an event that was taken and not answered yet. Times are those of
// the driver's clock. It is the schedule's while it waits, and the driver's
// while it is attempted and when it has left.
type Pending struct {
	Call Call // what an attempt is to deliver

	sink    Sink
	share   *session.Share // that its data are charged to
	span    trace.Span
	failure *Failure        // of the last attempt; nil: there was none yet
	doubt   bool            // an attempt of a connect event may have been accepted
	end     metrics.Outcome // how it has fared that was given up
	era     uint64          // of the breaker, when the attempt began

	began    time.Duration
	lastTurn time.Duration // a first attempt later than this would be too short to succeed
	deadline time.Duration

	lane       lane
	lined      bool // belongs in its lane, and does not wait for the next attempt or the end
	prev, next *Pending
	wake       time.Duration // when something else becomes of it
	place      int           // in the agenda
}

// allow sets what time p has, from began on, and that it belongs in line.
func (p *Pending) allow(began, budget, timeout time.Duration) {
	p.began = began
	p.deadline = began + budget
	p.lastTurn = p.deadline - min(budget, timeout)/leastShare
	p.wake, p.lined = p.lastTurn, true
	if p.Call.Type == Disconnected {
		p.lane = farewells
	}
}

// leastShare is the part of an attempt's time that must be left for it to be
// made. An upstream that is overloaded would else get its events just before
// their budgets end, and answer nobody.
const leastShare = 10

// queue holds the events that wait: for their turn, in lanes, and for a moment,
// in the agenda. All are in the agenda, and those that may be attempted also
// stand in their lane. It is not safe for concurrent use.
type queue struct {
	metrics *metrics.Upstream
	lanes   [lanes]line
	waiting [lanes]int // in line or not
	agenda  agenda
	last    lane // that had its turn

	farewellsFirst bool // there are no turns
}

// add puts p in, which something becomes of when it wakes, and at the end of its
// lane, if it belongs there.
func (q *queue) add(p *Pending) {
	if p.lined {
		q.lanes[p.lane].push(p)
	}
	heap.Push(&q.agenda, p)
	q.count(p.lane, 1)
}

// empty reports whether nothing waits for its turn.
func (q *queue) empty() bool { return q.lanes[clients].first == nil && q.lanes[farewells].first == nil }

// weed takes some of those out of line that would be next and whose turn has not
// come in time; they are still due. It reports whether there may be more.
func (q *queue) weed(now time.Duration) (more bool) {
	steps := 0
	for l := range q.lanes {
		for p := q.lanes[l].first; p != nil && p.wake <= now; p = q.lanes[l].first {
			if steps++; steps > mostWeeded {
				return true
			}
			q.stepOut(p)
		}
	}
	return false
}

// mostWeeded bounds what is done at a time.
const mostWeeded = 64

// take removes the event whose turn it is. The queue is not empty.
func (q *queue) take() *Pending {
	turn := q.last.other()
	if q.farewellsFirst {
		turn = farewells
	}
	if q.lanes[turn].first == nil {
		turn = turn.other()
	}
	q.last = turn
	p := q.lanes[turn].first
	q.remove(p)
	return p
}

// remove takes p out, wherever it is. It still knows whether it belongs in line.
func (q *queue) remove(p *Pending) {
	if p.lined {
		q.lanes[p.lane].remove(p)
	}
	heap.Remove(&q.agenda, p.place)
	q.count(p.lane, -1)
	if len(q.agenda) == 0 && cap(q.agenda) > keptAgenda {
		q.agenda = nil // of a bad time that is over
	}
}

// keptAgenda is how many entries an empty agenda keeps room for.
const keptAgenda = 1024

// step does the next thing that is due. It returns the event whose budget is
// used up, which has left the queue, if it was that; more is false if nothing
// was due.
func (q *queue) step(now time.Duration) (over *Pending, more bool) {
	if len(q.agenda) == 0 || q.agenda[0].wake > now {
		return nil, false
	}
	p := q.agenda[0]
	switch {
	case now >= p.deadline:
		q.remove(p)
		return p, true
	case p.lined:
		q.stepOut(p)
	default:
		p.lined = true
		q.lanes[p.lane].push(p)
		q.expire(p)
	}
	return nil, true
}

// pull removes one, the first of a lane before those that are in none, or
// returns nil.
func (q *queue) pull() (p *Pending) {
	switch {
	case q.lanes[clients].first != nil:
		p = q.lanes[clients].first
	case q.lanes[farewells].first != nil:
		p = q.lanes[farewells].first
	case len(q.agenda) > 0:
		p = q.agenda[len(q.agenda)-1]
	default:
		return nil
	}
	q.remove(p)
	return p
}

// clear removes all, and returns them.
func (q *queue) clear() []*Pending {
	all := q.agenda
	for l := range lanes {
		q.count(l, -q.waiting[l])
	}
	q.agenda, q.lanes = nil, [lanes]line{}
	return all
}

func (q *queue) count(l lane, delta int) {
	q.waiting[l] += delta
	if l == clients {
		q.metrics.Waiting(delta)
	} else {
		q.metrics.Farewells(delta)
	}
}

// stepOut takes p out of line, whose turn has not come in time.
func (q *queue) stepOut(p *Pending) {
	p.lined = false
	q.lanes[p.lane].remove(p)
	q.expire(p)
}

// expire has p, which is in the agenda, given up when its budget is used up.
func (q *queue) expire(p *Pending) {
	p.wake = p.deadline
	heap.Fix(&q.agenda, p.place)
}

// line is a queue from whose middle one can leave.
type line struct{ first, last *Pending }

func (l *line) push(p *Pending) {
	p.prev, p.next = l.last, nil
	if l.last == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
}

func (l *line) remove(p *Pending) {
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
}

// agenda is a heap by wake.
type agenda []*Pending

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].wake < a[j].wake }

func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}

func (a *agenda) Push(x any) {
	p := x.(*Pending)
	p.place = len(*a)
	*a = append(*a, p)
}

func (a *agenda) Pop() any {
	last := len(*a) - 1
	p := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	return p
}
