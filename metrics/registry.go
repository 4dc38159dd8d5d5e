package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry returns what a node exports: s, the Go runtime and the process.
//
// Of the runtime, go_memstats_… is left out: the gauge go_memstats_alloc_bytes
// and the counter go_memstats_alloc_bytes_total are one family twice to
// OpenMetrics, whose strict parsers refuse the whole page (OpenMetrics 1.0,
// "MetricFamily names").
func NewRegistry(s *Set) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(s,
		collectors.NewGoCollector(collectors.WithGoCollectorMemStatsMetricsDisabled()),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
