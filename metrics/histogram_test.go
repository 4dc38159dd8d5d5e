package metrics

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestBoundsIncrease(t *testing.T) {
	for _, b := range []*bounds{
		&lifetimeBounds, &handshakeBounds, &pingBounds, &lagBounds, &deliveryBounds, &upstreamBounds, &sizeBounds,
	} {
		if !slices.IsSorted(b[:]) || b[0] <= 0 || len(slices.Compact(slices.Clone(b[:]))) != bounded {
			t.Errorf("bounds %v", *b)
		}
	}
}

// bucketOf finds a bucket the slow way.
func bucketOf(b *bounds, v float64) int {
	i, _ := slices.BinarySearch(b[:], v)
	return i
}

func TestSizeBucketAgreesWithItsBounds(t *testing.T) {
	sizes := []int{0, 1, 2, math.MaxInt32}
	for _, bound := range sizeBounds {
		sizes = append(sizes, int(bound)-1, int(bound), int(bound)+1)
	}
	for _, n := range sizes {
		if got, want := sizeBucket(n), bucketOf(&sizeBounds, float64(n)); got != want {
			t.Errorf("%d bytes: bucket %d, want %d", n, got, want)
		}
	}
}

func TestDurationOnABoundIsWithinIt(t *testing.T) {
	for i, bound := range handshakeBounds {
		d := time.Duration(math.Round(bound * 1e9))
		for delta, want := range map[time.Duration]int{-1: i, 0: i, 1: i + 1} {
			own := make([]uint64, histogramCells)
			handshakeBounds.observe(own, 0, d+delta)
			if own[want] != 1 {
				t.Errorf("%v: buckets %v, want one in %d", d+delta, own[:bounded+1], want)
			}
			if got := math.Float64frombits(own[sumCell]); got != (d + delta).Seconds() {
				t.Errorf("%v: sum %v", d+delta, got)
			}
		}
	}
}

func TestNegativeDurationCountsAsZero(t *testing.T) {
	own := make([]uint64, histogramCells)
	pingBounds.observe(own, 0, -time.Hour)
	if own[0] != 1 || own[sumCell] != 0 {
		t.Errorf("cells %v", own)
	}
}
