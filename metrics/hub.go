package metrics

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// At most maxHubs hubs are told apart. The ones beyond, and a hub of that very
// name, are counted together as otherHub.
const (
	maxHubs  = 1024
	otherHub = "other"
)

// The series of a hub that was removed stay for lingering after its last
// connection was counted out and shown, so that a Prometheus that scrapes once
// a minute sees how it ended. At most maxLingering removed hubs without a
// connection are kept; the one that was removed first goes first.
const (
	lingering    = 2 * time.Minute
	maxLingering = 64
)

// Hub is what is counted for one hub: by each loop with cells of its own, and
// for its upstream. The methods of Loop take it, and take nil where no hub is
// known. Its own methods are for any goroutine.
//
// It costs 4 KiB for its upstream, some 600 bytes a loop, and 400 more for each
// reason for which its connections have ended there: under 10 KiB a loop,
// whatever happens.
type Hub struct {
	set      *Set
	name     string // the value of the label
	loops    []*hubCounts
	upstream *Upstream

	// Under the lock of the set:
	users    int       // calls of Set.Hub that no Release has answered
	exported bool      // the series of the upstream
	removal  uint64    // which of the set's the last Release was
	idle     time.Time // when it was seen to be removed and without a connection
}

func newHub(s *Set, name string) *Hub {
	h := &Hub{set: s, name: name, loops: make([]*hubCounts, len(s.loops)), upstream: NewUpstream()}
	for i := range h.loops {
		h.loops[i] = &hubCounts{cells: newCells(hubCells)}
	}
	return h
}

// hubCounts is what one loop counts for one hub.
type hubCounts struct {
	cells
	closed  [reasonCount]atomic.Pointer[cells] // by code; made when the first such connection ends
	changed bool                               // and so in the loop's list of those to publish
}

// ended counts a connection out.
func (h *hubCounts) ended(r Reason, code int) {
	row := h.closed[r].Load()
	if row == nil {
		c := newCells(codeCount)
		row = &c
		h.closed[r].Store(row)
	}
	row.own[code]++
}

func (h *hubCounts) publish() {
	h.cells.publish()
	for r := range h.closed {
		if row := h.closed[r].Load(); row != nil {
			row.publish()
		}
	}
}

// Hub returns what is counted for a hub, and the same as long as anybody has
// it who has not released it. Hubs beyond 1,024 share one, whose label is
// "other".
func (s *Set) Hub(name string) *Hub {
	name = strings.ToValidUTF8(name, "\uFFFD")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	h := s.hubs[name]
	if name != otherHub && (h == nil || h.users == 0) && s.inUse() >= maxHubs {
		name = otherHub
		h = s.hubs[name]
	}
	if h == nil {
		h = newHub(s, name)
		s.hubs[name] = h
	}
	h.users++
	h.idle = time.Time{}
	return h
}

// inUse is the number of hubs that are told apart and not removed.
func (s *Set) inUse() (n int) {
	for name, h := range s.hubs {
		if h.users > 0 && name != otherHub {
			n++
		}
	}
	return n
}

// Release gives back what Set.Hub returned, once a call of it. After the last
// of them the series disappear: at once if nothing has been counted, and
// otherwise some time after the last connection was counted out. Loops that
// still have h may go on counting with it.
func (h *Hub) Release() {
	s := h.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.users--; h.users > 0 {
		return
	}
	s.removals++
	h.removal = s.removals
	if h.untouched() {
		delete(s.hubs, h.name)
	}
	s.sweep()
}

// untouched reports whether nothing has been counted and shown.
func (h *Hub) untouched() bool {
	for _, l := range h.loops {
		for i := range l.seen {
			if l.seen[i].Load() != 0 {
				return false
			}
		}
		for r := range l.closed {
			if l.closed[r].Load() != nil {
				return false
			}
		}
	}
	return true
}

// connections are those that are open, as the loops have shown.
func (h *Hub) connections() (n uint64) {
	for _, l := range h.loops {
		n += l.seen[atHubConnections].Load()
	}
	return n
}

// sweep forgets removed hubs whose time is up, and the oldest of too many.
func (s *Set) sweep() {
	var idle []*Hub
	now := time.Now()
	for name, h := range s.hubs {
		switch {
		case h.users > 0:
		case h.connections() != 0:
			h.idle = time.Time{}
		case h.idle.IsZero():
			h.idle = now
			idle = append(idle, h)
		case now.Sub(h.idle) >= lingering:
			delete(s.hubs, name)
		default:
			idle = append(idle, h)
		}
	}
	if len(idle) <= maxLingering {
		return
	}
	slices.SortFunc(idle, func(a, b *Hub) int { return cmp.Compare(a.removal, b.removal) })
	for _, h := range idle[:len(idle)-maxLingering] {
		delete(s.hubs, h.name)
	}
}

// Upstream returns what the upstream of the hub counts with: always the same,
// whatever the upstream is.
func (h *Hub) Upstream() *Upstream { return h.upstream }

// ExportUpstream says whether the upstream's series are exported: those of one
// that is built in could not move. They are not until somebody says so.
func (h *Hub) ExportUpstream(yes bool) {
	h.set.mu.Lock()
	defer h.set.mu.Unlock()
	h.exported = yes
}
