package e2e_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestPromtoolFindsNothingWrongWithTheMetrics(t *testing.T) {
	promtool := program(t, "promtool")
	g := start(t, fmt.Sprintf(hostile, serveHooks(t, nil).address)) // with the series of upstreams
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
