package admin

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTheStateIsWhatTheMetricsSay(t *testing.T) {
	reg := prometheus.NewRegistry()
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_things_total"}, []string{"hub"})
	counter.WithLabelValues("a").Add(2)
	counter.WithLabelValues("b").Add(3)
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_level"})
	gauge.Set(math.NaN())
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "sluice_seconds", Buckets: []float64{0.1, 1}, NativeHistogramBucketFactor: 1.1,
	})
	for _, v := range []float64{0.05, 0.5, 5} {
		histogram.Observe(v)
	}
	foreign := prometheus.NewCounter(prometheus.CounterOpts{Name: "go_something"})
	reg.MustRegister(counter, gauge, histogram, foreign)

	w := httptest.NewRecorder()
	hubs := []Hub{{Name: "a", Paths: []string{"/"}, Subprotocols: []string{"v1"}, Upstream: "echo", Anonymous: true}}
	Handler(Options{
		Gatherer: reg,
		Ready:    func() error { return errors.New("draining") },
		Info:     "sluice 1",
		Hubs:     func() []Hub { return hubs },
	}).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/console/state", nil))
	var got state
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if got.Info != "sluice 1" || got.NotReady != "draining" || got.Time == 0 || !reflect.DeepEqual(got.Hubs, hubs) {
		t.Errorf("the node is %+v", got)
	}
	want := map[string][]series{
		"sluice_things_total": {{Labels: map[string]string{"hub": "a"}, Value: 2}, {Labels: map[string]string{"hub": "b"}, Value: 3}},
		"sluice_level":        {{}}, // JSON has no number for it
		"sluice_seconds":      {{Value: 3, Sum: 5.55, Buckets: [][2]float64{{0.1, 1}, {1, 2}}}},
	}
	if !reflect.DeepEqual(got.Metrics, want) {
		t.Errorf("metrics %v, want %v", got.Metrics, want)
	}
}

func TestAStateWithoutHubsHasAnEmptyList(t *testing.T) {
	srv := serve(t, ready)
	_, body := do(t, srv, "GET", "/console/state")
	var got map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if string(got["hubs"]) != "[]" {
		t.Errorf("hubs are %s", got["hubs"])
	}
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, []string{"hubs", "info", "memory", "metrics", "time"}) {
		t.Errorf("a node that is ready says %q", keys)
	}
}
