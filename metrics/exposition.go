package metrics

import (
	"encoding/hex"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// distribution is a histogram as it was at a scrape. It is a prometheus.Metric
// with native and classic buckets: a protobuf exposition carries both, a text
// exposition the classic ones.
type distribution struct {
	desc      *prometheus.Desc
	labels    []*dto.LabelPair
	bounds    *bounds
	cells     []uint64
	sum       float64
	exemplars [bounded + 1]*exemplar // one for each classic bucket, nil where there is none
}

// exemplar is an observation that a trace tells more about.
type exemplar struct {
	trace TraceID
	value float64
	at    time.Time
}

// TraceID is that of a trace (W3C Trace Context, section 3.2.2.3). The zero
// TraceID is none.
type TraceID [16]byte

// Desc implements prometheus.Metric.
func (d *distribution) Desc() *prometheus.Desc { return d.desc }

// Write implements prometheus.Metric.
func (d *distribution) Write(out *dto.Metric) error {
	classic, native := d.split()
	h := &dto.Histogram{
		SampleSum:     proto.Float64(d.sum),
		Schema:        proto.Int32(schema),
		ZeroThreshold: proto.Float64(math.Ldexp(1, d.bounds.low)),
		ZeroCount:     proto.Uint64(native[0]),
	}
	var count uint64
	for i, n := range classic {
		count += n
		bound := math.Inf(1)
		if i < bounded {
			bound = d.bounds.classic[i]
		}
		e := d.exemplars[i].proto()
		if e != nil {
			h.Exemplars = append(h.Exemplars, e)
		}
		if i < bounded || e != nil { // the last bucket goes without saying, but for its exemplar
			h.Bucket = append(h.Bucket, &dto.Bucket{
				UpperBound:      proto.Float64(bound),
				CumulativeCount: proto.Uint64(count),
				Exemplar:        e,
			})
		}
	}
	h.SampleCount = proto.Uint64(count)
	h.PositiveSpan, h.PositiveDelta = spans(native[1:], fine*d.bounds.low+1)
	out.Label, out.Histogram = d.labels, h
	return nil
}

// split adds up the cells of each bucket.
func (d *distribution) split() (classic [bounded + 1]uint64, native []uint64) {
	native = make([]uint64, d.bounds.natives())
	c, n := 0, 0
	for _, count := range d.cells {
		classic[c] += count
		native[n] += count
		// The cell ends where the first of its two buckets does.
		if c < bounded && (n == len(native)-1 || d.bounds.classic[c] <= d.bounds.upper(n)) {
			c++
		} else {
			n++
		}
	}
	return classic, native
}

// spans encodes the buckets that are not empty. The key of the first is that of
// counts[0].
func spans(counts []uint64, key int) (spans []*dto.BucketSpan, deltas []int64) {
	var last uint64
	next := 0 // where the last span ends, as a key
	for i, n := range counts {
		if n == 0 {
			continue
		}
		if at := key + i; spans == nil || at != next {
			spans = append(spans, &dto.BucketSpan{Offset: proto.Int32(int32(at - next)), Length: proto.Uint32(0)})
			next = at
		}
		*spans[len(spans)-1].Length++
		next++
		deltas = append(deltas, int64(n-last))
		last = n
	}
	return spans, deltas
}

func (e *exemplar) proto() *dto.Exemplar {
	if e == nil {
		return nil
	}
	return &dto.Exemplar{
		Label:     []*dto.LabelPair{{Name: proto.String("trace_id"), Value: proto.String(hex.EncodeToString(e.trace[:]))}},
		Value:     proto.Float64(e.value),
		Timestamp: timestamppb.New(e.at),
	}
}
