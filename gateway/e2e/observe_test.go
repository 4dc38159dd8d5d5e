package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	dto "github.com/prometheus/client_model/go"

	"sluice/gateway/gatewaytest"
	"sluice/gateway/trace/tracetest"
)

// Every name that dashboards and alerts may rely on.
func TestEveryMetricIsThere(t *testing.T) {
	g := gatewaytest.Launch(t, fmt.Sprintf(hostile, serveHooks(t, nil).address))
	conn := gatewaytest.Dial(t, g.URL(), nil)
	gatewaytest.Echo(t, conn, "hello")
	conn.Close(websocket.StatusNormalClosure, "")
	g.AwaitMetric(t, "sluice_connections_closed_total", 1)
	scrape := g.Scrape(t)
	for _, name := range []string{
		"build_info", "connections", "connections_limit", "connections_accepted_total", "connections_closed_total",
		"connection_duration_seconds", "handshakes_total", "handshake_duration_seconds", "handshakes_in_flight",
		"messages_received_total", "messages_sent_total", "received_bytes_total", "sent_bytes_total", "message_size_bytes",
		"protocol_errors_total", "rate_limited_total", "slow_consumers_total", "send_queue_bytes", "messages_dropped_total",
		"ping_rtt_seconds", "upstream_requests_total", "upstream_request_duration_seconds", "upstream_in_flight",
		"delivery_latency_seconds", "loop_lag_seconds", "stale_events_total", "accept_errors_total", "auth_failures_total",
		"drain_remaining_connections", "panics_total", "config_last_reload_successful",
	} {
		if scrape.Family("sluice_"+name) == nil {
			t.Errorf("there is no sluice_%s", name)
		}
	}
	for _, f := range scrape {
		name := f.GetName()
		if f.GetType() == dto.MetricType_HISTOGRAM && strings.HasPrefix(name, "sluice_") {
			if h := f.Metric[0].Histogram; h.Schema == nil || h.GetZeroThreshold() == 0 || len(h.Bucket) == 0 {
				t.Errorf("%s is %v", name, h)
			}
		}
	}
}

func TestTracesReachTheCollectorBeforeTheEnd(t *testing.T) {
	receiver := tracetest.Receive(t)
	g := gatewaytest.Launch(t, fmt.Sprintf(hostile, serveHooks(t, nil).address)+fmt.Sprintf("\ntrace: {endpoint: %q, sample: 1}\n", receiver.URL))
	conn := gatewaytest.Dial(t, g.URL(), nil)
	gatewaytest.Echo(t, conn, "hello")
	conn.Close(websocket.StatusNormalClosure, "")
	g.AwaitMetric(t, "sluice_connections_closed_total", 1)
	for _, name := range []string{"sluice_trace_queue_spans", "sluice_trace_spans_exported_total", "sluice_trace_spans_dropped_total"} {
		if g.Scrape(t).Family(name) == nil {
			t.Errorf("there is no %s", name)
		}
	}
	g.Signal(t, syscall.SIGTERM)
	if status := g.AwaitExit(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
	names := map[string]int{}
	for _, s := range receiver.Spans() {
		names[s.Name]++
	}
	if names["handshake"] != 1 || names["event message"] != 1 || names["attempt"] != 1 {
		t.Errorf("spans %v", names)
	}
}
