package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A tally is what one worker counted while it carried out an order.
type tally struct {
	Done    int64            // operations completed
	Errors  map[string]int64 // what went wrong, and how often
	Latency histogram        // of the operations
	Lag     histogram        // how much later than planned something was sent
	CPU     time.Duration    // of the worker's own process
	Wall    time.Duration
	Sent    int64 // CLOCK_MONOTONIC ns of the message that set the others off
	Last    int64 // CLOCK_MONOTONIC ns of the last operation's completion
}

func newTally() *tally {
	return &tally{Errors: make(map[string]int64)}
}

func (t *tally) fail(why string, n int64) {
	if n > 0 {
		t.Errors[why] += n
	}
}

// complete counts an operation that should have begun at since.
func (t *tally) complete(since, now int64) {
	t.Done++
	t.Last = now
	t.Latency.record(now - since)
}

// merge adds what another worker counted during the same order.
func (t *tally) merge(o *tally) {
	t.Done += o.Done
	for why, n := range o.Errors {
		t.Errors[why] += n
	}
	t.Latency.merge(&o.Latency)
	t.Lag.merge(&o.Lag)
	t.CPU += o.CPU
	t.Wall = max(t.Wall, o.Wall)
	t.Sent = max(t.Sent, o.Sent)
	t.Last = max(t.Last, o.Last)
}

// add appends what was counted in a later order of the same measurement.
func (t *tally) add(o *tally) {
	wall := t.Wall + o.Wall
	t.merge(o)
	t.Wall = wall
}

// trouble returns what went wrong as an error, the most frequent first, or nil.
func (t *tally) trouble() error {
	var all []error
	for _, why := range slices.SortedFunc(maps.Keys(t.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.Errors[b], t.Errors[a]), cmp.Compare(a, b))
	}) {
		all = append(all, fmt.Errorf("%d × %s", t.Errors[why], why))
	}
	return errors.Join(all...)
}

// A histogram holds durations from 100 ns to a minute with three significant digits; what is longer
// counts as a minute. It travels between processes as JSON. The zero histogram is empty, and takes
// no room before it is used.
type histogram struct{ h *hdrhistogram.Histogram }

const (
	shortest = int64(100)
	longest  = int64(time.Minute)
)

func (h *histogram) record(ns int64) {
	if h.h == nil {
		h.h = hdrhistogram.New(shortest, longest, 3)
	}
	h.h.RecordValue(min(max(ns, shortest), longest)) // within the bounds it cannot fail
}

func (h *histogram) merge(o *histogram) {
	if o.h == nil {
		return
	}
	if h.h == nil {
		h.h = hdrhistogram.New(shortest, longest, 3)
	}
	h.h.Merge(o.h)
}

// MarshalText uses the encoding that all HdrHistogram libraries share; nothing, when empty.
func (h *histogram) MarshalText() ([]byte, error) {
	if h.h == nil {
		return nil, nil
	}
	return h.h.EncodeV2()
}

// UnmarshalText reads what MarshalText wrote.
func (h *histogram) UnmarshalText(b []byte) (err error) {
	h.h = nil
	if len(b) > 0 {
		h.h, err = hdrhistogram.Decode(b)
	}
	return err
}
