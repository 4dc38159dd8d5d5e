package session

import (
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func TestBucketHas8Bytes(t *testing.T) {
	if got := unsafe.Sizeof(Bucket{}); got != 8 {
		t.Errorf("%d bytes; each idle session has one", got)
	}
}

// allowed counts how many of n events at one moment the bucket lets pass.
func allowed(b *Bucket, now time.Duration, r Rate, n int) (passed int) {
	for range n {
		if b.Allow(now, r) {
			passed++
		}
	}
	return passed
}

func TestBucketStartsFullAndRefillsAtItsRate(t *testing.T) {
	r := NewRate(20, 100)
	for _, start := range []time.Duration{0, time.Nanosecond, 1000 * time.Hour} {
		var b Bucket
		for _, step := range []struct {
			after time.Duration
			want  int
		}{
			{0, 100},
			{49 * time.Millisecond, 0},
			{50 * time.Millisecond, 1},
			{1050 * time.Millisecond, 20},
			{time.Hour, 100}, // and no more, however long it was quiet
		} {
			if got := allowed(&b, start+step.after, r, 200); got != step.want {
				t.Errorf("start %v, after %v: %d passed, want %d", start, step.after, got, step.want)
			}
		}
	}
}

func TestDelayTellsWhenTheNextTokenComes(t *testing.T) {
	r := NewRate(10, 3)
	var b Bucket
	allowed(&b, 0, r, 3)
	if got := b.Delay(0, r); got != 100*time.Millisecond {
		t.Errorf("delay %v, want 100 ms", got)
	}
	if got := b.Delay(60*time.Millisecond, r); got != 40*time.Millisecond {
		t.Errorf("delay %v, want 40 ms", got)
	}
	if got := b.Delay(time.Second, r); got != 0 {
		t.Errorf("delay %v of a full bucket", got)
	}
}

func TestZeroRateHasNoLimit(t *testing.T) {
	var b Bucket
	allowed(&b, 0, NewRate(0.001, 5), 5) // empty for a long time
	if got := allowed(&b, 0, Rate{}, 1000); got != 1000 {
		t.Errorf("%d of 1000 passed", got)
	}
	if NewRate(0, 5) != (Rate{}) || NewRate(-1, 5) != (Rate{}) {
		t.Error("a rate that is not positive must have no limit")
	}
}

func TestBurstBelowOneIsOne(t *testing.T) {
	var b Bucket
	if got := allowed(&b, 0, NewRate(1, 0), 5); got != 1 {
		t.Errorf("%d passed, want 1", got)
	}
}

// TestBucketAgreesWithATokenCount compares with a bucket that counts tokens, in
// whole nanoseconds' worth of them.
func TestBucketAgreesWithATokenCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.SampledFrom([]float64{1, 4, 20, 1000}).Draw(t, "rate")
		burst := rapid.IntRange(1, 20).Draw(t, "burst")
		r := NewRate(perSecond, burst)
		cost := time.Duration(float64(time.Second) / perSecond)
		var b Bucket
		now, tokens := time.Duration(0), cost*time.Duration(burst)
		for range rapid.IntRange(1, 200).Draw(t, "events") {
			gap := rapid.SampledFrom([]time.Duration{0, 1, cost / 3, cost, 5 * cost}).Draw(t, "gap")
			now += gap
			tokens = min(tokens+gap, cost*time.Duration(burst))
			if got := b.Delay(now, r); got != max(cost-tokens, 0) {
				t.Fatalf("at %v: delay %v, want %v", now, got, max(cost-tokens, 0))
			}
			want := tokens >= cost
			if want {
				tokens -= cost
			}
			if got := b.Allow(now, r); got != want {
				t.Fatalf("at %v: allowed %v, want %v", now, got, want)
			}
		}
	})
}

func BenchmarkBucketAllow(b *testing.B) {
	r := NewRate(20, 100)
	var bucket Bucket
	now := time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		now += 10 * time.Millisecond
		bucket.Allow(now, r)
	}
}
