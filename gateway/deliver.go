package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/metrics"
	"sluice/session"
)

// loopPatience is how long the loops are waited for that carry an action out.
const loopPatience = time.Second

// Do implements [delivery.Node]. A message is encoded once, and once more for
// each deflate window in use. A session gets it once, if it is open when its
// loop comes to it, and meant then.
//
// Room is reserved with all loops that it concerns before any of them hears of
// it: who is told that it was too much repeats it, and nobody shall get a
// message twice.
func (g *Gateway) Do(ctx context.Context, t delivery.Target, a delivery.Action) (result delivery.Result, err error) {
	h := g.settings.Load().hub(t.Hub)
	if h == nil {
		return result, delivery.ErrNoHub
	}
	o := &order{hub: h, target: t, action: a, posted: g.uptime()}
	if !g.resolve(o) {
		return result, nil
	}
	size := 0
	if send, ok := a.(delivery.Send); ok {
		size = letterSize + len(send.Data)
		if o.plain = g.shared(session.AppendFrame(nil, send.Op, send.Data)); o.plain == nil {
			return result, delivery.ErrFull
		}
		defer o.plain.Release()
	}
	loops, ok := g.reserveRoom(o, size)
	if !ok {
		return result, delivery.ErrFull
	}
	answers := make(chan delivery.Result, len(loops))
	asked := 0
	for _, l := range loops {
		e := &errand{order: o, size: size, answer: answers}
		if o.plain != nil {
			o.plain.Retain(1)
			e.frames[0] = o.plain
		}
		if !l.postReserved(letter{run: e.run}) { // it has ended since, and its sessions with it
			e.release()
			l.mail.delivered(size)
			continue
		}
		asked++
	}
	timer := time.NewTimer(loopPatience)
	defer timer.Stop()
	failed := 0
	for result.Pending = asked; result.Pending > 0; result.Pending-- {
		select {
		case r := <-answers:
			failed += r.Pending
			result.Matched += r.Matched
			result.Queued += r.Queued
			result.Dropped += r.Dropped
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		break
	}
	result.Pending += failed
	if _, joining := a.(delivery.Join); joining && result.Dropped > 0 && err == nil {
		err = delivery.ErrTooManyGroups
	}
	return result, err
}

// reserveRoom takes size bytes of the mailbox of every loop that o concerns. It
// is false, and nothing is taken, if one of them does not have it.
func (g *Gateway) reserveRoom(o *order, size int) (loops []*loop, ok bool) {
	for _, l := range g.loops {
		if !o.concerns(l) {
			continue
		}
		if !l.reserve(size) {
			for _, l := range loops {
				l.mail.delivered(size)
			}
			return nil, false
		}
		loops = append(loops, l)
	}
	return loops, true
}

// shared charges a frame that many may hold to the budget, until nobody does.
// It is nil when the budget is used up.
func (g *Gateway) shared(frame []byte) *session.Shared {
	size := cap(frame) + session.SharedSize
	if !g.budget.Take(size) {
		g.metrics.Reached(metrics.LimitBuffered)
		return nil
	}
	return session.NewShared(frame, func([]byte) { g.budget.Give(size) })
}

// order is an action as all loops share it.
type order struct {
	hub      *hub
	target   delivery.Target
	action   delivery.Action
	one      session.Ref // the connection meant, if the target is one
	excluded map[session.Ref]struct{}
	plain    *session.Shared // the frame of a message, not compressed
	posted   time.Duration   // on the node's clock
}

// resolve decodes the ids in an order. It is false if nobody can be meant.
func (g *Gateway) resolve(o *order) bool {
	if o.target.Kind == delivery.Connection {
		ref, ok := g.ids.Decode(o.target.Name)
		if !ok || ref.Node != g.node || int(ref.Loop) >= len(g.loops) {
			return false
		}
		o.one = ref
	}
	for _, id := range o.target.Excluded {
		if ref, ok := g.ids.Decode(id); ok {
			if o.excluded == nil {
				o.excluded = make(map[session.Ref]struct{}, len(o.target.Excluded))
			}
			o.excluded[ref] = struct{}{}
		}
	}
	return true
}

// concerns reports whether somebody who is meant may be on l. Any goroutine:
// it spares loops the wake-up.
func (o *order) concerns(l *loop) bool {
	switch o.target.Kind {
	case delivery.User:
		return o.hub.rosters[l.index].users.May(o.target.Name)
	case delivery.Group:
		return o.hub.rosters[l.index].groups.May(o.target.Name)
	case delivery.Connection:
		return int(o.one.Loop) == l.index
	}
	return true
}

// errand is an order on its way through the sessions of one loop.
type errand struct {
	*order
	size   int // what it takes of the mailbox
	result delivery.Result
	answer chan<- delivery.Result
	frames [16]*session.Shared // of a message, by window bits; 0: not compressed

	begun  bool
	done   bool
	slots  []uint32 // of who may be meant, unless that is everybody
	cursor uint32   // the next of them, or the next slot
}

// run visits sessions for a slice of time, and is true when all had their
// turn. Each is visited once, whoever comes and goes meanwhile.
//
// A panic while a session is visited ends that session. Any other ends the
// errand, of which nobody knows then whom it has not reached.
func (e *errand) run(l *loop) (done bool) {
	defer func() {
		if v := recover(); v != nil {
			l.panicked(v)
			e.result.Pending = 1
			e.finish(l)
			done = true
		}
	}()
	if !e.begun {
		e.begun = true
		e.slots = l.candidates(e.order)
	}
	everybody := e.target.Kind == delivery.All
	end := uint32(len(e.slots))
	if everybody {
		end = l.slab.slots()
	}
	for begin := l.micros(); e.cursor < end; e.cursor++ {
		if e.cursor%64 == 63 && l.since(begin) > slice {
			return false
		}
		slot := e.cursor
		if !everybody {
			slot = e.slots[slot]
		}
		e.visit(l.slab.at(slot))
	}
	e.finish(l)
	return true
}

// finish gives back what the errand holds, and answers whoever waits for it.
func (e *errand) finish(l *loop) {
	if e.done {
		return
	}
	e.done = true
	e.release()
	if e.size > 0 {
		l.mail.delivered(e.size)
		l.metrics.Delivered(l.g.uptime() - e.posted)
	}
	e.answer <- e.result
}

func (e *errand) release() {
	for _, f := range e.frames {
		if f != nil {
			f.Release()
		}
	}
}

// candidates returns the slots of the sessions on l that o may mean, unless
// that is everybody. It looks at none of them: they may be many.
func (l *loop) candidates(o *order) []uint32 {
	r := &o.hub.rosters[l.index]
	switch o.target.Kind {
	case delivery.Connection:
		if l.slab.find(o.one) != nil {
			return []uint32{o.one.Slot}
		}
	case delivery.User:
		return r.users.Slots(o.target.Name, nil)
	case delivery.Group:
		return r.groups.Slots(o.target.Name, nil)
	}
	return nil
}

// means reports whether the order is for c.
func (o *order) means(c *client) bool {
	if c.state != open || c.hub != o.hub || c.loop.dismissed(c) {
		return false
	}
	switch o.target.Kind { // it may have left meanwhile, or be another
	case delivery.Connection:
		if c.generation != o.one.Generation {
			return false
		}
	case delivery.User:
		if c.UserID() != o.target.Name {
			return false
		}
	case delivery.Group:
		if !c.InGroup(o.target.Name) {
			return false
		}
	}
	if o.excluded != nil {
		if _, not := o.excluded[c.ref()]; not {
			return false
		}
	}
	return o.target.Filter == nil || o.target.Filter.Match(c)
}

// visit does what the errand is about to c, if it is meant.
func (e *errand) visit(c *client) {
	if !e.means(c) {
		return
	}
	if find, ok := e.action.(delivery.Find); ok && find.Permission != nil && !c.permits(*find.Permission) {
		return
	}
	defer c.guard()
	e.result.Matched++
	if e.do(c.loop, c) {
		e.result.Queued++
	} else {
		e.result.Dropped++
	}
}

// do is false when it cannot be done.
func (e *errand) do(l *loop, c *client) bool {
	switch a := e.action.(type) {
	case delivery.Send:
		return e.send(l, c, &a)
	case delivery.Close:
		l.dismiss(c, a.Status(), metrics.ReasonBackend, a.Reason)
	default:
		return l.change(c, a)
	}
	return true
}

func (e *errand) send(l *loop, c *client, m *delivery.Send) bool {
	l.metrics.Sent(c.hub.metrics, len(m.Data))
	var ttl session.Tick
	if m.TTL > 0 {
		left := m.TTL - (l.g.uptime() - e.posted)
		if left <= 0 {
			l.dropped(c, metrics.DropExpired, 1)
			return false
		}
		ttl = ticks(config.Duration(left))
	}
	f := e.frames[c.windowBits]
	if f == nil {
		if f = l.g.shared(l.deflate.AppendFrame(nil, m.Op, m.Data, int(c.windowBits))); f == nil {
			l.dropped(c, metrics.DropMemory, 1)
			return false
		}
		e.frames[c.windowBits] = f
	}
	l.sendShared(c, f, ttl)
	return c.state == open
}

// errStalled wraps what dataplane tells callers to ask again for.
var errStalled = fmt.Errorf("a loop does not answer: %w", context.DeadlineExceeded)

// errSurvey is a panic, which the log tells.
var errSurvey = errors.New("a loop has failed to list its sessions")

// List implements [delivery.Node]. A page is in the order of loops and slots.
// A session stays in its slot, so that one which is there while pages are
// turned is on one of them, and on one only.
func (g *Gateway) List(ctx context.Context, t delivery.Target, from delivery.Cursor, limit int) (page delivery.Page, err error) {
	h := g.settings.Load().hub(t.Hub)
	if h == nil {
		return page, delivery.ErrNoHub
	}
	o := &order{hub: h, target: t}
	if !g.resolve(o) {
		return page, nil
	}
	timer := time.NewTimer(loopPatience)
	defer timer.Stop()
	for i := int(from.Loop); i < len(g.loops); i, from.Slot = i+1, 0 {
		l := g.loops[i]
		if !o.concerns(l) {
			continue
		}
		s := &survey{order: o, cursor: from.Slot, most: limit - len(page.Entries), done: make(chan struct{})}
		if !l.post(letter{run: s.run}, 0) {
			continue
		}
		select {
		case <-s.done:
		case <-timer.C:
			s.forgotten.Store(true)
			if len(page.Entries) == 0 {
				return delivery.Page{}, errStalled
			}
			// What there is makes a page. The next one begins with that loop.
			page.Next = &delivery.Cursor{Loop: uint16(i), Slot: from.Slot}
			return page, nil
		case <-ctx.Done():
			s.forgotten.Store(true)
			return delivery.Page{}, ctx.Err()
		}
		if s.failed {
			return delivery.Page{}, errSurvey
		}
		for _, m := range s.found {
			page.Entries = append(page.Entries, delivery.Entry{ConnectionID: g.ids.Encode(m.ref), UserID: m.user})
		}
		if s.more {
			page.Next = &delivery.Cursor{Loop: uint16(i), Slot: s.cursor}
			break
		}
	}
	return page, nil
}

// survey collects the sessions of a list on one loop, by slot.
type survey struct {
	*order
	cursor uint32 // the slot to go on at
	most   int
	found  []found
	more   bool // there is at least one behind
	begun  bool
	few    bool     // slots are all that may be meant; otherwise every slot is looked at
	slots  []uint32 // ascending, from cursor on
	done   chan struct{}
	failed bool // by a panic

	forgotten atomic.Bool // nobody waits any more
}

type found struct {
	ref  session.Ref
	user string
}

// sortable is how many slots are put in order at once: a quarter of a
// millisecond's work.
const sortable = 4096

// run looks at sessions for a slice of time, and is true when it has enough,
// or all, or for nobody.
func (s *survey) run(l *loop) (done bool) {
	defer func() {
		if v := recover(); v != nil {
			l.panicked(v)
			s.failed = true
			done = true
		}
		if done {
			close(s.done)
		}
	}()
	if s.forgotten.Load() {
		return true
	}
	if !s.begun {
		s.begun = true
		s.slots = l.candidates(s.order)
		if s.few = s.target.Kind != delivery.All && len(s.slots) <= sortable; s.few {
			slices.Sort(s.slots)
			from, _ := slices.BinarySearch(s.slots, s.cursor)
			s.slots = s.slots[from:]
		}
	}
	begin := l.micros()
	for i := 0; s.next(l); i++ {
		if i%64 == 63 && l.since(begin) > slice {
			return false
		}
		if c := l.slab.at(s.cursor); s.means(c) {
			if s.more = len(s.found) == s.most; s.more {
				break
			}
			s.found = append(s.found, found{c.ref(), c.UserID()})
		}
		s.cursor++
	}
	return true
}

// next moves the cursor to the slot to be looked at, and is false if there is
// none.
func (s *survey) next(l *loop) bool {
	if !s.few {
		return s.cursor < l.slab.slots()
	}
	for len(s.slots) > 0 && s.slots[0] < s.cursor {
		s.slots = s.slots[1:]
	}
	if len(s.slots) == 0 {
		return false
	}
	s.cursor = s.slots[0]
	return true
}
