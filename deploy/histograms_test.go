package deploy_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sluice/gateway/gatewaytest"
	"sluice/metrics"
)

// ailing serves the metrics of a node on which everything that histograms tell
// of is wrong: of two loops one has stopped and the other is late, and pushes
// and events take seconds.
func ailing(t *testing.T) (address string) {
	t.Helper()
	set := metrics.New(metrics.Options{Version: "v", Revision: "r", GoVersion: "go", Loops: 2})
	hub, loop := set.Hub("chat"), set.Loop(0)
	hub.ExportUpstream(true)
	registry := client.NewRegistry()
	registry.MustRegister(set)
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				loop.LoopLag(700 * time.Millisecond)
				loop.Delivered(4 * time.Second)
				loop.Publish()
				hub.Upstream().Began()
				hub.Upstream().Done(metrics.EventMessage, metrics.OutcomeOK, 9*time.Second, metrics.TraceID{})
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://")
}

// A Prometheus that takes native histograms gets them by protobuf, and one that
// is older than scrape_classic_histograms keeps no classic bucket then.
func TestAlertsOfHistogramsFireWithNativeAndWithClassicBuckets(t *testing.T) {
	t.Parallel()
	for form, flags := range map[string][]string{
		"classic": nil,
		"native":  {"--enable-feature=native-histograms"},
	} {
		t.Run(form, func(t *testing.T) {
			p := prometheus(t, ailing(t), flags...)
			gatewaytest.Eventually(t, "a first scrape", func() bool { return has(t, p, "sluice_loops") })
			if native := has(t, p, "sluice_loop_lag_seconds"); native != (form == "native") {
				t.Errorf("the histogram is native: %t", native)
			}
			for _, alert := range []string{"SluiceLoopSlow", "SluiceLoopStalled", "SluiceDeliverySlow", "SluiceUpstreamSlow"} {
				awaitAlert(t, p, alert)
			}
			for title, exprs := range dashboard(t).exprs() {
				for _, expr := range exprs {
					if strings.Contains(expr, "_bucket{") {
						ask(t, p, title, variables.Replace(expr))
					}
				}
			}
		})
	}
}

// ask wants an answer where the ailing node has something to tell.
func ask(t *testing.T, address, title, expr string) {
	t.Helper()
	for _, quiet := range []string{"handshake_duration", "connection_duration", "message_size", "ping_rtt", "attempt_duration"} {
		if strings.Contains(expr, quiet) {
			return
		}
	}
	if !has(t, address, strings.ReplaceAll(expr, "[5m]", "[15s]")) {
		t.Errorf("%s shows nothing: %s", title, expr)
	}
}

// has reports whether an expression has a value that is a number.
func has(t *testing.T, address, expr string) bool {
	t.Helper()
	answer := get(t, "http://"+address+"/api/v1/query?query="+url.QueryEscape(expr))
	return strings.Contains(answer, `"metric"`) && !strings.Contains(answer, fmt.Sprintf("%q", "NaN"))
}
