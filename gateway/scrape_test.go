package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/plainhttp"
	"sluice/gateway/upstream"
	"sluice/gateway/upstream/webhook"
	"sluice/metrics"
)

// stall keeps a loop from everything until the returned function is called.
func (n *node) stall(l *loop) (release func()) {
	n.t.Helper()
	stalled, end := make(chan struct{}), make(chan struct{})
	l.post(letter{run: func(*loop) bool {
		close(stalled)
		<-end
		return true
	}})
	<-stalled
	return func() { close(end) }
}

// scrape is what Prometheus gets from a registry.
func scrape(t testing.TB, g prometheus.Gatherer) string {
	t.Helper()
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("scrape: %d\n%s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func TestScrapeReturnsWhileLoopsAreStalled(t *testing.T) {
	n := start(t, func(cfg *config.Config) { cfg.Loops = 2 })
	n.dial().Close()
	n.closedFor(metrics.ReasonEOF)
	for _, l := range n.loops {
		defer n.stall(l)()
	}
	// Somebody waits for them, too, and more and more is in their mailboxes.
	if err := n.broadcast(ws.OpText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	scraped := make(chan string, 1)
	go func() { scraped <- scrape(t, n.registry) }()
	select {
	case s := <-scraped:
		if !strings.Contains(s, "\nsluice_connections_accepted_total 1\n") {
			t.Error("the scrape lacks what the loops had published")
		}
		if strings.Contains(s, "\nsluice_mailbox_bytes 0\n") {
			t.Error("the scrape does not show what waits for the loops")
		}
	case <-time.After(patience):
		t.Error("the scrape waits for the loops")
	}
}

// inhabit puts sessions without sockets into the slots of a loop.
func (n *node) inhabit(l *loop, sessions int) {
	n.t.Helper()
	hub := n.settings.Load().hubs.Named("default")
	l.do(func(l *loop) {
		for range sessions {
			l.sham(hub)
			l.metrics.Opened(hub.metrics)
			l.metrics.Handshake(hub.metrics, metrics.ResultOK, time.Millisecond)
		}
		l.metrics.Publish()
	})
}

func TestSeriesDoNotGrowWithSessions(t *testing.T) {
	n := start(t, nil)
	series := func() int { return strings.Count(scrape(t, n.registry), "\nsluice_") }
	before := series()
	n.inhabit(n.loops[0], 20_000)
	if after := series(); after != before {
		t.Errorf("%d series became %d", before, after)
	}
	if got := n.metric("sluice_connections", "hub=default"); got != 20_000 {
		t.Errorf("%v connections", got)
	}
}

// BenchmarkScrapeOf100000Sessions says what a scrape costs the processor while
// there are so many.
func BenchmarkScrapeOf100000Sessions(b *testing.B) {
	n := start(b, nil)
	n.inhabit(n.loops[0], 100_000)
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	b.ReportAllocs()
	begin := cpu()
	for b.Loop() {
		scrape(b, n.registry)
	}
	b.ReportMetric(float64((cpu()-begin).Microseconds())/float64(b.N), "cpu-µs/op")
}

// bounds says which metric tells of each bound that is configured: how often it
// was reached, or how full it is.
var bounds = map[string]string{
	"heartbeat.timeout":                     closedBecause(metrics.ReasonHeartbeat),
	"drain.timeout":                         `sluice_drain_remaining_connections`,
	"limits.message":                        closedBecause(metrics.ReasonMessageTooBig),
	"limits.fragments":                      closedBecause(metrics.ReasonFragments),
	"limits.message_age":                    closedBecause(metrics.ReasonMessageAge),
	"limits.connections":                    reached(metrics.LimitConnections),
	"limits.head":                           handshakes(metrics.ResultHeadTooLarge),
	"limits.headers":                        handshakes(metrics.ResultHeadTooLarge),
	"limits.handshake":                      handshakes(metrics.ResultTimeout),
	"limits.pending_handshakes":             reached(metrics.LimitPendingHandshakes),
	"limits.queue":                          closedBecause(metrics.ReasonSlowConsumerBytes),
	"limits.queue_age":                      closedBecause(metrics.ReasonSlowConsumerAge),
	"limits.control_rate":                   `sluice_rate_limited_total{hub="default",scope="control"}`,
	"limits.control_burst":                  `sluice_rate_limited_total{hub="default",scope="control"}`,
	"limits.close":                          closedBecause(metrics.ReasonCloseTimeout),
	"limits.buffered":                       reached(metrics.LimitBuffered),
	"limits.groups":                         reached(metrics.LimitGroups),
	"limits.mailbox":                        reached(metrics.LimitMailbox),
	"limits.http_connections":               reached(metrics.LimitHTTPConnections),
	"hubs.<name>.upstream.timeout":          `sluice_upstream_attempts_total{hub="default",result="failed"}`,
	"hubs.<name>.upstream.idle":             `sluice_upstream_attempts_total{hub="default",result="failed"}`, // if it is too long
	"hubs.<name>.upstream.budget":           rare + `sluice_upstream_requests_total{outcome="` + metrics.OutcomeTimeout.String() + `"}`,
	"hubs.<name>.upstream.connect_budget":   rare + `sluice_upstream_requests_total{outcome="` + metrics.OutcomeTimeout.String() + `"}`,
	"hubs.<name>.upstream.in_flight":        `sluice_upstream_attempts_in_flight{hub="default"}`,
	"hubs.<name>.upstream.waiting":          reachedUpstream(metrics.LimitWaiting),
	"hubs.<name>.upstream.farewells":        reachedUpstream(metrics.LimitFarewells),
	"hubs.<name>.upstream.response":         reachedUpstream(metrics.LimitResponse),
	"hubs.<name>.upstream.breaker.failures": `sluice_upstream_breaker_opened_total{hub="default"}`,
}

// rare marks what is exported only once it has occurred.
const rare = "rare "

func closedBecause(r metrics.Reason) string {
	return fmt.Sprintf(`%ssluice_connections_closed_total{reason="%v"}`, rare, r)
}
func handshakes(r metrics.Result) string {
	return fmt.Sprintf(`sluice_handshakes_total{hub="",result="%v"}`, r)
}
func reached(l metrics.Limit) string { return fmt.Sprintf(`sluice_limit_reached_total{limit="%v"}`, l) }
func reachedUpstream(l metrics.UpstreamLimit) string {
	return fmt.Sprintf(`sluice_upstream_limit_reached_total{hub="default",limit="%v"}`, l)
}

func TestEveryBoundHasAMetric(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WebHook-Allowed-Origin", "*")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer backend.Close()
	n := startWith(t, backend.URL, nil)
	shown := scrape(t, n.registry)
	keys := regexp.MustCompile("(?m)^\\| `((?:limits|hubs\\.<name>\\.upstream)\\.[^`]+|[a-z_.]+\\.timeout)` \\| (?:size|duration|whole number)")
	found := keys.FindAllStringSubmatch(config.Reference(), -1)
	if len(found) < 25 {
		t.Fatalf("%d bounds in the reference", len(found))
	}
	for _, match := range found {
		key := match[1]
		if strings.HasPrefix(key, "hubs.<name>.upstream.breaker.") {
			key = "hubs.<name>.upstream.breaker.failures"
		}
		series := bounds[key]
		if series == "" {
			t.Errorf("no metric tells of %s", key)
		}
		if !strings.HasPrefix(series, rare) && !strings.Contains(shown, "\n"+series+" ") {
			t.Errorf("%s: the scrape has no %s", key, series)
		}
	}
}

// startWith serves a gateway whose default hub has a webhook for an upstream.
func startWith(t testing.TB, url string, edit func(*Options)) *node {
	t.Helper()
	cfg := gatewaytest.Config()
	hub := cfg.Hubs["default"]
	hub.Upstream.URL = url
	cfg.Hubs["default"] = hub
	return startOptions(t, cfg, func(o *Options) {
		o.Schemes["http"] = webhook.Open
		if edit != nil {
			edit(o)
		}
	})
}

func TestReachedLimitsAreCounted(t *testing.T) {
	counted := func(t *testing.T, n *node, l metrics.Limit) {
		t.Helper()
		eventually(t, "the limit is counted", func() bool {
			return n.metric("sluice_limit_reached_total", "limit="+l.String()) == 1
		})
		if all := n.metric("sluice_limit_reached_total"); all != 1 {
			t.Errorf("%v times altogether", all)
		}
	}
	busy := func(n *node) {
		p := n.connect()
		p.say(request("/"))
		p.wantBusy()
	}
	t.Run("connections", func(t *testing.T) {
		n := start(t, limited(func(l *config.Limits) { l.Connections = 1 }))
		n.dial()
		busy(n)
		counted(t, n, metrics.LimitConnections)
	})
	t.Run("silent connections", func(t *testing.T) {
		n := start(t, limited(func(l *config.Limits) { l.PendingHandshakes = 1 }))
		oldest := n.connect()
		eventually(t, "a handshake is pending", func() bool { return n.set.Pending.Load() == 1 })
		n.connect()
		oldest.wantBusy()
		counted(t, n, metrics.LimitSilent)
		if got := n.metric("sluice_handshakes_limit"); got != 1 {
			t.Errorf("the limit is shown as %v", got)
		}
	})
	t.Run("handshakes that wait", func(t *testing.T) {
		late := newLate(upstream.Connect)
		n := start(t, func(cfg *config.Config) {
			withUpstream(cfg)
			cfg.Limits.PendingHandshakes = 1
		}, late)
		n.connect().say(request("/"))
		late.next(t, upstream.Connect)
		busy(n)
		counted(t, n, metrics.LimitPendingHandshakes)
	})
	t.Run("handshakes of a hub", func(t *testing.T) {
		late := newLate(upstream.Connect)
		n := start(t, func(cfg *config.Config) {
			withUpstream(cfg)
			cfg.Limits.PendingHandshakes = 16
		}, late)
		for range 14 { // seven eighths
			n.connect().say(request("/"))
			late.next(t, upstream.Connect)
		}
		busy(n)
		counted(t, n, metrics.LimitHubHandshakes)
	})
	t.Run("descriptors", func(t *testing.T) {
		n := start(t, nil)
		left := n.descriptorsLeft()
		n.set.Pending.Add(left)
		n.connect().wantBusy()
		counted(t, n, metrics.LimitDescriptors)
		n.set.Pending.Add(-left)
	})
	t.Run("departing connections", func(t *testing.T) {
		n := start(t, limited(func(l *config.Limits) { l.PendingHandshakes = 1 }))
		for range 2 {
			p := n.connect()
			p.say(request("/nowhere"))
			p.wantStatus(http.StatusNotFound)
		}
		counted(t, n, metrics.LimitDeparting)
	})
	t.Run("buffered", func(t *testing.T) {
		n := start(t, nil)
		n.budget.Take(int(n.budget.Limit()))
		busy(n)
		counted(t, n, metrics.LimitBuffered)
	})
	t.Run("groups", func(t *testing.T) {
		n := start(t, limited(func(l *config.Limits) { l.Groups = 1 }))
		n.dial()
		if _, err := n.Do(t.Context(), delivery.Target{Hub: "default"}, delivery.Join{Groups: []string{"a", "b"}}); err == nil {
			t.Error("two groups were joined")
		}
		counted(t, n, metrics.LimitGroups)
	})
	t.Run("mailbox", func(t *testing.T) {
		n := start(t, limited(func(l *config.Limits) { l.Mailbox = 2 * config.MiB }))
		defer n.stall(n.loops[0])()
		first := n.broadcast(ws.OpText, make([]byte, 3<<19))
		second := n.broadcast(ws.OpText, make([]byte, 3<<19))
		if first != nil || second != delivery.ErrFull {
			t.Errorf("%v, and then %v", first, second)
		}
		counted(t, n, metrics.LimitMailbox)
		if used, limit := n.metric("sluice_mailbox_bytes"), n.metric("sluice_mailbox_bytes_limit"); used < 3<<19 || limit != 2<<20 {
			t.Errorf("%v bytes of %v", used, limit)
		}
	})
	t.Run("verifications", func(t *testing.T) {
		n := start(t, nil)
		end := make(chan struct{})
		defer close(end)
		for range besideMost {
			n.beside.try(func() { <-end })
		}
		if got := n.metric("sluice_verifications_in_flight"); got != besideMost {
			t.Errorf("%v in flight", got)
		}
		n.loops[0].do(func(l *loop) {
			c := l.sham(n.settings.Load().hubs.Named("default"))
			if l.verify(c, nil, auth.Beside, "", "") {
				t.Error("there was room for one more")
			}
			l.dispel(c)
		})
		counted(t, n, metrics.LimitVerifications)
	})
	t.Run("HTTP connections", func(t *testing.T) {
		n := start(t, limited(func(l *config.Limits) { l.HTTPConnections = 1 }))
		const health = "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
		p := n.connect()
		p.say(health)
		p.wantBody(http.StatusOK, "ok\n")
		q := n.connect()
		q.say(health)
		q.wantBody(http.StatusOK, "ok\n")
		counted(t, n, metrics.LimitHTTPConnections)
		if got := n.metric("sluice_http_connections_limit"); got != 1 {
			t.Errorf("the limit is shown as %v", got)
		}
	})
	t.Run("body of a push", func(t *testing.T) {
		n := start(t, func(cfg *config.Config) { cfg.APIKeys = []string{"0123456789abcdef"} })
		p := n.connect()
		p.say("POST /api/hubs/default/:send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer 0123456789abcdef\r\n" +
			fmt.Sprintf("Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n", maxPush+1))
		p.wantStatus(http.StatusRequestEntityTooLarge)
		eventually(t, "the answer is counted", func() bool { return n.metric("sluice_api_requests_total", "code=413") == 1 })
	})
	t.Run("HTTP queue", func(t *testing.T) {
		n := start(t, nil)
		o := n.httpOptions()
		o.Limits = func() plainhttp.Limits { return plainhttp.Limits{Conns: 2} }
		h := plainhttp.New(o) // and nobody takes anything
		for i, want := range []bool{true, true, false} {
			if h.Offer(nil, nil) != want {
				t.Errorf("connection %d of 2 is taken: %v", i+1, !want)
			}
		}
		counted(t, n, metrics.LimitHTTPQueue)
	})
}
