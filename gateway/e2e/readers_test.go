package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"

	"github.com/gobwas/ws"
)

// TestReadersThatStopAreToldSoAndCostLittle pushes 64 MiB to 50 clients that do
// not read. Each is closed when its queue is over its bound; the frames that
// wait are the same for all of them and held once.
func TestReadersThatStopAreToldSoAndCostLittle(t *testing.T) {
	const readers, pushes, size = 50, 64, 1 << 20
	const key = "readers-that-stop"
	g := gatewaytest.Launch(t, "api_keys: ["+key+"]\n")
	before := resident(t, g)
	var stopped []net.Conn
	for range readers {
		conn, _, _, err := ws.Dial(t.Context(), g.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		stopped = append(stopped, conn)
	}
	message := bytes.Repeat([]byte("x"), size)
	most := before
	for range pushes {
		push(t, g, key, message)
		most = max(most, resident(t, g))
	}
	g.AwaitMetric(t, "sluice_connections_closed_total", 0, "reason=heartbeat")
	g.AwaitMetric(t, "sluice_slow_consumers_total", readers)
	t.Logf("resident: %d MiB before, %d at the most", before>>20, most>>20)
	if limit := roomier(24 << 20); most-before > limit {
		t.Errorf("the gateway has grown by %d MiB, want at most %d", (most-before)>>20, limit>>20)
	}
	for i, conn := range stopped { // whoever reads again finds frames, and why it was closed
		if code, err := lastWords(conn); err != nil || code != 1013 {
			t.Errorf("reader %d: close code %d, %v", i, code, err)
		}
	}
}

// push sends a message to everybody by the data plane.
func push(t *testing.T, g *gatewaytest.Command, key string, message []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://%s/api/hubs/default/:send", g.Address), bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/octet-stream")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		body, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s: %s", answer.Status, body)
	}
}

// lastWords reads whole frames up to a Close frame, and returns its code.
func lastWords(conn net.Conn) (ws.StatusCode, error) {
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		h, err := ws.ReadHeader(conn)
		if err != nil {
			return 0, err
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return 0, err
		}
		switch h.OpCode {
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(payload)
			return code, nil
		case ws.OpBinary, ws.OpPing:
		default:
			return 0, errors.New("an unexpected frame")
		}
	}
}
