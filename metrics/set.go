package metrics

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// At most maxHubs hubs are told apart. The ones beyond, and a hub of that very
// name, are counted together as otherHub.
const (
	maxHubs  = 1024
	otherHub = "other"
)

// otherKind counts the protocol errors of kinds that were not announced.
const otherKind = "other"

// Options are what a Set must know before anything is counted.
type Options struct {
	Version, Revision, GoVersion string // labels of sluice_build_info

	Loops              int      // how many loops the node runs
	Hubs               []string // hubs known from the start; HubIndex adds others
	ProtocolErrorKinds []string // values of the kind label of sluice_protocol_errors_total
}

// Set is the metrics of one node. It is a prometheus.Collector, and safe for
// all goroutines.
type Set struct {
	build Options
	kinds []string
	loops []*Loop

	auth    [authFailureCount]atomic.Uint64
	reached [limitCount]atomic.Uint64
	answers [statusCount]atomic.Uint64

	mu    sync.Mutex
	hubs  []string // by index
	other bool     // the index of otherHub is in use, too
	index map[string]int
	funcs []number

	upstreams map[string]*Upstream // by the hub's label
}

// number is a metric that a function knows the value of.
type number struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	f    func() float64
}

// New returns the metrics of a node, all zero.
func New(o Options) *Set {
	s := &Set{
		build: o,
		kinds: withOther(o.ProtocolErrorKinds),
		loops: make([]*Loop, o.Loops),
		index: map[string]int{otherHub: maxHubs},

		upstreams: make(map[string]*Upstream),
	}
	for i := range s.loops {
		s.loops[i] = newLoop(len(s.kinds))
	}
	for _, name := range o.Hubs {
		s.HubIndex(name)
	}
	return s
}

// withOther returns the kinds once each, and otherKind last.
func withOther(kinds []string) []string {
	var out []string
	for _, k := range kinds {
		if k != otherKind && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return append(out, otherKind)
}

// Loop returns what the loop i counts with, 0 <= i < Options.Loops. One
// goroutine at a time may use it.
func (s *Set) Loop(i int) *Loop { return s.loops[i] }

// Loops returns how many loops s was made for.
func (s *Set) Loops() int { return len(s.loops) }

// KindIndex returns the index of a kind of protocol error for
// Loop.ProtocolError.
func (s *Set) KindIndex(kind string) int {
	if i := slices.Index(s.kinds, kind); i >= 0 {
		return i
	}
	return len(s.kinds) - 1
}

// HubIndex returns the index of a hub for the methods of Loop. A name that is
// new is added; the index of a name never changes. Names beyond 1,024 share one
// index and the label value "other".
func (s *Set) HubIndex(name string) int {
	name = strings.ToValidUTF8(name, "\uFFFD")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hubIndex(name)
}

// hubIndex is HubIndex for a valid name, under the lock.
func (s *Set) hubIndex(name string) int {
	i, known := s.index[name]
	if !known {
		i = len(s.hubs) // maxHubs at most, which is the index of otherHub
	}
	switch {
	case i == maxHubs:
		s.other = true
	case !known:
		s.hubs = append(s.hubs, name)
		s.index[name] = i
	}
	for _, l := range s.loops {
		if l.hubs[i].Load() == nil {
			l.hubs[i].Store(&hub{cells: newCells(hubCells)})
		}
	}
	return i
}

// Upstream returns what the upstream of a hub counts with: the same for the
// same hub, whose upstream may change. Hubs beyond 1,024 share one, as they
// share one index.
func (s *Set) Upstream(hub string) *Upstream {
	hub = strings.ToValidUTF8(hub, "\uFFFD")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hubIndex(hub) == maxHubs {
		hub = otherHub
	}
	u := s.upstreams[hub]
	if u == nil {
		u = NewUpstream()
		s.upstreams[hub] = u
	}
	return u
}

// AuthFailed counts a token or key that was not accepted. Any goroutine.
func (s *Set) AuthFailed(f AuthFailure) { s.auth[f].Add(1) }

// Reached counts something that was refused because a bound of the node was
// reached. Any goroutine.
func (s *Set) Reached(l Limit) { s.reached[l].Add(1) }

// Answered counts a request to the data plane by the HTTP status that it was
// answered with. Any goroutine.
func (s *Set) Answered(status int) {
	s.answers[min(max(status-leastStatus, 0), statusCount-1)].Add(1)
}

// GaugeFunc exports a value of the node under a name of its own. f is called at
// each scrape, from any goroutine, and must not block.
func (s *Set) GaugeFunc(name, help string, f func() float64) {
	s.export(name, help, prometheus.GaugeValue, f)
}

// CounterFunc is GaugeFunc for a value that only grows. Its name ends in _total.
func (s *Set) CounterFunc(name, help string, f func() float64) {
	s.export(name, help, prometheus.CounterValue, f)
}

func (s *Set) export(name, help string, kind prometheus.ValueType, f func() float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.funcs = append(s.funcs, number{prometheus.NewDesc(name, help, nil, nil), kind, f})
}
