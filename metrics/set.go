package metrics

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// otherKind counts the protocol errors of kinds that were not announced.
const otherKind = "other"

// Options are what a Set must know before anything is counted.
type Options struct {
	Version, Revision, GoVersion string // labels of sluice_build_info

	Loops              int      // how many loops the node runs
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
	hubs  map[string]*Hub // by label
	funcs []number

	removals uint64 // of hubs, ever

	none *Hub // what is counted where no hub is known
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
		hubs:  make(map[string]*Hub),
	}
	for i := range s.loops {
		s.loops[i] = newLoop(s, i)
	}
	s.none = newHub(s, "")
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
