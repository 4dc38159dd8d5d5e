package metrics

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/gateway/golden"
)

// scrape returns what Prometheus would get.
func scrape(t *testing.T, s *Set) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != 200 {
		t.Fatalf("scrape: %d\n%s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// mustShow fails unless each line is among those of the exposition.
func mustShow(t *testing.T, exposition string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+exposition, "\n"+line+"\n") {
			t.Errorf("exposition lacks %q", line)
		}
	}
}

func mustNotShow(t *testing.T, exposition, part string) {
	t.Helper()
	for line := range strings.Lines(exposition) {
		if strings.Contains(line, part) {
			t.Errorf("exposition has %q", line)
		}
	}
}

// busy is a Set of two loops in which every method was called.
func busy() *Set {
	s := New(Options{
		Version: "1.2.3", Revision: "abcdef0", GoVersion: "go1.26",
		Loops: 2, ProtocolErrorKinds: []string{"mask", "utf8"},
	})
	s.GaugeFunc("sluice_connections_limit", "Most connections that are taken.", func() float64 { return 18000 })
	s.Hub("default")
	chat := s.Hub("chat")
	for i := range 2 {
		l := s.Loop(i)
		for range 10 {
			l.Inc(AcceptedConnections)
		}
		l.Inc(StaleEvents)
		l.SlowConsumer(chat)
		l.Inc(Panics)
		l.Pinged(chat)
		l.Gauge(HandshakesInFlight, 3)
		l.Gauge(SendQueueBytes, 4096)
		l.Gauge(SendQueueBytes, -96)
		l.Gauge(ParkedSessions, 1)
		l.Gauge(DrainRemaining, int64(1-2*i)*7) // +7, then -7 at the other loop
		for range 4 {
			l.Opened(chat)
		}
		l.Closed(chat, 1000, ReasonClientClose, 30*time.Second)
		l.Closed(chat, 1006, ReasonHeartbeat, 90*time.Minute)
		l.Closed(chat, 4321, ReasonBackend, 100*time.Hour)
		l.Received(chat, 128)
		l.Received(chat, 5<<20)
		l.Sent(chat, 16)
		l.ReceivedBytes(nil, 150)
		l.ReceivedBytes(chat, 5<<20+200)
		l.SentBytes(chat, 18)
		l.Handshake(chat, ResultOK, 2*time.Millisecond)
		l.Handshake(nil, ResultTimeout, 5*time.Second)
		l.ProtocolError(s.KindIndex("utf8"))
		l.ProtocolError(s.KindIndex("never announced"))
		l.RateLimited(chat, ScopeControl)
		l.Dropped(chat, DropSlowConsumer, 1)
		l.PingRTT(20 * time.Millisecond)
		l.LoopLag(70 * time.Microsecond)
		l.LoopLag(time.Minute)
		l.AcceptError("EMFILE")
		l.AcceptError("EPROTO")
		l.Delivered(700 * time.Microsecond)
		l.Gauge(GroupMemberships, 3)
		l.Gauge(Groups, 2)
		l.Publish()
	}
	s.AuthFailed(AuthExpired)
	s.Reached(LimitMailbox)
	for _, status := range []int{202, 413, 202, 599, 0, 1000} {
		s.Answered(status)
	}
	s.CounterFunc("sluice_trace_spans_dropped_total", "Spans that were not exported.", func() float64 { return 17 })
	u := upstreamOf(s, "chat")
	for range 4 {
		u.Began()
	}
	u.Done(EventMessage, OutcomeOK, 3*time.Millisecond, TraceID{})
	u.Done(EventConnect, OutcomeRefused, time.Hour, TraceID{})
	u.Waiting(2)
	u.Waiting(-1)
	u.Farewells(3)
	u.Bounds(100, 200, 64)
	u.Reached(LimitResponse)
	for range 3 {
		u.Trying()
	}
	u.Attempt(2*time.Millisecond, true, TraceID{})
	u.Attempt(5*time.Second, false, TraceID{})
	u.Retry()
	u.Lost(EventDisconnected)
	u.BreakerState(StateOpen)
	return s
}

// upstreamOf is the upstream of a hub, exported.
func upstreamOf(s *Set, name string) *Upstream {
	h := s.Hub(name)
	h.ExportUpstream(true)
	return h.Upstream()
}

func TestExpositionIsGolden(t *testing.T) {
	got := scrape(t, busy())
	golden.Check(t, filepath.Join("testdata", "exposition.txt"), []byte(got))
}

func TestExpositionPassesLint(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(busy())
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestCountsAppearOnlyWhenPublished(t *testing.T) {
	s := New(Options{Loops: 1})
	l, h := s.Loop(0), s.Hub("h")
	l.Inc(Panics)
	l.Received(h, 1)
	mustShow(t, scrape(t, s), `sluice_panics_total 0`, `sluice_messages_received_total{hub="h"} 0`)
	l.Publish()
	mustShow(t, scrape(t, s), `sluice_panics_total 1`, `sluice_messages_received_total{hub="h"} 1`)
	l.Received(h, 1)
	l.Publish()
	mustShow(t, scrape(t, s), `sluice_panics_total 1`, `sluice_messages_received_total{hub="h"} 2`)
}

func TestLabelsWithFewValuesStartAtZero(t *testing.T) {
	s := New(Options{Loops: 1, ProtocolErrorKinds: []string{"mask"}})
	s.Hub("h")
	got := scrape(t, s)
	mustShow(t, got,
		`sluice_handshakes_total{hub="h",result="ok"} 0`,
		`sluice_handshakes_total{hub="",result="timeout"} 0`,
		`sluice_messages_dropped_total{hub="h",reason="memory"} 0`,
		`sluice_rate_limited_total{hub="h",scope="control"} 0`,
		`sluice_slow_consumers_total{hub="h"} 0`,
		`sluice_received_bytes_total{hub="h"} 0`,
		`sluice_received_bytes_total{hub=""} 0`,
		`sluice_accept_errors_total{errno="EMFILE"} 0`,
		`sluice_protocol_errors_total{kind="mask"} 0`,
		`sluice_auth_failures_total{reason="signature"} 0`,
		`sluice_limit_reached_total{limit="connections"} 0`,
		`sluice_connections{hub="h"} 0`)
	mustNotShow(t, got, "sluice_connections_closed_total")
	mustNotShow(t, got, "sluice_upstream")
}

func TestLevelsAreShownAtOnce(t *testing.T) {
	s := New(Options{Loops: 2})
	l, h := s.Loop(1), s.Hub("h")
	l.Opened(h)
	l.Opened(h)
	l.Gauge(ParkedSessions, 3)
	mustShow(t, scrape(t, s), `sluice_connections{hub="h"} 2`, `sluice_parked_sessions 3`)
	l.Closed(h, 1000, ReasonClientClose, time.Second)
	l.Gauge(ParkedSessions, -2)
	mustShow(t, scrape(t, s), `sluice_connections{hub="h"} 1`, `sluice_parked_sessions 1`)
}

func TestGaugesOfLoopsAddUpAcrossZero(t *testing.T) {
	s := New(Options{Loops: 2})
	// What begins at one loop may end at the other.
	s.Loop(0).Gauge(HandshakesInFlight, 5)
	s.Loop(1).Gauge(HandshakesInFlight, -3)
	s.Loop(0).Publish()
	s.Loop(1).Publish()
	mustShow(t, scrape(t, s), `sluice_handshakes_in_flight 2`)
}

func TestUpstreamIsShownWhileItsFirstRequestIsInFlight(t *testing.T) {
	s := New(Options{Loops: 1})
	upstreamOf(s, "h").Began()
	got := scrape(t, s)
	mustShow(t, got, `sluice_upstream_in_flight{hub="h"} 1`, `sluice_upstream_lost_total{event="disconnected",hub="h"} 0`)
	mustNotShow(t, got, "sluice_upstream_requests_total")
}

func TestGaugeFuncIsReadAtEachScrape(t *testing.T) {
	s := New(Options{Loops: 1})
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s)
	v := 1.0
	s.GaugeFunc("sluice_buffered_bytes", "Bytes in buffers.", func() float64 { return v })
	for range 2 {
		got := testutil.ToFloat64(only{s, "sluice_buffered_bytes"})
		if got != v {
			t.Errorf("got %v, want %v", got, v)
		}
		v++
	}
}

// only collects one metric of a Set.
type only struct {
	*Set
	name string
}

func (o only) Collect(out chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric, 1000)
	o.Set.Collect(all)
	close(all)
	for m := range all {
		if strings.Contains(m.Desc().String(), `"`+o.name+`"`) {
			out <- m
		}
	}
}
