package gateway

import (
	"math/bits"
	"sync/atomic"
	"time"

	"sluice/gateway/engine"
	"sluice/metrics"
	"sluice/session"
)

// relief gets the node's buffers back below their limit: the clients that hold
// the most of them are closed, on whatever loops they are. Each round is two
// passes over the slots of all loops, in slices: the first adds up what is held
// by weight, the second closes those over the weight at which enough is freed.
//
// What a client weighs is not always what its end frees: others may need the
// same shared frames. So a round that has not freed enough is followed by one
// that closes twice as much, and there are few of them.
type relief struct {
	g       *Gateway
	target  int64 // of the budget's use
	round   uint
	culling bool // it is the second pass

	loops   atomic.Int32                // that have not finished the pass
	weights [weightClasses]atomic.Int64 // bytes held, by class
	least   int                         // the lowest class of which clients are closed
	share   atomic.Int64                // bytes to be freed of that class
	visited atomic.Int64                // slots
	closed  atomic.Int64                // clients, in this round
	total   int64                       // of all rounds before
}

const (
	weightClasses = 512
	// reliefRounds is where doubling ends: all is closed by then.
	reliefRounds = 20
	// calmTime is how long nobody looks again at holders who have too little.
	calmTime = time.Second
)

// weightClass orders weights, those of one class within an eighth.
func weightClass(w int) int {
	n := bits.Len(uint(w))
	if n <= 4 {
		return w
	}
	return n<<3 | w>>(n-4)&7
}

// relieve begins a relief, unless one is under way or there was nothing to be
// gained a moment ago. Any goroutine.
func (g *Gateway) relieve() {
	if g.uptime() < time.Duration(g.calm.Load()) || !g.relieving.CompareAndSwap(false, true) {
		return
	}
	// An eighth is to be free, and a sixteenth more than now.
	limit := g.budget.Limit()
	r := &relief{g: g, target: min(limit/8*7, g.budget.Used()-limit/16)}
	r.pass()
}

// pass sends r through the slots of all loops.
func (r *relief) pass() {
	r.loops.Store(int32(len(r.g.loops)))
	for _, l := range r.g.loops {
		s := &reliefSweep{relief: r}
		if !l.post(letter{run: s.run}) {
			r.passed()
		}
	}
}

// passed says that one loop has finished the pass. The last one goes on.
func (r *relief) passed() {
	if r.loops.Add(-1) > 0 {
		return
	}
	if !r.culling {
		if r.choose() {
			r.culling = true
			r.pass()
			return
		}
		r.g.calm.Store(int64(r.g.uptime() + calmTime))
		r.end()
		return
	}
	closed := r.closed.Load()
	r.total += closed
	if closed > 0 && r.round < reliefRounds && r.g.budget.Used() > r.target {
		r.round++
		r.culling = false
		r.closed.Store(0)
		for i := range r.weights {
			r.weights[i].Store(0)
		}
		r.pass()
		return
	}
	r.end()
}

// choose finds out who is to be closed. It is false if all that clients hold is
// a small part of what is needed: others use the budget, and nobody's end would
// help.
func (r *relief) choose() bool {
	need, held := r.g.budget.Used()-r.target, int64(0)
	for i := range r.weights {
		held += r.weights[i].Load()
	}
	if need <= 0 || held < need/4 {
		return false
	}
	need = min(need<<r.round, held)
	for r.least = weightClasses - 1; ; r.least-- {
		w := r.weights[r.least].Load()
		if w >= need {
			break
		}
		need -= w
	}
	r.share.Store(need)
	return true
}

// end lets those go on who wait for buffers.
func (r *relief) end() {
	if r.total > 0 {
		r.g.log.Warn("buffers were almost used up: the heaviest clients were closed",
			"closed", r.total, "slots_visited", r.visited.Load(), "buffered", r.g.budget.Used(), "limit", r.g.budget.Limit())
	}
	r.g.relieving.Store(false)
	for _, l := range r.g.loops {
		l.quench()
	}
}

// reliefSweep is a pass of a relief on one loop.
type reliefSweep struct {
	*relief
	cursor uint32
}

// run looks at clients for a slice of time, and is true when it has seen all.
func (s *reliefSweep) run(l *loop) bool {
	from := s.cursor
	defer func() { s.visited.Add(int64(s.cursor - from)) }()
	for begin := l.Micros(); s.cursor < l.Slots(); s.cursor++ {
		if s.cursor-from >= 64 && s.cursor%64 == 0 && l.Since(begin) > slice {
			return false
		}
		if c := l.at(s.cursor); c.Upgraded() && c.State() != engine.Gone {
			s.visit(l, c)
		}
	}
	s.passed()
	return true
}

func (s *reliefSweep) visit(l *loop, c *client) {
	w := c.Burden()
	if w == 0 {
		return
	}
	switch class := weightClass(w); {
	case !s.culling:
		s.weights[class].Add(int64(w))
	case class < s.least || s.g.budget.Used() <= s.target:
	case class > s.least || s.share.Add(-int64(w)) > -int64(w):
		s.closed.Add(1)
		l.unburden(c)
	}
}

// unburden closes c for what it holds. One that is being closed has had its last
// words, and no more time for reading them.
func (l *loop) unburden(c *client) {
	defer l.Guard(c.Stream)
	if c.State() != engine.Open {
		l.Drop(c.Stream, c.Reason())
		return
	}
	if c.Writing() {
		l.Slow(c.Stream, metrics.ReasonMemory)
		return
	}
	l.Fail(c.Stream, session.StatusTryAgainLater, metrics.ReasonMemory, "out of buffers")
}

// quench lets those go on, in slices, who wait for buffers.
func (l *loop) quench() {
	q := new(engine.Quench)
	l.post(letter{run: func(l *loop) bool { return q.Run(l.Engine, slice) }})
}
