package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/gatewaytest"
	"sluice/metrics"
	"sluice/session"
)

// Two hubs; what goes wrong in one is not told of the other.
func TestWhatHappensIsCountedForItsHub(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		t.Parallel() // it mostly waits
		n := start(t, func(cfg *config.Config) {
			cfg.Loops = loops
			cfg.Limits.ControlRate, cfg.Limits.ControlBurst = 1, 1
			cfg.Limits.Message = 100
			cfg.Hubs["chat"] = config.Hub{Paths: []string{"/chat"}, Upstream: config.Upstream{URL: "echo:"}, Anonymous: true, Origins: []string{"https://app.example"}}
		})
		n.chatter("/chat")
		n.refusals()
		counted := func(name string, want float64, labels ...string) {
			t.Helper()
			eventually(t, fmt.Sprintf("%s%v is %v", name, labels, want), func() bool { return n.metric(name, labels...) == want })
		}
		counted("sluice_handshakes_total", 2, "hub=chat", "result=ok")
		counted("sluice_handshakes_total", 1, "hub=chat", "result=origin")
		counted("sluice_handshakes_total", 1, "hub=", "result=not_found")
		counted("sluice_handshakes_total", 1, "hub=", "result=bad_request")
		counted("sluice_rate_limited_total", 1, "hub=chat")
		counted("sluice_connections_closed_total", 1, "hub=chat", "reason=control_rate")
		counted("sluice_connections_closed_total", 1, "hub=chat", "reason=message_too_big")
		if in, out := n.metric("sluice_received_bytes_total", "hub=chat"), n.metric("sluice_sent_bytes_total", "hub=chat"); in < 100 || out < 200 {
			t.Errorf("%v bytes in, %v out", in, out)
		}
		if n.metric("sluice_received_bytes_total", "hub=") == 0 || n.metric("sluice_sent_bytes_total", "hub=") == 0 {
			t.Error("the bytes of the refused are not counted")
		}
		for _, name := range []string{"handshakes_total", "rate_limited_total", "connections_closed_total", "received_bytes_total", "sent_bytes_total"} {
			counted("sluice_"+name, 0, "hub=default")
		}
	})
}

// chatter opens a session that pings too often, and one that says too much.
func (n *node) chatter(path string) {
	n.t.Helper()
	ping := session.AppendMasked(nil, ws.OpPing, nil, testMask)
	for _, frames := range [][][]byte{{ping, ping}, {text(strings.Repeat("x", 101))}} {
		p := n.connect()
		p.say(request(path, "Origin: https://app.example"))
		p.wantStatus(http.StatusSwitchingProtocols)
		p.send(frames...)
	}
}

// refusals are handshakes that end before and after a hub is known.
func (n *node) refusals() {
	n.t.Helper()
	for head, status := range map[string]int{
		request("/chat", "Origin: https://evil.example"): http.StatusForbidden,
		request("/nowhere"):                  http.StatusNotFound,
		"GET / HTTP/1.1\r\nHost : x\r\n\r\n": http.StatusBadRequest,
	} {
		p := n.connect()
		p.say(head)
		p.wantStatus(status)
	}
}

func TestHubWhoseUpstreamIsBuiltInExportsNoneOfIts(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer backend.Close()
	n := startWith(t, backend.URL, nil)
	upstreams := func() bool { return strings.Contains(scrape(t, n.registry), "sluice_upstream_") }
	if !upstreams() {
		t.Error("a webhook has no series")
	}
	if err := n.Reload(reloaded(func(cfg *config.Config) { cfg.Limits.Close = 0 })); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the series of the webhook that was replaced are gone", func() bool { return !upstreams() })

	p := n.dial()
	p.send(text("hello"))
	p.want(ws.OpText, "hello")
	p.send(closeFrame(ws.StatusNormalClosure))
	n.closedFor(metrics.ReasonClientClose)
	if upstreams() {
		t.Error("they are back")
	}
}

// Who has connected is there: nobody has to wait for a tick, which the test
// takes from the loops.
func TestConnectionIsCountedWhenItsHandshakeIsAnswered(t *testing.T) {
	for _, loops := range []int{1, 4} {
		n := start(t, func(cfg *config.Config) { cfg.Loops = loops })
		for _, l := range n.loops {
			l.do(func(l *loop) { l.System().StopTicking() })
		}
		for i := range 5 {
			n.dial()
			if got := n.metric("sluice_connections", "hub=default"); got != float64(i+1) {
				t.Errorf("%d loops: %v connections after handshake %d", loops, got, i+1)
			}
		}
	}
}
