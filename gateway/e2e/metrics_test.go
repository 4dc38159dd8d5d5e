package e2e_test

import (
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestPromtoolFindsNothingWrongWithTheMetrics(t *testing.T) {
	promtool := program(t, "promtool")
	g := start(t, "")
	conn := g.connect(t, nil)
	mustEcho(t, conn, "hello")
	conn.Close(websocket.StatusNormalClosure, "")
	if _, response, err := g.dial(t, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://evil.example"}}}); err == nil || response == nil {
		t.Fatalf("a foreign origin was not refused: %v", err)
	}
	g.awaitMetric(t, "sluice_connections_closed_total", 1)

	_, exposition := get(t, "http://"+g.admin+"/metrics")
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(exposition)
	if output, err := cmd.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, output)
	}
}

// metric scrapes and sums the series of a counter or gauge.
func (g *gateway) metric(t *testing.T, name string) float64 {
	t.Helper()
	_, exposition := get(t, "http://"+g.admin+"/metrics")
	var sum float64
	for line := range strings.Lines(exposition) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if family, _, _ := strings.Cut(series, "{"); family != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += v
	}
	return sum
}

// awaitMetric scrapes until the metric has this value: what is shown may be as
// old as a tick of the loops.
func (g *gateway) awaitMetric(t *testing.T, name string, want float64) {
	t.Helper()
	tries := time.NewTicker(20 * time.Millisecond)
	defer tries.Stop()
	late := time.After(patience)
	for {
		got := g.metric(t, name)
		if got == want {
			return
		}
		select {
		case <-tries.C:
		case <-late:
			t.Fatalf("%s is %v, want %v", name, got, want)
		}
	}
}
