package metrics

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// collection is one scrape: where the metrics go, and the cells of the same
// thing at each loop, which are exported as their sum.
type collection struct {
	loops []*Loop
	cells []*cells
	out   chan<- prometheus.Metric
}

func (c collection) sum(at int) (n uint64) {
	for _, cells := range c.cells {
		n += cells.seen[at].Load()
	}
	return n
}

// level is the sum of cells that go up and down: those of one loop may be
// negative, in two's complement.
func (c collection) level(at int) float64 { return float64(int64(c.sum(at))) }

func (c collection) counter(name, help string, which Counter) {
	c.send(family(name, help), prometheus.CounterValue, float64(c.sum(atCounters+int(which))))
}

func (c collection) gauge(name, help string, which Gauge) {
	c.send(family(name, help), prometheus.GaugeValue, c.level(atGauges+int(which)))
}

// labelled exports a counter for each value of a label, from the cells that
// begin at a place.
func (c collection) labelled(name, help, label string, at int, values []string) {
	desc := family(name, help, label)
	for i, v := range values {
		c.send(desc, prometheus.CounterValue, float64(c.sum(at+i)), v)
	}
}

// histogram exports one of the loops' histograms. While a loop publishes, its
// buckets and its sum may be a tick apart; the count is always that of the
// buckets.
func (c collection) histogram(desc *prometheus.Desc, which int, labels ...string) {
	b := boundsOf[which]
	d := &distribution{desc: desc, labels: prometheus.MakeLabelPairs(desc, labels), bounds: b, cells: make([]uint64, b.cells())}
	for _, l := range c.loops {
		seen := l.histograms[which].seen
		for i := range d.cells {
			d.cells[i] += seen[i].Load()
		}
		d.sum += math.Float64frombits(seen[len(d.cells)].Load())
	}
	c.out <- d
}

func (c collection) send(desc *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
	c.out <- prometheus.MustNewConstMetric(desc, t, v, labels...)
}

func family(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}
