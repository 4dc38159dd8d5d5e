package e2e_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
)

// prompt makes a drain short.
const prompt = `
drain: {delay: 0s, window: 100ms, timeout: 20s}
`

func TestSIGTERMClosesEveryClientAndExitsWithZero(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			g := start(t, prompt)
			conns := make([]*websocket.Conn, 20)
			for i := range conns {
				conns[i] = g.connect(t, nil)
				mustEcho(t, conns[i], "hello")
			}
			g.signal(t, s)
			for _, conn := range conns {
				if closed := closeOf(t, conn); closed.Code != websocket.StatusGoingAway {
					t.Errorf("closed with %v, want 1001", closed)
				}
			}
			if status := g.awaitExit(t); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
		})
	}
}

func TestWhileItDrainsNewcomersAreRefusedAndItIsNotReady(t *testing.T) {
	g := start(t, "drain: {delay: 20s, window: 1s, timeout: 60s}\n")
	held := g.connect(t, nil)
	if status, _ := get(t, "http://"+g.admin+"/readyz"); status != http.StatusOK {
		t.Fatalf("readyz before the drain: %d", status)
	}
	g.signal(t, syscall.SIGTERM)
	g.log.await(t, "draining")
	_, response, err := g.dial(t, nil)
	if err == nil || response == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a newcomer got %v, %v; want 503", response, err)
	}
	if status, _ := get(t, "http://"+g.admin+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz while draining: %d, want 503", status)
	}
	mustEcho(t, held, "still here")
}

func TestASecondSignalEndsTheDrain(t *testing.T) {
	g := start(t, "drain: {delay: 0s, window: 0s, timeout: 10m}\nlimits: {close: 10m}\n")
	deaf := upgradeByHand(t, g) // never answers the Close frame
	defer deaf.Close()
	g.signal(t, syscall.SIGTERM)
	g.log.await(t, "draining")
	g.signal(t, syscall.SIGTERM)
	if status := g.awaitExit(t); status != 3 {
		t.Errorf("exit status %d, want 3: the drain was cut short", status)
	}
}

// Whoever insists does not have to wait until the first signal has been taken.
func TestASecondSignalAtTheSameMomentEndsTheDrain(t *testing.T) {
	for range 5 {
		g := start(t, "drain: {delay: 0s, window: 0s, timeout: 10m}\nlimits: {close: 10m}\n")
		deaf := upgradeByHand(t, g) // never answers the Close frame
		defer deaf.Close()
		g.signal(t, syscall.SIGSTOP) // so that both are there when it looks
		g.signal(t, syscall.SIGTERM)
		g.signal(t, syscall.SIGINT)
		g.signal(t, syscall.SIGCONT)
		if status := g.awaitExit(t); status != 3 {
			t.Errorf("exit status %d, want 3: the drain was cut short", status)
		}
	}
}

func TestTwoSignalsWithoutClientsAreNoFailure(t *testing.T) {
	g := start(t, "drain: {delay: 10m, window: 10m, timeout: 30m}\n")
	idle, err := net.Dial("tcp", g.address) // as browsers keep one for later
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	g.signal(t, syscall.SIGTERM)
	g.log.await(t, "draining")
	g.signal(t, syscall.SIGTERM)
	if status := g.awaitExit(t); status != 0 {
		t.Errorf("exit status %d, want 0: nobody was cut off", status)
	}
}

// handshakeByHand is a connection that has asked for its handshake.
func handshakeByHand(t *testing.T, g *gateway) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	request := "GET / HTTP/1.1\r\nHost: " + g.address + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// upgradeByHand is a connection whose handshake is done and that stays silent.
func upgradeByHand(t *testing.T, g *gateway) net.Conn {
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
	g := start(t, origins(`"https://one.example"`))
	held := g.connect(t, from("https://one.example"))
	if _, _, err := g.dial(t, from("https://two.example")); err == nil {
		t.Fatal("an origin that is not listed was served")
	}

	g.configure(t, origins(`"https://two.example"`))
	g.signal(t, syscall.SIGHUP)
	g.log.await(t, "configuration reloaded")
	g.connect(t, from("https://two.example"))
	if _, _, err := g.dial(t, from("https://one.example")); err == nil {
		t.Error("an origin that is listed no more was served")
	}
	mustEcho(t, held, "kept over the reload")

	g.configure(t, origins(`"https://three.example"`)+"    nonsense: true\n")
	g.signal(t, syscall.SIGHUP)
	failed := g.log.await(t, "configuration not reloaded, the running one stays in force")
	if text := failed.text("err"); !strings.Contains(text, "sluice.yaml:8:") || !strings.Contains(text, "nonsense") {
		t.Errorf("the log names neither line nor key: %q", text)
	}
	g.connect(t, from("https://two.example"))
	g.awaitMetric(t, "sluice_config_last_reload_successful", 0)
	mustEcho(t, held, "kept over the failure")
}
