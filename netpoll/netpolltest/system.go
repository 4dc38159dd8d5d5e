package netpolltest

import (
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"sluice/netpoll"
)

// system is a [netpoll.System]: one loop's view of the world.
type system struct {
	world   *World
	index   int
	entries map[int]*entry // of the poller, by descriptor
	pending []*entry       // those that may have something to report; each stands there once
	batch   []fired        // collected, and not called back yet
	onWake  func()
	woken   bool
	onTick  func(due uint64)
	ticks   uint64 // that have ended since the last callback
	still   bool   // it does not tick any more
	muted   bool
	shut    bool
}

// entry is a descriptor in a poller.
type entry struct {
	system  *system
	fd      int
	what    opened
	events  netpoll.Event
	cb      func(netpoll.Event)
	changed bool // since it was reported last; of a level-triggered one it does not matter
	queued  bool // it stands in pending
}

// fired is a callback that will be made, whatever happens to its entry before. One without an entry is of the doorbell or, with
// a tick, of the clock.
type fired struct {
	entry *entry
	ev    netpoll.Event
	tick  bool
}

// System makes a loop.
func (w *World) System() netpoll.System {
	s := &system{world: w, index: len(w.loops), entries: make(map[int]*entry)}
	w.loops = append(w.loops, s)
	return s
}

// runnable reports whether the loop has something to do.
func (s *system) runnable() bool {
	if s.shut {
		return false
	}
	if len(s.batch) > 0 || s.rings() || s.ticked() {
		return true
	}
	kept := s.pending[:0]
	for _, e := range s.pending {
		if e.queued = s.entries[e.fd] == e && e.report() != 0; e.queued {
			kept = append(kept, e)
		}
	}
	clear(s.pending[len(kept):])
	s.pending = kept
	return len(kept) > 0
}

func (s *system) rings() bool  { return s.woken && s.onWake != nil && !s.muted }
func (s *system) ticked() bool { return s.ticks > 0 && !s.still }

// most is how many events a loop collects at once.
const most = 8

// turn makes the next callback, or collects the next batch of them if there is none.
func (s *system) turn() {
	if len(s.batch) == 0 {
		s.collect()
		return
	}
	f := s.batch[0]
	s.batch = s.batch[1:]
	switch {
	case f.entry != nil:
		s.world.trace("loop %d: descriptor %d, events %#x", s.index, f.entry.fd, uint32(f.ev))
		f.entry.cb(f.ev)
	case f.tick && s.ticked():
		s.world.trace("loop %d: tick", s.index)
		due := s.ticks
		s.ticks = 0
		s.onTick(due)
	case !f.tick && s.rings():
		s.world.trace("loop %d: wake", s.index)
		s.woken = false
		s.onWake()
	}
}

// collect is epoll_wait: it takes some of what is ready, in any order. What is level-triggered stays pending.
func (s *system) collect() {
	var ready []fired
	if s.rings() {
		ready = append(ready, fired{})
	}
	if s.ticked() {
		ready = append(ready, fired{tick: true})
	}
	for _, e := range s.pending { // as runnable left it
		ready = append(ready, fired{entry: e, ev: e.report()})
	}
	s.world.random.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	s.batch = ready[:min(len(ready), 1+s.world.random.IntN(most))]
	for _, f := range s.batch {
		if f.entry != nil {
			f.entry.changed = false
		}
	}
}

// report is what epoll_wait would say of e now: 0, nothing.
func (e *entry) report() netpoll.Event {
	if e.events&netpoll.Edge != 0 && !e.changed {
		return 0
	}
	return e.what.ready() & (e.events | netpoll.Hup | netpoll.Err) &^ netpoll.Edge
}

// stir has the poller look at e.
func (e *entry) stir() {
	e.changed = true
	if !e.queued {
		e.queued = true
		e.system.pending = append(e.system.pending, e)
	}
}

func (s *system) Add(fd int, ev netpoll.Event, cb func(netpoll.Event)) error {
	o := s.world.find(fd, "add")
	if s.entries[fd] != nil {
		return os.NewSyscallError("epoll_ctl add", unix.EEXIST)
	}
	e := &entry{system: s, fd: fd, what: o, events: ev, cb: cb}
	s.entries[fd] = e
	list := o.watchers()
	*list = append(*list, e)
	e.stir()
	return nil
}

func (s *system) Mod(fd int, ev netpoll.Event) error {
	e := s.entries[fd]
	if e == nil {
		return os.NewSyscallError("epoll_ctl mod", unix.ENOENT)
	}
	e.events = ev
	e.stir()
	return nil
}

func (s *system) Del(fd int) error {
	e := s.entries[fd]
	if e == nil {
		return os.NewSyscallError("epoll_ctl del", unix.ENOENT)
	}
	delete(s.entries, fd)
	list := e.what.watchers()
	*list = slices.DeleteFunc(*list, func(x *entry) bool { return x == e })
	return nil
}

func (s *system) OnWake(cb func()) error {
	s.onWake = cb
	return nil
}

func (s *system) Wake() { s.woken = true }

func (s *system) OnTick(period time.Duration, cb func(due uint64)) error {
	s.onTick = cb
	next := s.world.now + period
	var tick func()
	tick = func() {
		if s.shut || s.still {
			return
		}
		for ; next <= s.world.now; next += period { // who comes late has several
			s.ticks++
		}
		s.world.After(next-s.world.now, tick)
	}
	s.world.After(period, tick)
	return nil
}

func (s *system) Now() time.Duration {
	w := s.world
	if w.Cost > 0 {
		// Mostly next to nothing, sometimes all of it: what is done in slices is to be interrupted anywhere.
		d := w.random.Uint64N(uint64(w.Cost))
		w.now += time.Duration(d >> (d % 8))
	}
	return w.now
}

func (s *system) StopTicking() { s.still = true }

func (s *system) Mute() { s.muted = true }

func (s *system) Shut() error {
	if s.shut {
		return nil
	}
	if len(s.entries) > 0 {
		panic(fmt.Sprintf("netpolltest: loop %d ends with %d descriptors in its poller", s.index, len(s.entries)))
	}
	s.shut = true
	return nil
}
