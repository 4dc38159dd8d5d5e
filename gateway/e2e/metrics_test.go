package e2e_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

func TestPromtoolFindsNothingWrongWithTheMetrics(t *testing.T) {
	promtool := gatewaytest.Program(t, "promtool")
	g := gatewaytest.Launch(t, fmt.Sprintf(hostile, serveHooks(t, nil).address)) // with the series of upstreams
	conn := gatewaytest.Dial(t, g.URL(), nil)
	gatewaytest.Echo(t, conn, "hello")
	conn.Close(websocket.StatusNormalClosure, "")
	if _, response, err := gatewaytest.TryDial(t, g.URL(), &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://evil.example"}}}); err == nil || response == nil {
		t.Fatalf("a foreign origin was not refused: %v", err)
	}
	g.AwaitMetric(t, "sluice_connections_closed_total", 1)

	_, exposition := gatewaytest.Get(t, "http://"+g.Admin+"/metrics")
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(exposition)
	if output, err := cmd.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, output)
	}
}
