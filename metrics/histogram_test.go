package metrics

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

var allBounds = append(slices.Clone(boundsOf[:]), &upstreamBounds)

func TestBoundsIncrease(t *testing.T) {
	for _, b := range allBounds {
		if c := b.classic[:]; !slices.IsSorted(c) || c[0] <= 0 || len(slices.Compact(slices.Clone(c))) != bounded {
			t.Errorf("bounds %v", c)
		}
		if first, last := math.Ldexp(1, b.low), math.Ldexp(1, b.high); b.classic[0] <= first || b.classic[bounded-1] >= last {
			t.Errorf("the bounds %v are not between %v and %v", b.classic, first, last)
		}
	}
}

func TestSizeIsInItsCell(t *testing.T) {
	for _, v := range near(&sizeBounds) {
		h := newHistogram(&sizeBounds)
		n := int(v)
		h.observeSize(n)
		if want := sizeBounds.cell(float64(n)); h.own[want] != 1 || math.Float64frombits(h.own[len(h.own)-1]) != float64(n) {
			t.Fatalf("%d bytes are not in cell %d", n, want)
		}
	}
}

// near are the numbers at and beside every bound of b, and some between.
func near(b *bounds) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	bounds := append(b.classic[:], 0, math.Ldexp(1, b.low-5))
	for i := range b.natives() {
		bounds = append(bounds, b.upper(i))
	}
	var all []float64
	for _, v := range bounds {
		all = append(all, v, math.Nextafter(v, math.Inf(1)), max(0, math.Nextafter(v, 0)), v*(1+r.Float64()))
	}
	return all
}

func TestValueIsInTheCellBehindAllBoundsBelowIt(t *testing.T) {
	for _, b := range allBounds {
		for _, v := range near(b) {
			want := 0
			for _, bound := range b.classic {
				if bound < v {
					want++
				}
			}
			for i := range b.natives() - 1 {
				if b.upper(i) < v {
					want++
				}
			}
			if got := b.cell(v); got != want {
				t.Fatalf("%v: cell %d, want %d", v, got, want)
			}
		}
	}
}

// written is the histogram of b with these observations.
func written(t *testing.T, b *bounds, observations []float64) *dto.Histogram {
	t.Helper()
	d := distribution{bounds: b, cells: make([]uint64, b.cells())}
	for _, v := range observations {
		d.cells[b.cell(v)]++
		d.sum += v
	}
	var m dto.Metric
	if err := d.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.Histogram
}

// natives are the counts of native buckets by their keys.
func natives(h *dto.Histogram) map[int32]int64 {
	counts := map[int32]int64{}
	var key int32
	var count int64
	deltas := h.PositiveDelta
	for _, s := range h.PositiveSpan {
		key += s.GetOffset()
		for range s.GetLength() {
			if count += deltas[0]; count != 0 {
				counts[key] = count
			}
			deltas = deltas[1:]
			key++
		}
	}
	return counts
}

// The other one is Prometheus' own.
func TestHistogramIsThatOfTheClientLibrary(t *testing.T) {
	for _, b := range allBounds {
		theirs := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                         "h",
			Buckets:                      b.classic[:],
			NativeHistogramBucketFactor:  1.1,
			NativeHistogramZeroThreshold: math.Ldexp(1, b.low),
		})
		observations := slices.DeleteFunc(near(b), func(v float64) bool { return v > math.Ldexp(1, b.high) })
		for _, v := range observations {
			theirs.Observe(v)
		}
		var m dto.Metric
		if err := theirs.Write(&m); err != nil {
			t.Fatal(err)
		}
		got, want := written(t, b, observations), m.Histogram
		if got.GetSchema() != want.GetSchema() || got.GetZeroThreshold() != want.GetZeroThreshold() ||
			got.GetZeroCount() != want.GetZeroCount() || got.GetSampleCount() != want.GetSampleCount() {
			t.Errorf("schema %d, zeros %d up to %v, count %d; want %d, %d, %v, %d",
				got.GetSchema(), got.GetZeroCount(), got.GetZeroThreshold(), got.GetSampleCount(),
				want.GetSchema(), want.GetZeroCount(), want.GetZeroThreshold(), want.GetSampleCount())
		}
		if g, w := natives(got), natives(want); len(g) == 0 || !maps.Equal(g, w) {
			t.Errorf("native buckets %v, want %v", g, w)
		}
		for i, w := range want.Bucket {
			if g := got.Bucket[i]; g.GetUpperBound() != w.GetUpperBound() || g.GetCumulativeCount() != w.GetCumulativeCount() {
				t.Errorf("classic bucket %v, want %v", g, w)
			}
		}
	}
}

func TestValueOverTheLastNativeBucketIsInIt(t *testing.T) {
	b := &lagBounds
	h := written(t, b, []float64{math.Ldexp(1, b.high), math.Ldexp(1.5, b.high), 1e9})
	if got := natives(h); !maps.Equal(got, map[int32]int64{int32(fine * b.high): 3}) {
		t.Errorf("native buckets %v", got)
	}
	if h.GetSampleCount() != 3 || h.Bucket[bounded-1].GetCumulativeCount() != 0 {
		t.Errorf("classic buckets %v", h)
	}
}

func TestDurationOnABoundIsWithinIt(t *testing.T) {
	for i, bound := range handshakeBounds.classic {
		d := time.Duration(math.Round(bound * 1e9))
		for delta, want := range map[time.Duration]int{-1: i, 0: i, 1: i + 1} {
			h := newHistogram(&handshakeBounds)
			h.observe(d + delta)
			classic, _ := (&distribution{bounds: h.bounds, cells: h.own[:h.bounds.cells()]}).split()
			if classic[want] != 1 {
				t.Errorf("%v: buckets %v, want one in %d", d+delta, classic, want)
			}
			if got := math.Float64frombits(h.own[len(h.own)-1]); got != (d + delta).Seconds() {
				t.Errorf("%v: sum %v", d+delta, got)
			}
		}
	}
}

func TestNegativeDurationCountsAsZero(t *testing.T) {
	h := newHistogram(&pingBounds)
	h.observe(-time.Hour)
	if h.own[0] != 1 || h.own[len(h.own)-1] != 0 {
		t.Errorf("cells %v", h.own)
	}
}

func BenchmarkObserve(b *testing.B) {
	h := newHistogram(&handshakeBounds)
	b.ReportAllocs()
	for b.Loop() {
		h.observe(3 * time.Millisecond)
	}
}
