package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// padded is an upgrade request whose head is size bytes long.
func padded(size int) string {
	bare := len(request("/", "X-Padding: "))
	return request("/", "X-Padding: "+strings.Repeat("x", size-bare))
}

// fields are n header lines.
func fields(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("X-%d: x", i)
	}
	return lines
}

func TestRequestHeadHasLimits(t *testing.T) {
	const own = 5 // header lines of request
	slow := limited(func(l *config.Limits) { l.Handshake = milliseconds(200) })
	dribble := func(p *peer, head string, step int) {
		for len(head) > 0 {
			n := min(step, len(head))
			if _, err := io.WriteString(p.Conn, head[:n]); err != nil {
				return // refused before it was all said
			}
			head = head[n:]
		}
	}
	for _, c := range []struct {
		name   string
		edit   func(*config.Config)
		say    func(*peer)
		status int
		result metrics.Result
	}{
		{"as long as allowed", nil, func(p *peer) { p.say(padded(8 << 10)) }, 101, metrics.ResultOK},
		{"one byte too long", nil, func(p *peer) { p.say(padded(8<<10 + 1)) }, 431, metrics.ResultHeadTooLarge},
		{"too long without an end", nil, func(p *peer) { p.say(padded(9 << 10)[:8<<10]) }, 431, metrics.ResultHeadTooLarge},
		{"too long and dribbled", nil, func(p *peer) { dribble(p, padded(9<<10), 100) }, 431, metrics.ResultHeadTooLarge},
		{"as long as allowed and dribbled", nil, func(p *peer) { dribble(p, padded(8<<10), 100) }, 101, metrics.ResultOK},
		{"longer than a read", nil, func(p *peer) { p.say(padded(2 * engine.ReadSize)) }, 431, metrics.ResultHeadTooLarge},
		{"as many fields as allowed", nil, func(p *peer) { p.say(request("/", fields(64-own)...)) }, 101, metrics.ResultOK},
		{"too many fields", nil, func(p *peer) { p.say(request("/", fields(65-own)...)) }, 431, metrics.ResultHeadTooLarge},
		{"nothing said", slow, func(*peer) {}, 408, metrics.ResultTimeout},
		{"no end in time", slow, func(p *peer) { p.say(strings.TrimSuffix(request("/"), "\r\n")) }, 408, metrics.ResultTimeout},
		{"a byte now and then", slow, func(p *peer) {
			head := request("/")
			for began := time.Now(); time.Since(began) < time.Second; time.Sleep(30 * time.Millisecond) {
				io.WriteString(p.Conn, head[:1]) // no byte is the last one: nothing resets the clock
				head = head[1:]
			}
		}, 408, metrics.ResultTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t, c.edit)
			p := n.connect()
			began := time.Now()
			c.say(p)
			p.wantStatus(c.status)
			if c.status != http.StatusSwitchingProtocols {
				p.wantAnswerEnd()
			}
			if c.status == http.StatusRequestTimeout && time.Since(began) < 200*time.Millisecond {
				t.Errorf("refused after %v", time.Since(began))
			}
			p.Close()
			n.settled()
			if got := n.metric("sluice_handshakes_total", "result="+c.result.String()); got != 1 {
				t.Errorf("%v handshakes counted as %s", got, c.result)
			}
			if got := n.metric("sluice_handshakes_total"); got != 1 {
				t.Errorf("%v handshakes counted", got)
			}
		})
	}
}

// wantAnswerEnd reads the rest of an answer, which must end without a reset.
func (p *peer) wantAnswerEnd() {
	p.t.Helper()
	if _, err := io.Copy(io.Discard, p.r); err != nil {
		p.t.Fatalf("the answer ended with %v", err)
	}
}

// wantBusy wants the answer to a newcomer over a limit.
func (p *peer) wantBusy() {
	p.t.Helper()
	if r := p.wantStatus(http.StatusServiceUnavailable); r.Header.Get("Retry-After") != "5" {
		p.t.Errorf("Retry-After: %q", r.Header.Get("Retry-After"))
	}
	p.wantAnswerEnd()
}

// Of the connections that have said nothing the oldest goes, when there are
// more of them than may be.
func TestPendingHandshakesAreLimited(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) { l.PendingHandshakes = 2 }))
	silent := []*peer{n.connect(), n.connect()}
	eventually(t, "two handshakes are pending", func() bool { return n.set.Pending.Load() == 2 })
	for i := range 3 {
		silent = append(silent, n.connect())
		silent[i].wantBusy()
	}
	n.publish()
	if got := n.metric("sluice_handshakes_in_flight"); got != 2 {
		t.Errorf("%v handshakes in flight", got)
	}
	silent[3].Close()
	eventually(t, "one of them is gone", func() bool { return n.set.Pending.Load() == 1 })
	p := n.dial() // who is a session is not pending
	n.dial().Close()
	p.Close()
	silent[4].Close()
	n.settled()
	if got := n.metric("sluice_handshakes_total", "result=overloaded"); got != 3 {
		t.Errorf("%v handshakes counted as overloaded", got)
	}
	if got := n.metric("sluice_handshakes_total", "result=client_gone"); got != 2 {
		t.Errorf("%v handshakes counted as client_gone", got)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) { l.Connections = 2 }))
	a, b := n.dial(), n.dial()
	if n.Ready() == nil {
		t.Error("ready without room for a connection")
	}
	for range 3 {
		p := n.connect()
		p.say(request("/"))
		p.wantBusy()
		p.Close()
	}
	if got := n.metric("sluice_connections_limit"); got != 2 {
		t.Errorf("the limit is shown as %v", got)
	}
	a.Close()
	n.ended(ws.StatusAbnormalClosure, metrics.ReasonEOF)
	if err := n.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	n.dial().Close()
	b.send(text("still here"))
	b.want(ws.OpText, "still here")
	b.Close()
	n.settled()
	if got := n.metric("sluice_handshakes_total", "result=overloaded"); got != 3 {
		t.Errorf("%v handshakes counted as overloaded", got)
	}
}

func TestHTTPConnectionsAreLimited(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) { l.HTTPConnections = 1 }))
	const health = "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
	p := n.connect()
	p.say(health)
	p.wantBody(http.StatusOK, "ok\n")
	if got := n.metric("sluice_http_connections"); got != 1 {
		t.Errorf("%v HTTP connections", got)
	}
	p.say(health) // it is kept alive
	p.wantBody(http.StatusOK, "ok\n")
	q := n.connect() // a newcomer gets the place of who is idle
	q.say(health)
	q.wantBody(http.StatusOK, "ok\n")
	p.wantEnd()
	p.Close()
	q.Close()
	eventually(t, "the place is free", func() bool { return n.metric("sluice_http_connections") == 0 })
	r := n.connect()
	r.say(health)
	r.wantBody(http.StatusOK, "ok\n")
	// A connection that becomes a session gives its place back.
	r.say(request("/"))
	r.wantStatus(http.StatusSwitchingProtocols)
	s := n.connect()
	s.say(health)
	s.wantBody(http.StatusOK, "ok\n")
	for _, p := range []*peer{q, r, s} {
		p.Close()
	}
	n.settled()
}

// wantBody wants an HTTP answer with that body, and leaves what is behind it.
func (p *peer) wantBody(status int, body string) {
	p.t.Helper()
	r := p.wantStatus(status)
	got, err := io.ReadAll(r.Body)
	if err != nil || string(got) != body {
		p.t.Fatalf("got %q, %v, want %q", got, err, body)
	}
}

// deflated is the extension that a client offers.
const deflated = "Sec-WebSocket-Extensions: permessage-deflate"

// withDeflate makes the default hub compress.
func withDeflate(cfg *config.Config) {
	hub := cfg.Hubs["default"]
	hub.Deflate = true
	cfg.Hubs["default"] = hub
}

// compressed is a message as a client with permessage-deflate sends it.
func compressed(t *testing.T, message []byte) []byte {
	t.Helper()
	f := session.NewDeflater().AppendFrame(nil, ws.OpBinary, message, 15)
	h, err := ws.ReadHeader(bytes.NewReader(f))
	if err != nil || !h.Rsv1() {
		t.Fatalf("not compressed: %+v, %v", h, err)
	}
	return part(fin|rsv1|byte(ws.OpBinary), string(f[len(f)-int(h.Length):]))
}

func TestMessagesHaveLimits(t *testing.T) {
	small := limited(func(l *config.Limits) { l.Message = 1000 })
	few := limited(func(l *config.Limits) { l.Fragments = 3 })
	brief := limited(func(l *config.Limits) { l.MessageAge = milliseconds(200) })
	rare := limited(func(l *config.Limits) { l.ControlRate, l.ControlBurst = 1, 10 })
	const (
		first = byte(ws.OpText)
		more  = byte(ws.OpContinuation)
	)
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name   string
		edit   func(*config.Config)
		send   [][]byte
		echoed string // in front of the Close frame; "": nothing
		code   ws.StatusCode
		reason metrics.Reason
		kind   string
	}{
		{"announced", small, [][]byte{part(fin|first, long(1001))[:8]}, "", 1009, metrics.ReasonMessageTooBig, "message_too_big"},
		{"announced as 64 bits", nil, [][]byte{{fin | first, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}}, "", 1009, metrics.ReasonMessageTooBig, "message_too_big"},
		{"behind one that is not too long", small, [][]byte{text(long(1000)), text(long(1001))}, long(1000), 1009, metrics.ReasonMessageTooBig, "message_too_big"},
		{"from fragments", small, [][]byte{part(first, long(500)), part(more, long(500)), part(fin|more, "x")}, "", 1009, metrics.ReasonMessageTooBig, "message_too_big"},
		{"too many fragments", few, [][]byte{part(first, "a"), part(more, "b"), part(fin|more, "c"), part(first, ""), part(more, ""), part(more, ""), part(fin|more, "")}, "abc", 1008, metrics.ReasonFragments, "fragments"},
		{"a message not finished in time", brief, [][]byte{part(first, "begun")}, "", 1008, metrics.ReasonMessageAge, ""},
		{"a frame not finished in time", brief, [][]byte{text("done"), text("begun")[:9]}, "done", 1008, metrics.ReasonMessageAge, ""},
		{"a header not finished in time", brief, [][]byte{{fin | first}}, "", 1008, metrics.ReasonMessageAge, ""},
		{"a ping not finished in time", brief, [][]byte{control(ws.OpPing, "begun")[:8]}, "", 1008, metrics.ReasonMessageAge, ""},
		{"too many pings", rare, [][]byte{bytes.Repeat(control(ws.OpPing, ""), 11)}, "", 1008, metrics.ReasonControlRate, ""},
		{"too many pongs", rare, [][]byte{bytes.Repeat(control(ws.OpPong, ""), 11)}, "", 1008, metrics.ReasonControlRate, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t, c.edit)
			p := n.dial()
			p.send(c.send...)
			p.SetDeadline(time.Now().Add(5 * time.Second)) // and not at the next heartbeat
			if c.echoed != "" {
				p.want(ws.OpText, c.echoed)
			}
			if c.name == "too many pings" {
				for range 10 {
					p.want(ws.OpPong, "")
				}
			}
			f, err := p.frame()
			if code, _ := ws.ParseCloseFrameData(f.Payload); err != nil || f.Header.OpCode != ws.OpClose || code != c.code {
				t.Fatalf("got %+v, %v, want a Close frame with %d", f, err, c.code)
			}
			p.wantEnd()
			p.Close()
			n.ended(c.code, c.reason)
			n.settled()
			if c.kind != "" && n.metric("sluice_protocol_errors_total", "kind="+c.kind) != 1 {
				t.Errorf("not counted as %s", c.kind)
			}
			if c.reason == metrics.ReasonControlRate && n.metric("sluice_rate_limited_total", "scope=control") != 1 {
				t.Error("not counted as limited by rate")
			}
		})
	}
}

// The time of a message counts though it began behind one that was waited for.
func TestMessageBehindAParkedOneHasItsTime(t *testing.T) {
	late := newLate(upstream.Message)
	n := start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		cfg.Limits.MessageAge = milliseconds(300)
	}, late)
	p := n.dial()
	p.send(append(text("one"), part(byte(ws.OpText), "begun")...))
	one := late.next(t, upstream.Message)
	n.awaits("the second waits", func(c *client) bool { return c.Holding() })
	one.answer()
	p.want(ws.OpText, "one")
	p.SetDeadline(time.Now().Add(5 * time.Second)) // and not at the next heartbeat
	p.want(ws.OpClose, body(ws.StatusPolicyViolation, "message not complete in time"))
	p.Close()
	n.ended(ws.StatusPolicyViolation, metrics.ReasonMessageAge)
	n.settled()
}

// A reload may make the limit smaller than what has come of a head.
func TestHeadIsHeldAgainstTheLimitOfTheDay(t *testing.T) {
	n := start(t, nil)
	p := n.connect()
	p.say(padded(4000)[:3000])
	n.awaits("the head has begun", func(c *client) bool { return c.Holding() && len(c.HeldInput()) == 3000 })
	cfg := config.Default()
	cfg.Limits.Head = config.KiB
	if err := n.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	p.say("x")
	p.wantStatus(http.StatusRequestHeaderFieldsTooLarge)
	p.wantAnswerEnd()
	p.Close()
	n.settled()
}

func TestInflatedMessagesHaveLimits(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		withDeflate(cfg)
		cfg.Limits.Message = 100_000
	})
	p := n.dial(deflated)
	fits := make([]byte, 100_000)
	p.send(compressed(t, fits), compressed(t, append(fits, 0)))
	if f, err := p.frame(); err != nil || !f.Header.Rsv1() || f.Header.OpCode != ws.OpBinary {
		t.Fatalf("got %+v, %v, want the echo", f.Header, err)
	}
	p.wantClose(ws.StatusMessageTooBig)
	p.Close()
	n.ended(ws.StatusMessageTooBig, metrics.ReasonMessageTooBig)
	n.settled()
}

func TestPeerThatDoesNotAnswerACloseIsDropped(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) { l.Close = milliseconds(200) }))
	p := n.dial()
	began := time.Now()
	if err := n.disconnect(n.id(), ws.StatusNormalClosure, "enough"); err != nil {
		t.Fatal(err)
	}
	p.want(ws.OpClose, string(ws.NewCloseFrameBody(ws.StatusNormalClosure, "enough")))
	p.wantEnd()
	if waited := time.Since(began); waited < 200*time.Millisecond {
		t.Errorf("dropped after %v", waited)
	}
	n.ended(ws.StatusNormalClosure, metrics.ReasonCloseTimeout)
	n.settled()
}
