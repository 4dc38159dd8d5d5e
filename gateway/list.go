package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"sluice/gateway/delivery"
	"sluice/session"
)

// errStalled wraps what dataplane tells callers to ask again for.
var errStalled = fmt.Errorf("a loop does not answer: %w", context.DeadlineExceeded)

// errSurvey is a panic, which the log tells.
var errSurvey = errors.New("a loop has failed to list its sessions")

// List implements [delivery.Node]. A page is in the order of loops and slots.
// A session stays in its slot, so that one which is there while pages are
// turned is on one of them, and on one only.
func (g *Gateway) List(ctx context.Context, t delivery.Target, from delivery.Cursor, limit int) (page delivery.Page, err error) {
	h := g.settings.Load().hubs.Named(t.Hub)
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
		if !l.post(letter{run: s.run}) {
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
			l.Panicked(v)
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
	begin := l.Micros()
	for i := 0; s.next(l); i++ {
		if i%64 == 63 && l.Since(begin) > slice {
			return false
		}
		if c := l.at(s.cursor); s.means(l, c) {
			if s.more = len(s.found) == s.most; s.more {
				break
			}
			s.found = append(s.found, found{c.Ref(), c.UserID()})
		}
		s.cursor++
	}
	return true
}

// next moves the cursor to the slot to be looked at, and is false if there is
// none.
func (s *survey) next(l *loop) bool {
	if !s.few {
		return s.cursor < l.Slots()
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
