package e2e_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

// prompt makes a drain short.
const prompt = `
drain: {delay: 0s, window: 100ms, timeout: 20s}
`

func TestSIGTERMClosesEveryClientAndExitsWithZero(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			g := gatewaytest.Launch(t, prompt)
			conns := make([]*websocket.Conn, 20)
			for i := range conns {
				conns[i] = gatewaytest.Dial(t, g.URL(), nil)
				gatewaytest.Echo(t, conns[i], "hello")
			}
			g.Signal(t, s)
			for _, conn := range conns {
				if closed := gatewaytest.CloseOf(t, conn); closed.Code != websocket.StatusGoingAway {
					t.Errorf("closed with %v, want 1001", closed)
				}
			}
			if status := g.AwaitExit(t); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
		})
	}
}

func TestWhileItDrainsNewcomersAreRefusedAndItIsNotReady(t *testing.T) {
	g := gatewaytest.Launch(t, "drain: {delay: 20s, window: 1s, timeout: 60s}\n")
	held := gatewaytest.Dial(t, g.URL(), nil)
	if status, _ := gatewaytest.Get(t, "http://"+g.Admin+"/readyz"); status != http.StatusOK {
		t.Fatalf("readyz before the drain: %d", status)
	}
	g.Signal(t, syscall.SIGTERM)
	g.Log.Await(t, "draining")
	_, response, err := gatewaytest.TryDial(t, g.URL(), nil)
	if err == nil || response == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a newcomer got %v, %v; want 503", response, err)
	}
	if status, _ := gatewaytest.Get(t, "http://"+g.Admin+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz while draining: %d, want 503", status)
	}
	gatewaytest.Echo(t, held, "still here")
}

func TestASecondSignalEndsTheDrain(t *testing.T) {
	g := gatewaytest.Launch(t, "drain: {delay: 0s, window: 0s, timeout: 10m}\nlimits: {close: 10m}\n")
	deaf := upgradeByHand(t, g) // never answers the Close frame
	defer deaf.Close()
	g.Signal(t, syscall.SIGTERM)
	g.Log.Await(t, "draining")
	g.Signal(t, syscall.SIGTERM)
	if status := g.AwaitExit(t); status != 3 {
		t.Errorf("exit status %d, want 3: the drain was cut short", status)
	}
}

// Whoever insists does not have to wait until the first signal has been taken.
func TestASecondSignalAtTheSameMomentEndsTheDrain(t *testing.T) {
	for range 5 {
		g := gatewaytest.Launch(t, "drain: {delay: 0s, window: 0s, timeout: 10m}\nlimits: {close: 10m}\n")
		deaf := upgradeByHand(t, g) // never answers the Close frame
		defer deaf.Close()
		g.Signal(t, syscall.SIGSTOP) // so that both are there when it looks
		g.Signal(t, syscall.SIGTERM)
		g.Signal(t, syscall.SIGINT)
		g.Signal(t, syscall.SIGCONT)
		if status := g.AwaitExit(t); status != 3 {
			t.Errorf("exit status %d, want 3: the drain was cut short", status)
		}
	}
}

func TestTwoSignalsWithoutClientsAreNoFailure(t *testing.T) {
	g := gatewaytest.Launch(t, "drain: {delay: 10m, window: 10m, timeout: 30m}\n")
	idle, err := net.Dial("tcp", g.Address) // as browsers keep one for later
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	g.Signal(t, syscall.SIGTERM)
	g.Log.Await(t, "draining")
	g.Signal(t, syscall.SIGTERM)
	if status := g.AwaitExit(t); status != 0 {
		t.Errorf("exit status %d, want 0: nobody was cut off", status)
	}
}

// handshakeByHand is a connection that has asked for its handshake.
func handshakeByHand(t *testing.T, g *gatewaytest.Command) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", g.Address)
	if err != nil {
		t.Fatal(err)
	}
	request := "GET / HTTP/1.1\r\nHost: " + g.Address + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// upgradeByHand is a connection whose handshake is done and that stays silent.
func upgradeByHand(t *testing.T, g *gatewaytest.Command) net.Conn {
	t.Helper()
	conn := handshakeByHand(t, g)
	status := make([]byte, len("HTTP/1.1 101"))
	if _, err := io.ReadFull(conn, status); err != nil || string(status) != "HTTP/1.1 101" {
		t.Fatalf("handshake: %q, %v", status, err)
	}
	return conn
}

const listed = `
hubs:
  default:
    paths: ["/"]
    upstream: {url: "echo:"}
    anonymous: true
    origins: [%s]
`

func from(origin string) *websocket.DialOptions {
	return &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}}
}

func TestSIGHUPReloadsAGoodFileAndKeepsTheOldOneInForceForABadOne(t *testing.T) {
	origins := func(list string) string { return strings.Replace(listed, "%s", list, 1) }
	g := gatewaytest.Launch(t, origins(`"https://one.example"`))
	held := gatewaytest.Dial(t, g.URL(), from("https://one.example"))
	if _, _, err := gatewaytest.TryDial(t, g.URL(), from("https://two.example")); err == nil {
		t.Fatal("an origin that is not listed was served")
	}

	g.Configure(t, origins(`"https://two.example"`))
	g.Signal(t, syscall.SIGHUP)
	g.Log.Await(t, "configuration reloaded")
	gatewaytest.Dial(t, g.URL(), from("https://two.example"))
	if _, _, err := gatewaytest.TryDial(t, g.URL(), from("https://one.example")); err == nil {
		t.Error("an origin that is listed no more was served")
	}
	gatewaytest.Echo(t, held, "kept over the reload")

	g.Configure(t, origins(`"https://three.example"`)+"    nonsense: true\n")
	g.Signal(t, syscall.SIGHUP)
	failed := g.Log.Await(t, "configuration not reloaded, the running one stays in force")
	if text := failed.Text("err"); !strings.Contains(text, "sluice.yaml:8:") || !strings.Contains(text, "nonsense") {
		t.Errorf("the log names neither line nor key: %q", text)
	}
	gatewaytest.Dial(t, g.URL(), from("https://two.example"))
	g.AwaitMetric(t, "sluice_config_last_reload_successful", 0)
	gatewaytest.Echo(t, held, "kept over the failure")
}
