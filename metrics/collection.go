package metrics

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// collection is one scrape: where the metrics go, and the cells of the same
// thing at each loop, which are exported as their sum.
type collection struct {
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

// total is the sum of cells that are floats.
func (c collection) total(at int) (v float64) {
	for _, cells := range c.cells {
		v += math.Float64frombits(cells.seen[at].Load())
	}
	return v
}

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

// histogram exports the histogram that begins at a place. While a loop
// publishes, its buckets and its sum may be a tick apart; the count is always
// that of the buckets.
func (c collection) histogram(desc *prometheus.Desc, at int, b *bounds, labels ...string) {
	var n [overBound + 1]uint64
	for i := range n {
		n[i] = c.sum(at + i)
	}
	c.sendHistogram(desc, b, &n, c.total(at+sumCell), labels...)
}

// sendHistogram exports the histogram that has n[i] observations in bucket i.
func (c collection) sendHistogram(desc *prometheus.Desc, b *bounds, n *[overBound + 1]uint64, sum float64, labels ...string) {
	var count uint64
	buckets := make(map[float64]uint64, bounded)
	for i := range b {
		count += n[i]
		buckets[b[i]] = count
	}
	c.out <- prometheus.MustNewConstHistogram(desc, count+n[overBound], sum, buckets, labels...)
}

func (c collection) send(desc *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
	c.out <- prometheus.MustNewConstMetric(desc, t, v, labels...)
}

func family(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}

// labels are the label values of an enumeration.
func labels[T interface {
	~uint8
	String() string
}](count T) []string {
	all := make([]string, count)
	for i := range count {
		all[i] = i.String()
	}
	return all
}
