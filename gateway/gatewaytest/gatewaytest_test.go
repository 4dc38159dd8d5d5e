package gatewaytest

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// recorder is a test that may fail, and whose end comes when it is told so.
type recorder struct {
	testing.TB
	failed string
	end    func()
}

func (r *recorder) Errorf(format string, args ...any) { r.failed = fmt.Sprintf(format, args...) }
func (r *recorder) Cleanup(f func())                  { r.end = f }

// pretender is a gateway whose Serve returns an error when it is closed.
type pretender struct {
	closed chan struct{}
	err    error
}

func (p *pretender) Addr() netip.AddrPort { return netip.AddrPort{} }
func (p *pretender) Close() error         { close(p.closed); return nil }
func (p *pretender) Serve() error {
	<-p.closed
	return p.err
}

func TestServeIsHeldToItsError(t *testing.T) {
	closed := errors.New("closed")
	for err, fails := range map[error]bool{closed: false, io.EOF: true, nil: true} {
		r := &recorder{TB: t}
		Start(r, func(p *pretender) (*pretender, error) { return p, nil }, &pretender{make(chan struct{}), err}, closed)
		if r.end(); (r.failed != "") != fails {
			t.Errorf("Serve returned %v, and the test %q", err, r.failed)
		}
	}
}

func TestSumIsThatOfTheSeriesWithAllLabels(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "events_total"}, []string{"hub", "outcome"})
	counter.WithLabelValues("chat", "ok").Add(1)
	counter.WithLabelValues("chat", "failed").Add(10)
	counter.WithLabelValues("news", "ok").Add(100)
	registry.MustRegister(counter)
	for labels, want := range map[string]float64{"": 111, "hub=chat": 11, "outcome=ok": 101, "hub=chat outcome=ok": 1, "hub=cha": 0} {
		if got := Gather(t, registry).Sum("events_total", strings.Fields(labels)...); got != want {
			t.Errorf("%q: %v, want %v", labels, got, want)
		}
	}
	if got := Gather(t, registry).Sum("events"); got != 0 {
		t.Errorf("%v of a metric that is not there", got)
	}
}

func TestAJournalKnowsLinesOfBothKinds(t *testing.T) {
	j := NewJournal()
	j.Collect(strings.NewReader("{\"msg\":\"listening\",\"addr\":\"here\",\"loops\":2}\npanic: at last\n"))
	if addr := j.Await(t, "listening").Text("addr"); addr != "here" {
		t.Errorf("listening at %q", addr)
	}
	if e := j.Await(t, "panic: at last"); e.Text("addr") != "" || e.Text("loops") != "" {
		t.Errorf("a plain line is %v", e)
	}
}
