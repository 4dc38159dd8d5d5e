package metrics

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sharedHistogram is a histogram of durations that any goroutine may add to.
type sharedHistogram struct {
	bounds    *bounds
	cells     []atomic.Uint64
	sum       atomic.Uint64 // the bits of a float64, in seconds
	exemplars [bounded + 1]atomic.Pointer[exemplar]
}

func newSharedHistogram(b *bounds) sharedHistogram {
	return sharedHistogram{bounds: b, cells: make([]atomic.Uint64, b.cells())}
}

// observe counts d. If it was traced, it is the exemplar of its bucket now.
func (h *sharedHistogram) observe(d time.Duration, trace TraceID) {
	v := max(d, 0).Seconds()
	h.cells[h.bounds.cell(v)].Add(1)
	if trace != (TraceID{}) {
		h.exemplars[h.bounds.bucket(v)].Store(&exemplar{trace: trace, value: v, at: time.Now()})
	}
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// distribution is h as it is now. While others observe, the sum may be of one
// observation more than the buckets, or less.
func (h *sharedHistogram) distribution(desc *prometheus.Desc, labels ...string) *distribution {
	d := &distribution{
		desc:   desc,
		labels: prometheus.MakeLabelPairs(desc, labels),
		bounds: h.bounds,
		cells:  make([]uint64, len(h.cells)),
		sum:    math.Float64frombits(h.sum.Load()),
	}
	for i := range d.cells {
		d.cells[i] = h.cells[i].Load()
	}
	for i := range d.exemplars {
		d.exemplars[i] = h.exemplars[i].Load()
	}
	return d
}
