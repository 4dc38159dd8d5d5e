package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

func TestEverythingMayComeByteByByte(t *testing.T) {
	n := start(t, nil)
	p := n.connect()
	long := strings.Repeat("x", 126) // a length of 16 bits
	stream := request("/") + string(text(long)) + string(part(byte(ws.OpText), "in two")) + string(control(ws.OpPing, "between")) +
		string(part(fin|byte(ws.OpContinuation), " parts")) + string(closeFrame(ws.StatusNormalClosure))
	for i := range stream {
		p.say(stream[i : i+1])
	}
	p.wantStatus(http.StatusSwitchingProtocols)
	p.want(ws.OpText, long)
	p.want(ws.OpPong, "between")
	p.want(ws.OpText, "in two parts")
	p.wantClose(ws.StatusNormalClosure)
	n.ended(ws.StatusNormalClosure, metrics.ReasonClientClose)
	n.settled()
}

// More than one read behind the head must be served without another byte from
// the client, whether the head came at once or not.
func TestFramesBehindTheHeadAreAllServed(t *testing.T) {
	frames := string(bytes.Repeat(text(strings.Repeat("x", 1000)), 150)) // more than two reads
	for _, c := range []struct {
		name   string
		before int // bytes of the head that come first; -1: not even a connection
	}{
		{"before the accept", -1},
		{"head at once", 0},
		{"late head", 1},
		{"last byte of the head late", len(request("/")) - 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t, nil)
			for _, l := range n.loops { // as where net.ipv4.tcp_rmem has been raised
				l.do(func(l *loop) {
					if err := unix.SetsockoptInt(l.Listeners()[0].FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20); err != nil {
						t.Error(err)
					}
				})
			}
			stream := request("/") + frames
			var p *peer
			if c.before >= 0 {
				p = n.connect()
				n.awaits("the client is accepted", func(c *client) bool { return c.Registered() })
				p.say(stream[:c.before])
				n.awaits("the head has come so far", func(cl *client) bool { return c.before == 0 || len(cl.HeldInput()) == c.before })
			}
			n.frozen(func() {
				if p == nil {
					p = n.connect()
				}
				p.say(stream[max(c.before, 0):])
			})
			p.wantStatus(http.StatusSwitchingProtocols)
			for range 150 {
				p.want(ws.OpText, strings.Repeat("x", 1000))
			}
			p.Close()
			n.settled()
		})
	}
}

// A head that is refused is answered, though more than one read came with it.
func TestLateHeadThatIsRefusedIsAnsweredAndFreed(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) { l.Close = config.Duration(time.Hour) }))
	p := n.connect()
	p.say("GET")
	n.awaits("the head has begun", func(c *client) bool { return c.Holding() })
	n.frozen(func() {
		p.say(" / nonsense\r\n\r\n" + strings.Repeat("x", 3*engine.ReadSize))
		p.closeWrite()
	})
	p.wantStatus(http.StatusBadRequest)
	p.wantAnswerEnd()
	n.settled()
}

// A client that sends and does not read is slowed down, and closed when it is
// time. It finds whole frames and why, if it reads at last.
func TestClientThatOnlySendsIsHeldBackAndClosed(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) {
		l.QueueAge = milliseconds(500)
		l.Close = config.Duration(patience)
	}))
	p := n.dial()
	const size = 10_000
	stop, sent := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				sent <- nil
				return
			default:
			}
			if _, err := p.Write(part(fin|byte(ws.OpBinary), string(numbered(i, size)))); err != nil {
				sent <- err
				return
			}
		}
	}()
	peak, parked := int64(0), false
	eventually(t, "it is found slow", func() bool {
		n.each(func(c *client) { peak, parked = max(peak, n.budget.Used()), parked || c.Parked() && c.Holding() })
		return n.metric("sluice_slow_consumers_total") == 1
	})
	if !parked {
		t.Error("it was never held back")
	}
	if limit := int64(512 << 10); peak > limit {
		t.Errorf("%d bytes buffered, want at most %d", peak, limit)
	}
	// From now on what it sends is thrown away: it is not to be reset over what
	// it has sent, before it has read why.
	close(stop)
	if err := <-sent; err != nil {
		t.Errorf("while it sent: %v", err)
	}
	n.awaits("all of it is read", func(c *client) bool {
		unread, err := unix.IoctlGetInt(c.FD(), unix.SIOCINQ)
		return err == nil && unread == 0
	})
	if got := p.wantNumbered(size, 1013); got == 0 {
		t.Error("nothing was echoed")
	}
	p.Close()
	n.ended(1013, metrics.ReasonSlowConsumerAge)
	n.settled()
}

// What floods the node is cut off at a limit, in flat memory, and told why.
func TestFloodsAreCutOff(t *testing.T) { gatewaytest.EachLoopCount(t, testFloods) }

func testFloods(t *testing.T, loops int) {
	n := start(t, func(cfg *config.Config) {
		withDeflate(cfg)
		cfg.Loops = loops
		cfg.Limits.Buffered = 4 * config.MiB // of the bomb, a message is kept, and while it grows its half
	})
	block := session.NewDeflater().AppendFrame(nil, ws.OpBinary, make([]byte, 1<<20), 15)
	h, err := ws.ReadHeader(bytes.NewReader(block))
	if err != nil || !h.Rsv1() {
		t.Fatalf("%+v, %v", h, err)
	}
	// Blocks of zeros, one after the other: 256 MiB if they were inflated.
	block = append(block[len(block)-int(h.Length):], 0, 0, 0xff, 0xff)
	bomb := bytes.TrimSuffix(bytes.Repeat(block, 256), []byte{0, 0, 0xff, 0xff})
	if len(bomb) > 512<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	empty := part(byte(ws.OpContinuation), "")
	for _, c := range []struct {
		name   string
		flood  []byte
		times  int
		code   ws.StatusCode
		reason metrics.Reason
	}{
		{"pings", bytes.Repeat(control(ws.OpPing, strings.Repeat("x", 125)), 1000), 100, 1008, metrics.ReasonControlRate},
		{"empty fragments", bytes.Repeat(empty, 1000), 1000, 1008, metrics.ReasonFragments},
		{"bomb", part(fin|rsv1|byte(ws.OpBinary), string(bomb)), 1, 1009, metrics.ReasonMessageTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := n.dial(deflated)
			if c.name == "empty fragments" {
				p.send(part(byte(ws.OpText), ""))
			}
			sent := make(chan error, 1)
			go func() {
				for range c.times {
					if _, err := p.Write(c.flood); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			p.wantClose(c.code)
			// It is told, and what it still sends is read and thrown away.
			if err := <-sent; err != nil {
				t.Errorf("while it sent: %v", err)
			}
			p.Close()
			n.closedFor(c.reason)
			n.settled()
		})
	}
}

func TestWhatIsNoHandshakeIsRefusedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		say    string
		status int
	}{
		"TLS":                          {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("r", 500), 400},
		"one byte of TLS":              {"\x16", 400},
		"bare LF":                      {strings.ReplaceAll(request("/"), "\r\n", "\n"), 400},
		"one bare LF":                  {"GET / HTTP/1.1\nHost: x\r\n", 400},
		"HTTP/1.0":                     {strings.Replace(request("/"), "HTTP/1.1", "HTTP/1.0", 1), 400},
		"HTTP/2":                       {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505},
		"HTTP/0.9":                     {"GET /\r\n\r\n", 400},
		"empty head":                   {"\r\n\r\n", 400},
		"malformed Host":               {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
		"a long target":                {"GET /" + strings.Repeat("x", 10_000), 414},
		"long target of many segments": {"GET /" + strings.Repeat("x/", 10_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
		"zeros":                        {strings.Repeat("\x00", 10_000), 431},
		"zeros with an end":            {strings.Repeat("\x00", 100) + "\r\n\r\n", 400},
		"frames and no head":           {string(text("hello")) + "\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, nil)
			p := n.connect()
			p.say(c.say)
			p.wantStatus(c.status)
			p.wantAnswerEnd()
			p.Close()
			n.settled()
		})
	}
}

// Refusals and answers alike: one to HEAD has no body, and all have a date
// (RFC 9110 §6.6.1, §9.3.2).
func TestAnswersToHeadHaveNoBodyAndADate(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) { l.Handshake = milliseconds(200) }))
	for _, c := range []struct {
		head   string
		status int
	}{
		{"HEAD / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"HEAD / HTTP/1.1\nHost: a\r\n", 400},
		{"HEAD /" + strings.Repeat("x", 10_000), 414},
		{"HEAD / HTTP/1.1\r\nX: " + strings.Repeat("x", 10_000), 431},
		{"HEAD / HTTP/1.1\r\nHost: unfinished", 408},
		{strings.Replace(request("/"), "GET", "HEAD", 1), 405},
		{"\r\nHEAD /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404},
		{"HEAD /api/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200},
	} {
		p := n.connect()
		p.say(c.head)
		r, err := http.ReadResponse(p.r, &http.Request{Method: "HEAD"})
		if err != nil {
			t.Fatalf("%.40q: %v", c.head, err)
		}
		if _, err := http.ParseTime(r.Header.Get("Date")); r.StatusCode != c.status || err != nil {
			t.Errorf("%.40q: status %d, want %d; Date: %v", c.head, r.StatusCode, c.status, err)
		}
		p.wantEnd()
		p.Close()
	}
	n.settled()
}

// One empty line before a request line is skipped, however it comes.
func TestEmptyLineBeforeARequestIsSkipped(t *testing.T) {
	n := start(t, nil)
	p := n.connect()
	p.say("\r\n" + request("/"))
	p.wantStatus(http.StatusSwitchingProtocols)
	p.Close()
	q := n.connect()
	for _, c := range []byte("\r\nGET /api/health HTTP/1.1\r\nHost: x\r\n\r\n") {
		q.say(string(c))
	}
	q.wantBody(http.StatusOK, "ok\n")
	q.Close()
	n.settled()
}

// A node that was made and never served can be closed: its port could be
// opened, and something else failed.
func TestNodeCanBeClosedBeforeItServes(t *testing.T) {
	before := openDescriptors(t)
	n := unserved(t, gatewaytest.Config(), slog.New(slog.DiscardHandler))
	c, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	closed := make(chan error, 1)
	go func() { closed <- n.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Close hangs")
	}
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a client that waited for Serve waits for ever")
	}
	c.Close()
	eventually(t, "no descriptor is left", func() bool { return openDescriptors(t) <= before+2 }) // the runtime's poller
}

// spiteful is an upstream that panics at every end.
type spiteful struct{}

func (spiteful) Close(context.Context) int { return 0 }

func (spiteful) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Disconnected, Inline: true}
}

func (spiteful) Send(*upstream.Event, upstream.Sink) (upstream.Reply, bool) {
	panic("the upstream has a bug")
}

// The end of one session must not keep a node from ending all others.
func TestCloseEndsEverySessionThoughTheUpstreamPanics(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		n := start(t, func(cfg *config.Config) {
			withUpstream(cfg)
			cfg.Loops = loops
		}, spiteful{})
		peers := []*peer{n.dial(), n.dial(), n.dial()}
		n.Close()
		for _, p := range peers {
			p.wantEnd()
		}
	})
}

// Whoever reaches for the loops while they end is served or told that it is
// too late, and never waits for ever.
func TestCloseBesidePushes(t *testing.T) { gatewaytest.EachLoopCount(t, testCloseBesidePushes) }

func testCloseBesidePushes(t *testing.T, loops int) {
	for range 10 {
		n := start(t, func(cfg *config.Config) { cfg.Loops = loops })
		p := n.dial()
		id := n.id()
		var wg sync.WaitGroup
		for _, work := range []func() bool{
			func() bool { return n.push(id, ws.OpText, []byte("hello")) == nil },
			func() bool { return n.broadcast(ws.OpText, []byte("hello")) == nil },
			func() bool { return n.loops[0].do(func(*loop) {}) },
			func() bool { return n.loops[loops-1].do(func(*loop) {}) },
		} {
			wg.Go(func() {
				for end := time.Now().Add(patience); work(); {
					if time.Now().After(end) {
						t.Error("a closed node takes work for ever")
						return
					}
				}
			})
		}
		n.Close()
		done := make(chan struct{})
		go func() {
			wg.Wait()
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(2 * patience):
			t.Fatal("somebody waits for a loop that has ended")
		}
		p.Close()
	}
}
