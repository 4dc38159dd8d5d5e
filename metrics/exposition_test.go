package metrics

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// protobufFormat is what a Prometheus that scrapes native histograms accepts.
const protobufFormat = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

// exposed returns what s answers to a scrape of that kind.
func exposed(t testing.TB, s *Set, accept string) (format expfmt.Format, body []byte) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s)
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(rec, r)
	if rec.Code != 200 {
		t.Fatalf("scrape: %d\n%s", rec.Code, rec.Body)
	}
	return expfmt.ResponseFormat(rec.Header()), rec.Body.Bytes()
}

// families scrapes s by protobuf.
func families(t *testing.T, s *Set) map[string]*dto.MetricFamily {
	t.Helper()
	format, body := exposed(t, s, protobufFormat)
	if format.FormatType() != expfmt.TypeProtoDelim {
		t.Fatalf("the format is %q", format)
	}
	all := make(map[string]*dto.MetricFamily)
	for d := expfmt.NewDecoder(bytes.NewReader(body), format); ; {
		f := new(dto.MetricFamily)
		if err := d.Decode(f); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[f.GetName()] = f
	}
}

func TestProtobufScrapeHasNativeAndClassicBuckets(t *testing.T) {
	histograms := 0
	for name, f := range families(t, busy()) {
		if f.GetType() != dto.MetricType_HISTOGRAM {
			continue
		}
		for _, m := range f.Metric {
			histograms++
			h := m.Histogram
			total := int64(h.GetZeroCount())
			for _, n := range natives(h) {
				total += n
			}
			if h.GetSchema() != schema || h.GetZeroThreshold() <= 0 || total != int64(h.GetSampleCount()) || total == 0 {
				t.Errorf("%s: %d of %d observations in native buckets of schema %d", name, total, h.GetSampleCount(), h.GetSchema())
			}
			if len(h.Bucket) != bounded {
				t.Errorf("%s: %d classic buckets", name, len(h.Bucket))
			}
		}
	}
	if histograms != int(histogramCount)+2 {
		t.Errorf("%d histograms", histograms)
	}
}

func TestHistogramWithoutObservationsIsNativeNevertheless(t *testing.T) {
	h := families(t, New(Options{Loops: 1}))["sluice_loop_lag_seconds"].Metric[0].Histogram
	if h.GetSampleCount() != 0 || h.GetZeroThreshold() == 0 || h.Schema == nil || len(h.Bucket) != bounded {
		t.Errorf("histogram %v", h)
	}
}

func TestTracedUpstreamCallIsTheExemplarOfItsBucket(t *testing.T) {
	s := New(Options{Loops: 1})
	u := upstreamOf(s, "h")
	u.Done(EventMessage, OutcomeOK, 3*time.Millisecond, TraceID{15: 1})
	u.Done(EventMessage, OutcomeOK, 4*time.Millisecond, TraceID{0: 0xab})
	u.Done(EventMessage, OutcomeOK, 4*time.Millisecond, TraceID{})
	u.Attempt(time.Hour, true, TraceID{15: 2})

	_, body := exposed(t, s, "application/openmetrics-text; version=1.0.0")
	for _, want := range []string{
		`sluice_upstream_request_duration_seconds_bucket{hub="h",le="0.005"} 3 # {trace_id="ab000000000000000000000000000000"} 0.004 `,
		`sluice_upstream_attempt_duration_seconds_bucket{hub="h",le="+Inf"} 1 # {trace_id="00000000000000000000000000000002"} 3600.0 `,
	} {
		if !strings.Contains(string(body), "\n"+want) {
			t.Errorf("exposition lacks %q", want)
		}
	}
	if n := strings.Count(string(body), "trace_id"); n != 2 {
		t.Errorf("%d exemplars", n)
	}
	h := families(t, s)["sluice_upstream_request_duration_seconds"].Metric[0].Histogram
	if len(h.Exemplars) != 1 || h.Exemplars[0].GetValue() != 0.004 {
		t.Errorf("exemplars %v", h.Exemplars)
	}
}

// BenchmarkExposition is a whole scrape of a node with ten hubs whose upstreams
// are webhooks.
func BenchmarkExposition(b *testing.B) {
	s := busy()
	for i := range 10 {
		upstreamOf(s, string(rune('a'+i))).Began()
	}
	for name, accept := range map[string]string{"text": "text/plain", "protobuf": protobufFormat} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				exposed(b, s, accept)
			}
		})
	}
}
