package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine/transport/transporttest"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
	"sluice/gateway/upstream/echo"
	"sluice/metrics"
	"sluice/session"
)

func TestMain(m *testing.M) {
	if child := os.Getenv(childVariable); child != "" {
		os.Exit(runChild(child))
	}
	goleak.VerifyTestMain(m,
		// Of a webhook: it sleeps for a while before it sees that all is closed.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"))
}

const (
	patience    = gatewaytest.Patience
	raceEnabled = gatewaytest.Race
)

// node is a gateway under test, on a free port of the loopback.
type node struct {
	*Gateway
	t        testing.TB
	registry *prometheus.Registry
	log      *gatewaytest.Log
}

// start serves a gateway for the test. edit changes the default configuration.
func start(t testing.TB, edit func(*config.Config), upstreams ...upstream.Upstream) *node {
	t.Helper()
	cfg := gatewaytest.Config()
	if edit != nil {
		edit(cfg)
	}
	return startOptions(t, cfg, func(o *Options) { o.Schemes["test"] = scheme(upstreams) })
}

// startOptions serves a gateway made of these options.
func startOptions(t testing.TB, cfg *config.Config, edit func(*Options)) *node {
	t.Helper()
	n := &node{t: t, registry: prometheus.NewRegistry(), log: new(gatewaytest.Log)}
	if strings.HasPrefix(t.Name(), overTransport+"/4 loops/") && cfg.Loops == 0 {
		cfg.Loops = 4
	}
	o := options(cfg, n.registry, n.log.Logger())
	if isOverTransport(t) {
		o.Transport = &transporttest.Scrambler{Seed: 1, Beside: func(work func()) { go work() }}
	}
	edit(&o)
	n.Gateway = gatewaytest.Start(t, New, o, ErrClosed)
	return n
}

// options are those of a gateway that knows the scheme echo:.
func options(cfg *config.Config, r prometheus.Registerer, log *slog.Logger) Options {
	set := metrics.New(metrics.Options{Loops: Loops(cfg), ProtocolErrorKinds: session.Kinds()})
	r.MustRegister(set)
	return Options{Config: cfg, Log: log, Metrics: set, Schemes: map[string]Open{"echo": echo.Open}, Buffered: 1 << 30}
}

// scheme opens the first of upstreams.
func scheme(upstreams []upstream.Upstream) Open {
	return func(upstream.Options) (upstream.Upstream, error) { return upstreams[0], nil }
}

// unserved makes a gateway that the test serves itself, if at all.
func unserved(t testing.TB, cfg *config.Config, log *slog.Logger) *Gateway {
	t.Helper()
	g, err := New(options(cfg, prometheus.NewRegistry(), log))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// withUpstream makes the upstream of the default hub the one of the test.
func withUpstream(cfg *config.Config) {
	hub := cfg.Hubs["default"]
	hub.Upstream.URL = "test:"
	cfg.Hubs["default"] = hub
}

// metric returns the sum of a metric, as [gatewaytest.Scrape] has it.
func (n *node) metric(name string, labels ...string) float64 {
	n.t.Helper()
	return gatewaytest.Gather(n.t, n.registry).Sum(name, labels...)
}

// eventually waits until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	gatewaytest.Eventually(t, what, ok)
}

// closedFor waits until one connection has been counted as closed for reason.
func (n *node) closedFor(reason metrics.Reason) {
	n.t.Helper()
	eventually(n.t, "a connection closed for "+reason.String(), func() bool {
		return n.metric("sluice_connections_closed_total", "reason="+reason.String()) > 0
	})
}

// peer is a client that speaks raw bytes.
type peer struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// connect opens a TCP connection to the node and says nothing.
func (n *node) connect() *peer {
	n.t.Helper()
	return connectTo(n.t, n.Addr().String())
}

func connectTo(t testing.TB, addr string) *peer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(4 * patience)) // of a whole test
	t.Cleanup(func() { c.Close() })
	if isOverTransport(t) {
		over, err := transporttest.Dial(c, 2)
		if err != nil {
			t.Fatal(err)
		}
		c = over
	}
	return &peer{Conn: c, t: t, r: bufio.NewReader(c)}
}

const key = "dGhlIHNhbXBsZSBub25jZQ=="

// request is a proper upgrade request for a path, with more header lines.
func request(path string, lines ...string) string {
	head := "GET " + path + " HTTP/1.1\r\nHost: sluice.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"
	for _, l := range lines {
		head += l + "\r\n"
	}
	return head + "\r\n"
}

// dial connects and upgrades at the default hub's path.
func (n *node) dial(lines ...string) *peer {
	n.t.Helper()
	p := n.connect()
	p.say(request("/", lines...))
	p.wantStatus(http.StatusSwitchingProtocols)
	return p
}

func (p *peer) say(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, s); err != nil {
		p.t.Fatal(err)
	}
}

// send writes frames as they are.
func (p *peer) send(frames ...[]byte) {
	p.t.Helper()
	for _, f := range frames {
		if _, err := p.Write(f); err != nil {
			p.t.Fatal(err)
		}
	}
}

// wantStatus reads an HTTP response head and returns it.
func (p *peer) wantStatus(status int) *http.Response {
	p.t.Helper()
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatalf("want status %d: %v", status, err)
	}
	if resp.StatusCode != status {
		body, _ := io.ReadAll(resp.Body)
		p.t.Fatalf("status %d (%s), want %d", resp.StatusCode, body, status)
	}
	return resp
}

// frame reads one frame.
func (p *peer) frame() (ws.Frame, error) { return readFrame(p.r) }

func (p *peer) want(op ws.OpCode, payload string) {
	p.t.Helper()
	f, err := p.frame()
	if err != nil {
		p.t.Fatalf("want %s: %v", describe(op, payload), err)
	}
	if f.Header.OpCode != op || string(f.Payload) != payload {
		p.t.Fatalf("got %s, want %s", describe(f.Header.OpCode, string(f.Payload)), describe(op, payload))
	}
}

func describe(op ws.OpCode, payload string) string {
	if len(payload) > 40 {
		payload = fmt.Sprintf("%s… (%d bytes)", payload[:40], len(payload))
	}
	return fmt.Sprintf("frame %#x %q", op, payload)
}

// wantClose reads frames up to a Close frame with that code, and the end of
// the stream behind it.
func (p *peer) wantClose(code ws.StatusCode) {
	p.t.Helper()
	for {
		f, err := p.frame()
		if err != nil {
			p.t.Fatalf("want a Close frame with %d: %v", code, err)
		}
		if f.Header.OpCode != ws.OpClose {
			continue
		}
		if got, _ := ws.ParseCloseFrameData(f.Payload); got != code {
			p.t.Fatalf("close code %d, want %d", got, code)
		}
		break
	}
	p.wantEnd()
}

// wantEnd wants the end of the stream, not a reset.
func (p *peer) wantEnd() {
	p.t.Helper()
	if _, err := p.r.ReadByte(); err != io.EOF {
		p.t.Fatalf("got %v, want the end of the stream", err)
	}
}

var testMask = [4]byte{0x12, 0x34, 0x56, 0x78}

func text(s string) []byte { return session.AppendMasked(nil, ws.OpText, []byte(s), testMask) }

func control(op ws.OpCode, payload string) []byte {
	return session.AppendMasked(nil, op, []byte(payload), testMask)
}

func closeFrame(code ws.StatusCode) []byte {
	return control(ws.OpClose, string(ws.NewCloseFrameBody(code, "")))
}

// lateUpstream answers when the test says so.
type lateUpstream struct {
	events chan lateEvent
	wants  upstream.Type
}

// lateEvent is an event that waits for its answer.
type lateEvent struct {
	upstream.Event
	data string
	sink upstream.Sink
}

func newLate(wants upstream.Type) *lateUpstream {
	return &lateUpstream{events: make(chan lateEvent, 1<<16), wants: wants}
}

func (u *lateUpstream) Close(context.Context) int { return 0 }

func (u *lateUpstream) Traits() upstream.Traits { return upstream.Traits{Events: u.wants} }

func (u *lateUpstream) Send(ev *upstream.Event, late upstream.Sink) (upstream.Reply, bool) {
	u.events <- lateEvent{Event: *ev, data: string(ev.Data), sink: late}
	return upstream.Reply{}, false
}

// next waits for the next event.
func (u *lateUpstream) next(t testing.TB, want upstream.Type) lateEvent {
	t.Helper()
	select {
	case ev := <-u.events:
		if ev.Type != want {
			t.Fatalf("event %v, want %v", ev.Type, want)
		}
		return ev
	case <-time.After(patience):
		t.Fatalf("no event, want %v", want)
		panic("unreachable")
	}
}

// answer echoes the event's message.
func (ev lateEvent) answer() {
	ev.sink.Reply(ev.From, upstream.Reply{Send: delivery.Send{Op: ev.Op, Data: []byte(ev.data)}})
}

// readFrame reads one frame, as ws.ReadFrame would if it had a bound.
func readFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	if f.Header.Length > 64<<20 {
		return f, fmt.Errorf("a frame of %d bytes", f.Header.Length)
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// do carries out an action, and waits for nobody.
func (n *node) do(t delivery.Target, a delivery.Action) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	t.Hub = "default"
	_, err := n.Do(ctx, t, a)
	return err
}

// push sends a message to one session.
func (n *node) push(id string, op ws.OpCode, data []byte) error {
	return n.do(delivery.Target{Kind: delivery.Connection, Name: id}, delivery.Send{Op: op, Data: data})
}

// broadcast sends a message to all sessions.
func (n *node) broadcast(op ws.OpCode, data []byte) error {
	return n.do(delivery.Target{}, delivery.Send{Op: op, Data: data})
}

// disconnect closes a session with a code of its own.
func (n *node) disconnect(id string, code ws.StatusCode, text string) error {
	ref, ok := n.ids.Decode(id)
	if !ok {
		return errors.New("no such connection")
	}
	n.loops[ref.Loop].post(letter{run: func(l *loop) bool {
		if c := l.find(ref); c != nil {
			l.dismiss(c, code, metrics.ReasonBackend, text)
		}
		return true
	}})
	return nil
}
