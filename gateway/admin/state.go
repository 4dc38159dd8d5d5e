package admin

import (
	"math"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// state is what the page polls.
type state struct {
	Time     int64               `json:"time"` // Unix milliseconds
	Info     string              `json:"info"`
	NotReady string              `json:"notReady,omitempty"` // why
	Hubs     []Hub               `json:"hubs"`
	Memory   usage               `json:"memory"`
	Metrics  map[string][]series `json:"metrics"` // by name
}

// series is one series of a metric: its value, or of a histogram the count, the
// sum and the buckets.
type series struct {
	Labels  map[string]string `json:"labels,omitempty"`
	Value   float64           `json:"value"`
	Sum     float64           `json:"sum,omitempty"`
	Buckets [][2]float64      `json:"buckets,omitempty"` // upper bounds, and counts up to those
}

// state answers with the figures of this moment: those of /metrics, of which
// the page makes rates and curves.
func (c *console) state(w http.ResponseWriter, _ *http.Request) {
	families, err := c.Gatherer.Gather()
	if err != nil && len(families) == 0 {
		refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
		return
	}
	s := state{
		Time:    time.Now().UnixMilli(),
		Info:    c.Info,
		Hubs:    c.Hubs(),
		Memory:  c.memory.usage(),
		Metrics: shown(families),
	}
	if s.Hubs == nil {
		s.Hubs = []Hub{} // not null
	}
	if err := c.Ready(); err != nil {
		s.NotReady = err.Error()
	}
	answer(w, http.StatusOK, s)
}

// shown returns what the page knows of: the gateway's own metrics and those of
// its process.
func shown(families []*dto.MetricFamily) map[string][]series {
	metrics := make(map[string][]series, len(families))
	for _, f := range families {
		name := f.GetName()
		if !strings.HasPrefix(name, "sluice_") && !strings.HasPrefix(name, "process_") && name != "go_goroutines" {
			continue
		}
		list := make([]series, 0, len(f.Metric))
		for _, m := range f.Metric {
			list = append(list, seriesOf(m))
		}
		metrics[name] = list
	}
	return metrics
}

func seriesOf(m *dto.Metric) series {
	var s series
	if len(m.Label) > 0 {
		s.Labels = make(map[string]string, len(m.Label))
		for _, l := range m.Label {
			s.Labels[l.GetName()] = l.GetValue()
		}
	}
	if h := m.Histogram; h != nil {
		s.Value, s.Sum = float64(h.GetSampleCount()), finite(h.GetSampleSum())
		for _, b := range h.Bucket {
			if !math.IsInf(b.GetUpperBound(), 0) { // that one is the count
				s.Buckets = append(s.Buckets, [2]float64{b.GetUpperBound(), float64(b.GetCumulativeCount())})
			}
		}
		return s
	}
	// At most one of them is there; the others are nil, which is 0.
	s.Value = finite(m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue())
	return s
}

// finite is v, or 0 for what JSON has no number for.
func finite(v float64) float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return 0
	}
	return v
}
