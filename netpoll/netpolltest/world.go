package netpolltest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sluice/netpoll"
)

// World is a simulated machine.
type World struct {
	// Limit is how many descriptors there may be; 0: no limit.
	Limit int
	// Room is how many bytes a direction of a connection holds that nobody has read. Connections keep what was in force when
	// they were made.
	Room int
	// Cost, if not zero, is how much time a loop may need between two readings of its clock: each reading lets some of it
	// go by, as the seed decides.
	Cost time.Duration
	// Service answers the connections that loops begin; nil: nobody listens.
	Service Service
	// Trace, if not nil, is told everything that happens: two runs of one seed tell the same.
	Trace func(format string, args ...any)

	random  *rand.Rand
	now     time.Duration
	wall    time.Duration // that the time of day is ahead of now
	open    []opened      // by descriptor
	loops   []*system
	flying  []*direction // what is on its way, in no order
	agenda  agenda
	entered uint64 // in the agenda, so far
	peers   int
}

// opened is what a descriptor stands for: a socket or a listener.
type opened interface {
	// ready is the mask of epoll events that hold now.
	ready() netpoll.Event
	// watchers are the poller entries of it.
	watchers() *[]*entry
}

// New returns a world whose order of events the seed decides.
func New(seed uint64) *World {
	return &World{random: rand.New(rand.NewPCG(seed, 0x5157a7e)), Room: 64 << 10}
}

// Rand is the world's randomness, for whoever acts in it: so that one seed decides everything.
func (w *World) Rand() *rand.Rand { return w.random }

// Now is the virtual time.
func (w *World) Now() time.Duration { return w.now }

// Wall is the time of day. It goes on with the virtual time, but for jumps.
func (w *World) Wall() time.Time { return time.Unix(1_800_000_000, 0).Add(w.now + w.wall) }

// Jump sets the time of day forward, or back, as an administrator does. The clocks of loops do not mind.
func (w *World) Jump(d time.Duration) { w.wall += d }

// Stop lets d go by in which no loop runs, as when a process is stopped and goes on.
func (w *World) Stop(d time.Duration) { w.now += d }

// Open is how many descriptors are open.
func (w *World) Open() (n int) {
	for _, o := range w.open {
		if o != nil {
			n++
		}
	}
	return n
}

// After has f called when d has gone by, as a step of its own. Things that are due at the same time happen in the order of the
// calls.
func (w *World) After(d time.Duration, f func()) {
	w.entered++
	heap.Push(&w.agenda, &appointment{at: w.now + max(d, 0), order: w.entered, do: f})
}

// Step lets one thing happen, and reports whether there was one. Time goes on only when nothing can happen now.
func (w *World) Step() bool {
	if w.step() {
		return true
	}
	if len(w.agenda) == 0 {
		return false
	}
	a := heap.Pop(&w.agenda).(*appointment)
	w.now = max(w.now, a.at)
	w.trace("at %v", w.now)
	a.do()
	return true
}

// step lets something happen that can happen now.
func (w *World) step() bool {
	runnable := 0
	for _, s := range w.loops {
		if s.runnable() {
			runnable++
		}
	}
	n := len(w.flying) + runnable
	if n == 0 {
		return w.due()
	}
	k := w.random.IntN(n)
	if k < len(w.flying) {
		w.flying[k].arrive()
		return true
	}
	k -= len(w.flying)
	for _, s := range w.loops {
		if !s.runnable() {
			continue
		}
		if k == 0 {
			s.turn()
			return true
		}
		k--
	}
	return false
}

// due lets the next appointment of the present happen.
func (w *World) due() bool {
	if len(w.agenda) == 0 || w.agenda[0].at > w.now {
		return false
	}
	heap.Pop(&w.agenda).(*appointment).do()
	return true
}

// Settle steps until nothing can happen without time going on, at most so many times, and reports whether it came to that.
func (w *World) Settle(most int) bool {
	for range most {
		if !w.step() {
			return true
		}
	}
	return false
}

// Pass lets d go by, and everything that happens meanwhile, in at most so many steps; it reports whether they sufficed.
func (w *World) Pass(d time.Duration, most int) bool {
	over := false
	w.After(d, func() { over = true })
	for range most {
		if over {
			return true
		}
		w.Step()
	}
	return over
}

func (w *World) trace(format string, args ...any) {
	if w.Trace != nil {
		w.Trace(format, args...)
	}
}

// allot gives o the lowest descriptor that is free, as POSIX wants it.
func (w *World) allot(o opened) (fd int, err error) {
	for fd = 0; fd < len(w.open) && w.open[fd] != nil; fd++ {
	}
	if w.Limit > 0 && w.Open() >= w.Limit {
		return -1, fmt.Errorf("%w: %w", netpoll.ErrNoDescriptors, os.NewSyscallError("accept4", unix.EMFILE))
	}
	if fd == len(w.open) {
		w.open = append(w.open, nil)
	}
	w.open[fd] = o
	return fd, nil
}

// find returns what fd stands for. A descriptor that is not open is a fault of the caller's, which the kernel may answer with
// somebody else's bytes: here it ends the run.
func (w *World) find(fd int, what string) opened {
	if fd < 0 || fd >= len(w.open) || w.open[fd] == nil {
		panic(fmt.Sprintf("netpolltest: %s of descriptor %d, which is not open", what, fd))
	}
	return w.open[fd]
}

// free gives a descriptor back. One that a poller still watches is a fault: the callback would never be forgotten.
func (w *World) free(fd int) {
	o := w.find(fd, "close")
	if left := *o.watchers(); len(left) > 0 {
		panic(fmt.Sprintf("netpolltest: close of descriptor %d, which is still in a poller", fd))
	}
	w.open[fd] = nil
}

// stir makes the pollers look at o that ask for one of the events in key, or all if it is empty: something has changed about o
// (ep_poll_callback in the kernel). Of those that share it exclusively, one looks.
func (w *World) stir(o opened, key netpoll.Event) {
	var exclusive []*entry
	for _, e := range *o.watchers() {
		if key != 0 && e.events&key == 0 {
			continue
		}
		if e.events&netpoll.Exclusive != 0 {
			exclusive = append(exclusive, e)
			continue
		}
		e.stir()
	}
	if len(exclusive) > 0 {
		exclusive[w.random.IntN(len(exclusive))].stir()
	}
}

// An appointment is something that happens at a time.
type appointment struct {
	at    time.Duration
	order uint64
	do    func()
}

type agenda []*appointment

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].order < a[j].order
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(*appointment)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	(*a)[len(*a)-1] = nil
	*a = (*a)[:len(*a)-1]
	return last
}
