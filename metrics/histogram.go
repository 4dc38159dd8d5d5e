package metrics

import (
	"math"
	"time"
)

// A histogram counts for two forms of exposition at once: classic buckets with
// chosen bounds, and native ones, whose bounds are powers of 2^(1/8) (schema 3
// of Prometheus' native histograms). The bounds of both together part the
// numbers into cells, and one addition counts an observation in its cell; both
// forms are exact sums of those.
//
// The sum of all observations is kept as the bits of a float64. A whole number
// of nanoseconds would not do: the lifetimes of a million connections overflow
// 64 bits in five hours.
const (
	schema  = 3
	fine    = 1 << schema // native buckets from one power of two to the next
	bounded = 10          // classic buckets but the last, which has no bound
)

// bounds are those of a histogram, in seconds or bytes.
type bounds struct {
	classic [bounded]float64 // inclusive upper bounds
	// The native buckets lie between 2^low and 2^high. What is not above 2^low
	// is in the zero bucket, and what is above 2^high, which is far away, in
	// the last one.
	low, high int
}

var (
	// From a page that is reloaded at once to a device that stays for days.
	lifetimeBounds = bounds{[bounded]float64{1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600}, -3, 25}
	// Mostly the client's network; at the end the usual deadline.
	handshakeBounds = bounds{[bounded]float64{0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5}, -14, 12}
	// From the same rack to the usual time-out.
	pingBounds = bounds{[bounded]float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 10}, -14, 12}
	// Under a millisecond is healthy, over a tick of 200 ms is trouble.
	lagBounds = bounds{[bounded]float64{0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1}, -17, 9}
	// From one write on an idle node to a client that lets its messages wait.
	deliveryBounds = bounds{[bounded]float64{0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5}, -17, 9}
	// From a process beside this one to a time-out, and to the end of a budget.
	upstreamBounds = bounds{[bounded]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2, 10}, -14, 14}
	// From a keystroke to what is a message by default.
	sizeBounds = bounds{[bounded]float64{16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}, 0, 30}
)

// natives is the number of native buckets, the zero bucket included.
func (b *bounds) natives() int { return fine*(b.high-b.low) + 1 }

// cells is the number of cells: every bound but that of the last native bucket
// begins one.
func (b *bounds) cells() int { return b.natives() + bounded }

// cell is where v is counted: behind as many cells as there are bounds below v.
func (b *bounds) cell(v float64) int { return b.native(v) + b.bucket(v) }

// bucket is the index of the classic bucket of v.
func (b *bounds) bucket(v float64) int {
	i := 0
	for i < bounded && v > b.classic[i] {
		i++
	}
	return i
}

// native is the index of the native bucket of v; 0 is the zero bucket.
func (b *bounds) native(v float64) int {
	return max(0, min(nativeKey(v)-fine*b.low, b.natives()-1))
}

// upper is the bound of a native bucket.
func (b *bounds) upper(native int) float64 {
	return math.Ldexp(roots[native%fine], b.low+1+native/fine)
}

// roots are the halves of 2^(0/8) to 2^(7/8) as Prometheus rounds them.
var roots = [fine]float64{
	0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048,
	0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711,
}

const mantissa = 1<<52 - 1

// edges are the mantissas of 2^(1/8) to 2^(7/8). If the way from one power of
// two to the next is cut into eighths of equal length, the edge i is in the
// eighth i; in the last one there is none.
var edges = func() (e [fine]uint64) {
	for i, root := range roots[1:] {
		e[i] = math.Float64bits(root) & mantissa
	}
	e[fine-1] = mantissa + 1
	return e
}()

// nativeKey is the k for which 2^((k-1)/8) < v <= 2^(k/8). Of v = 0 it is below
// those of all others, and v is not negative.
func nativeKey(v float64) int {
	if v == 0 {
		return math.MinInt32
	}
	below := math.Float64bits(v) - 1 // as the upper bound belongs to the bucket
	eighth := below >> (52 - schema) & (fine - 1)
	k := (int(below>>52)-1023)*fine + int(eighth) + 1
	if below&mantissa >= edges[eighth] {
		k++
	}
	return k
}

// histogram is what one loop counts in the cells of its bounds; behind these is
// the sum.
type histogram struct {
	cells
	bounds  *bounds
	changed bool
}

func newHistogram(b *bounds) histogram { return histogram{cells: newCells(b.cells() + 1), bounds: b} }

// observe counts d. A negative one, which only a clock that was set back can
// give, counts as zero.
func (h *histogram) observe(d time.Duration) {
	v := max(d, 0).Seconds()
	h.count(h.bounds.cell(v), v)
}

// observeSize counts a message of n bytes; the bounds are sizeBounds.
func (h *histogram) observeSize(n int) {
	if uint(n) < uint(len(shortCells)) {
		h.count(int(shortCells[n]), float64(n))
		return
	}
	h.count(sizeBounds.cell(float64(n)), float64(n))
}

// shortCells are the cells of short messages, as most are: looking one up costs
// a message on its way less than to work it out.
var shortCells = func() (cells [1 << 10]uint8) {
	for n := range cells {
		cells[n] = uint8(sizeBounds.cell(float64(n)))
	}
	return cells
}()

func (h *histogram) count(cell int, v float64) {
	h.own[cell]++
	sum := &h.own[len(h.own)-1]
	*sum = math.Float64bits(math.Float64frombits(*sum) + v)
	h.changed = true
}
