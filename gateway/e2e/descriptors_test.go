package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

// mob is many connections of clients.
type mob struct {
	t     *testing.T
	conns []net.Conn
}

// come connects, says what is given, and returns the status of the answer, 0 if
// nothing was said. The connection stays if the status is that.
func (c *mob) come(address, request string, stays int) (status int) {
	c.t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		c.t.Fatal(err)
	}
	if request != "" {
		conn.SetDeadline(time.Now().Add(gatewaytest.Patience))
		io.WriteString(conn, request) // an error shows below
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			c.t.Fatalf("after %d connections: %v", len(c.conns), err)
		}
		status = response.StatusCode
	}
	if status != stays {
		conn.Close()
		return status
	}
	c.conns = append(c.conns, conn)
	return status
}

func (c *mob) leave() {
	for _, conn := range c.conns {
		conn.Close()
	}
}

// With clients of every kind up to their bounds, the node has descriptors for
// itself, and the connections that its gauge, and the doctor, promise.
func TestClientsLeaveTheNodeItsDescriptors(t *testing.T) {
	for _, limit := range []int{1200, 2000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("WebHook-Allowed-Origin", "*")
				w.Header().Set("Connection", "close") // every event is dialled for
				w.Header().Set("Content-Type", "text/plain")
				io.Copy(w, r.Body)
			}))
			defer backend.Close()
			g := gatewaytest.Launch(t, fmt.Sprintf(`
limits: {handshake: 10m}
heartbeat: {interval: 10m, timeout: 10m}
hubs:
  default: {paths: ["/"], anonymous: true, upstream: {url: 'echo:'}}
  asked: {paths: ["/asked"], anonymous: true, upstream: {url: 'http://%s/', events: ["*"]}}
`, backend.Listener.Addr()), within(limit))
			promised := int(g.Metric(t, "sluice_connections_limit"))
			doctor := exec.Command("sluice", "doctor", "-config", g.File)
			within(limit)(doctor)
			report, err := doctor.Output()
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf(" %d ", promised); !strings.Contains(ungrouped(string(report)), want) {
				t.Errorf("the doctor does not say%s:\n%s", want, report)
			}
			ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
			defer cancel()
			asked, _, err := websocket.Dial(ctx, g.URL()+"asked", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer asked.CloseNow()

			all := mob{t: t}
			defer all.leave()
			plain := 0
			for range limit { // as many as there may be, and more
				if all.come(g.Address, "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n", http.StatusOK) == http.StatusOK {
					plain++
				}
			}
			for range limit {
				all.come(g.Address, "", 0)
			}
			sessions := 1
			upgrade := "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
			for all.come(g.Address, upgrade, http.StatusSwitchingProtocols) == http.StatusSwitchingProtocols {
				sessions++
			}
			if sessions != promised {
				t.Errorf("%d connections, %d were promised; beside %d of plain HTTP", sessions, promised, plain)
			}
			for range limit {
				all.come(g.Address, "", 0)
			}
			for range 20 { // each with a connection of its own
				if status, _ := gatewaytest.Get(t, "http://"+g.Admin+"/healthz"); status != http.StatusOK {
					t.Fatalf("the admin listener answers %d", status)
				}
				gatewaytest.Echo(t, asked, "taken to the backend and back")
			}
			if refused := g.Metric(t, "sluice_accept_errors_total"); refused != 0 {
				t.Errorf("%v times there was no descriptor", refused)
			}
		})
	}
}

// ungrouped takes the commas out of numbers.
func ungrouped(s string) string { return strings.ReplaceAll(s, ",", "") }

// within runs the command with a limit of descriptors.
func within(descriptors int) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$@"`, descriptors), "sh"}, cmd.Args...)
		cmd.Path = "/bin/sh"
	}
}
