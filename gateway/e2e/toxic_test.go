package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/coder/websocket"
	"github.com/rs/zerolog"
)

// network is the way between the gateway and its backend.
type network struct{ *toxiproxy.Proxy }

// connectTo opens a way to a backend.
func connectTo(t *testing.T, backend string) network {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := network{toxiproxy.NewProxy(server, "upstream", "127.0.0.1:0", backend)}
	n.up(t)
	t.Cleanup(n.Stop)
	return n
}

// up opens the way, on the address that it had before.
func (n network) up(t *testing.T) {
	t.Helper()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
}

// down closes the way. A connection that Stop cuts may outlive it for a moment
// and take a request with it, of which nobody knows then whether it arrived:
// down returns when there is none.
func (n network) down(t *testing.T) {
	t.Helper()
	n.Stop()
	port := netip.MustParseAddrPort(n.Listen).Port()
	gatewaytest.EventuallyOr(t, func() string { return "connections are left" }, func() bool { return !established(t, port) })
}

// established reports whether there is a connection to or from a port
// (proc_net(5), tcp).
func established(t *testing.T, port uint16) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if f[3] == "01" && (strings.HasSuffix(f[1], suffix) || strings.HasSuffix(f[2], suffix)) {
			return true
		}
	}
	return false
}

// spoil puts a toxic in, for connections from now on, and for those there are.
func (n network) spoil(t *testing.T, toxic string) {
	t.Helper()
	if _, err := n.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		t.Fatal(err)
	}
}

// fragile is the hub of a backend with a bad network between.
const fragile = `
hubs:
  default:
    paths: ["/"]
    anonymous: true
    upstream:
      url: 'http://%s/'
      events: ["*"]
      timeout: 1s
      budget: 3s
      breaker: {attempts: 1000000}
      repeat_unanswered: %t
`

// crowd has many clients send a message each at a time.
type crowd []*websocket.Conn

func gather(t *testing.T, g *gatewaytest.Command, size int) crowd {
	t.Helper()
	c := make(crowd, size)
	for i := range c {
		c[i] = gatewaytest.Dial(t, g.URL(), nil)
	}
	return c
}

// round is what became of one message of each client.
type round struct {
	answered atomic.Int64
	closed   atomic.Int64 // with 1011 or 1013
	lost     atomic.Int64 // neither
	soonest  atomic.Int64 // until a close, in nanoseconds; 0 without any
	why      atomic.Value // the error of one of the lost, as a string
}

// say sends a message from every client at once and waits until each has an
// answer or is closed.
func (c crowd) say(ctx context.Context, message string) *round {
	var r round
	var wg sync.WaitGroup
	start := time.Now()
	for i, conn := range c {
		wg.Go(func() {
			err := converse(ctx, conn, fmt.Sprintf("%s of %d", message, i))
			var closed websocket.CloseError
			switch {
			case err == nil:
				r.answered.Add(1)
			case errors.As(err, &closed) && (closed.Code == websocket.StatusInternalError || closed.Code == websocket.StatusTryAgainLater):
				r.closed.Add(1)
				keepLeast(&r.soonest, int64(time.Since(start)))
			default:
				r.lost.Add(1)
				r.why.Store(err.Error())
			}
		})
	}
	wg.Wait()
	return &r
}

func keepLeast(v *atomic.Int64, n int64) {
	for {
		old := v.Load()
		if old != 0 && old <= n || v.CompareAndSwap(old, n) {
			return
		}
	}
}

// converse sends a text and reads the answer, which must be the same. It reads
// from the beginning: who is closed within a long message learns why.
func converse(ctx context.Context, conn *websocket.Conn, text string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*gatewaytest.Patience)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		_, got, err := conn.Read(ctx)
		if err == nil && string(got) != text {
			err = fmt.Errorf("the answer to %.50q is %.50q", text, got)
		}
		answer <- err
	}()
	conn.Write(ctx, websocket.MessageText, []byte(text)) // an error is one of the reading, too
	return <-answer
}

func (r *round) String() string {
	text := fmt.Sprintf("%d answered, %d closed, %d neither", r.answered.Load(), r.closed.Load(), r.lost.Load())
	if why := r.why.Load(); why != nil {
		text += fmt.Sprintf(" (such as: %v)", why)
	}
	return text
}

func TestABadNetworkToTheBackendLosesNothingSilently(t *testing.T) {
	gatewaytest.EachLoopCount(t, testBadNetwork)
}

func testBadNetwork(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	const clients = 20
	tests := []struct {
		name   string
		toxic  string
		repeat bool
		end    string // what becomes of every message
	}{
		{"latency", `{"type": "latency", "attributes": {"latency": 200, "jitter": 50}}`, false, "answered"},
		{"slices", `{"type": "slicer", "attributes": {"average_size": 7, "size_variation": 3, "delay": 5000}}`, false, "answered"},
		{"slow requests", `{"type": "slicer", "stream": "upstream", "attributes": {"average_size": 20, "size_variation": 10, "delay": 5000}}`, false, "answered"},
		{"answers that do not come", `{"type": "timeout", "attributes": {"timeout": 0}}`, false, "closed"},
		{"answers cut off", `{"type": "limit_data", "attributes": {"bytes": 40}}`, false, "closed"},
		{"requests that do not arrive", `{"type": "timeout", "stream": "upstream", "attributes": {"timeout": 100}}`, false, "closed"},
		{"resets of answers", `{"type": "reset_peer", "attributes": {"timeout": 10}}`, false, "closed"},
		{"resets of requests", `{"type": "reset_peer", "stream": "upstream", "attributes": {"timeout": 0}}`, false, "closed"},
		{"resets at times, for events that may repeat", `{"type": "reset_peer", "toxicity": 0.5, "attributes": {"timeout": 1}}`, true, "either"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			backend := serveHooks(t, nil)
			way := connectTo(t, backend.address)
			g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\n"+fragile, loops, way.Listen, test.repeat))
			everybody := gather(t, g, clients)
			if r := everybody.say(t.Context(), "before"); r.answered.Load() != clients {
				t.Fatalf("before: %v", r)
			}
			way.spoil(t, test.toxic)
			r := everybody.say(t.Context(), "now")
			switch {
			case r.lost.Load() != 0,
				test.end == "answered" && r.answered.Load() != clients,
				test.end == "closed" && r.closed.Load() != clients:
				t.Errorf("%v, want all %s", r, test.end)
			}
			g.AwaitMetric(t, "sluice_upstream_requests_total", float64(clients+r.answered.Load()), "event=message", "outcome=ok")
			g.AwaitMetric(t, "sluice_upstream_requests_total", 2*clients, "event=message")
			g.AwaitMetric(t, "sluice_connections_closed_total", float64(r.closed.Load()), "initiator=server")
			expectRepeats(t, backend, test.repeat)
		})
	}
}

// expectRepeats fails if the backend saw a message twice, unless it may, and
// then only under one id.
func expectRepeats(t *testing.T, backend *hooks, may bool) {
	t.Helper()
	ids := map[string]string{}
	for _, e := range backend.named("message") {
		id, repeated := ids[e.body]
		if repeated && (!may || id != e.id) {
			t.Errorf("%q came with id %s and again with %s", e.body, id, e.id)
		}
		ids[e.body] = e.id
	}
}

func TestABackendThatRestartsWithinTheBudgetIsNotNoticed(t *testing.T) {
	gatewaytest.EachLoopCount(t, testRestart)
}

func testRestart(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	const clients = 20
	backend := serveHooks(t, nil)
	way := connectTo(t, backend.address)
	g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\n"+fragile, loops, way.Listen, false))
	everybody := gather(t, g, clients)
	if r := everybody.say(t.Context(), "before"); r.answered.Load() != clients {
		t.Fatalf("before: %v", r)
	}
	way.down(t)
	said := make(chan *round)
	go func() { said <- everybody.say(t.Context(), "meanwhile") }()
	gatewaytest.EventuallyOr(t, func() string { return "nothing was tried again" }, func() bool { return g.Metric(t, "sluice_upstream_retries_total") >= clients })
	way.up(t)
	if r := <-said; r.answered.Load() != clients {
		t.Errorf("%v, want all answered", r)
	}
	expectRepeats(t, backend, false)
}
