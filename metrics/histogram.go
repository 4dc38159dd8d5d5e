package metrics

import (
	"math"
	"math/bits"
	"time"
)

// The cells of a histogram: a bucket for each bound, one for what is over the
// last, and the sum of all observations as the bits of a float64. A whole
// number of nanoseconds would not do: the lifetimes of a million connections
// overflow 64 bits in five hours.
const (
	bounded        = 10
	overBound      = bounded
	sumCell        = bounded + 1
	histogramCells = bounded + 2
)

// bounds are the inclusive upper bounds of the buckets, in seconds or bytes.
type bounds [bounded]float64

var (
	// From a page that is reloaded at once to a device that stays for days.
	lifetimeBounds = bounds{1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600}
	// Mostly the client's network; at the end the usual deadline.
	handshakeBounds = bounds{0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5}
	// From the same rack to the usual time-out.
	pingBounds = bounds{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 10}
	// Under a millisecond is healthy, over a tick of 200 ms is trouble.
	lagBounds = bounds{0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1}
	// From one write on an idle node to a client that lets its messages wait.
	deliveryBounds = bounds{0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5}
	// From a process beside this one to a time-out.
	upstreamBounds = bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2, 10}
	// Four times the one before, so that sizeBucket need not search.
	sizeBounds = bounds{16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}
)

// observe counts d in the histogram that begins at own[at]. A negative d, which
// only a clock that was set back can give, counts as zero.
func (b *bounds) observe(own []uint64, at int, d time.Duration) {
	v := max(d, 0).Seconds()
	own[at+b.bucket(v)]++
	addFloat(&own[at+sumCell], v)
}

// bucket is the index of the first bound that is not below v.
func (b *bounds) bucket(v float64) int {
	i := 0
	for i < bounded && v > b[i] {
		i++
	}
	return i
}

// observeSize counts a message of n bytes in the histogram that begins at
// own[at].
func observeSize(own []uint64, at, n int) {
	own[at+sizeBucket(n)]++
	addFloat(&own[at+sumCell], float64(n))
}

// sizeBucket is the index of the first of sizeBounds that is not below n.
func sizeBucket(n int) int {
	if n <= 16 {
		return 0
	}
	return min((bits.Len(uint(n-1))-3)/2, overBound)
}

func addFloat(cell *uint64, v float64) {
	*cell = math.Float64bits(math.Float64frombits(*cell) + v)
}
