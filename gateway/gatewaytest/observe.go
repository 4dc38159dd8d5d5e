package gatewaytest

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Log keeps what a gateway in this process logs. Any goroutine may read it.
type Log struct {
	mu sync.Mutex
	b  strings.Builder
}

// Logger is a logger that writes to l.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Scrape is what metrics were at a moment.
type Scrape []*dto.MetricFamily

// Gather takes the metrics of a gateway in this process.
func Gather(t testing.TB, from prometheus.Gatherer) Scrape {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// Family is a metric, or nil.
func (s Scrape) Family(name string) *dto.MetricFamily {
	if i := slices.IndexFunc(s, func(f *dto.MetricFamily) bool { return f.GetName() == name }); i >= 0 {
		return s[i]
	}
	return nil
}

// Sum adds up the series of a metric whose labels include all of these, each of
// the form name=value. A histogram is as much as it has observations.
func (s Scrape) Sum(name string, labels ...string) float64 {
	sum := 0.0
	for _, m := range s.Family(name).GetMetric() {
		if hasLabels(m, labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func hasLabels(m *dto.Metric, want []string) bool {
	for _, w := range want {
		if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName()+"="+l.GetValue() == w }) {
			return false
		}
	}
	return true
}
