package gateway

import (
	"encoding/binary"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
)

// ending is one way for a session to end.
type ending struct {
	name   string
	edit   func(*config.Config)
	run    func(e *endingTest)
	code   ws.StatusCode  // as counted, and as the upstream is told
	reason metrics.Reason // the same
}

// endingTest is a session that is about to end.
type endingTest struct {
	*peer
	n    *node
	late *lateUpstream // wants messages and ends
}

// disconnect closes the session from the gateway's side.
func (e *endingTest) disconnect(code ws.StatusCode, text string) {
	e.t.Helper()
	if err := e.n.disconnect(e.n.id(), code, text); err != nil {
		e.t.Fatal(err)
	}
}

// unanswered waits until a message is under way to the upstream.
func (e *endingTest) unanswered() lateEvent {
	e.t.Helper()
	return e.late.next(e.t, upstream.Message)
}

// gone waits until the session's socket is closed.
func (e *endingTest) gone() {
	e.t.Helper()
	e.n.awaits("the connection is closed", func(c *client) bool { return c.State() == engine.Gone })
}

// test ends one session and looks at what is left of it.
func (c ending) test(t *testing.T) {
	late := newLate(upstream.Message | upstream.Disconnected)
	n := start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		cfg.Limits.Close = config.Duration(time.Hour)
		cfg.Limits.Queue = config.GiB
		if c.edit != nil {
			c.edit(cfg)
		}
	}, late)
	n.connect().Close() // whatever the runtime opens once is open now
	n.settled()
	before := openDescriptors(t)

	p := n.dial()
	c.run(&endingTest{p, n, late})
	n.ended(c.code, c.reason)
	told := late.next(t, upstream.Disconnected)
	if told.Code != c.code || told.Reason != c.reason.String() {
		t.Errorf("the upstream was told %d, %s, want %d, %s", told.Code, told.Reason, c.code, c.reason)
	}
	n.settled()
	p.Close()
	if len(late.events) != 0 {
		t.Errorf("%d events behind the last", len(late.events))
	}
	eventually(t, "no descriptor is left", func() bool { return openDescriptors(t) <= before })
}

func testEndings(t *testing.T, endings []ending) {
	for _, c := range endings {
		t.Run(c.name, c.test)
	}
}

// body is the payload of a Close frame.
func body(code ws.StatusCode, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// What a client's Close frame says decides what it is answered. When both are
// through, the gateway closes the connection first (RFC 6455 §7.1.1).
func TestCloseFramesAreAnsweredByTheirPayload(t *testing.T) {
	var endings []ending
	for name, payload := range map[string]string{
		"normal":            body(1000, ""),
		"with a reason":     body(1001, "the tab is closed"),
		"with a long one":   body(1000, strings.Repeat("x", 123)),
		"registered":        body(3000, ""),
		"private":           body(4999, "ä"),
		"try again later":   body(1013, ""),
		"unexpected answer": body(1011, ""),
	} {
		code := ws.StatusCode(binary.BigEndian.Uint16([]byte(payload)))
		endings = append(endings, ending{name: name, code: code, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
			e.send(control(ws.OpClose, payload))
			e.want(ws.OpClose, body(code, ""))
			e.wantEnd()
		}})
	}
	endings = append(endings, ending{name: "empty", code: 1005, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
		e.send(control(ws.OpClose, ""))
		e.want(ws.OpClose, "")
		e.wantEnd()
	}})
	for _, bad := range []struct {
		name  string
		frame []byte
		code  ws.StatusCode
		kind  string
	}{
		{"one byte", control(ws.OpClose, "\x03"), 1002, "close_payload"},
		{"code 0", control(ws.OpClose, body(0, "")), 1002, "close_code"},
		{"code 999", control(ws.OpClose, body(999, "")), 1002, "close_code"},
		{"code 1004", control(ws.OpClose, body(1004, "")), 1002, "close_code"},
		{"code 1005", control(ws.OpClose, body(1005, "")), 1002, "close_code"},
		{"code 1006", control(ws.OpClose, body(1006, "")), 1002, "close_code"},
		{"code 1015", control(ws.OpClose, body(1015, "")), 1002, "close_code"},
		{"code 1016", control(ws.OpClose, body(1016, "")), 1002, "close_code"},
		{"code 2999", control(ws.OpClose, body(2999, "")), 1002, "close_code"},
		{"code 5000", control(ws.OpClose, body(5000, "")), 1002, "close_code"},
		{"code 65535", control(ws.OpClose, body(65535, "")), 1002, "close_code"},
		{"no UTF-8", control(ws.OpClose, body(1000, "\xff")), 1007, "close_utf8"},
		{"half a character", control(ws.OpClose, body(1000, "\xe2\x82")), 1007, "close_utf8"},
		{"fragmented", part(byte(ws.OpClose), body(1000, "")), 1002, "control_fragmented"},
		{"too long", part(fin|byte(ws.OpClose), body(1000, strings.Repeat("x", 124))), 1002, "control_too_long"},
	} {
		reason := metrics.ReasonProtocolError
		if bad.code == 1007 {
			reason = metrics.ReasonInvalidPayload
		}
		endings = append(endings, ending{name: bad.name, code: bad.code, reason: reason, run: func(e *endingTest) {
			e.send(bad.frame)
			e.wantClose(bad.code)
			e.Close()
			e.n.ended(bad.code, reason)
			if e.n.metric("sluice_protocol_errors_total", "kind="+bad.kind) != 1 {
				e.t.Errorf("not counted as %s", bad.kind)
			}
		}})
	}
	testEndings(t, endings)
}

func TestClientClosesInEveryState(t *testing.T) {
	bye := closeFrame(ws.StatusNormalClosure)
	testEndings(t, []ending{
		{name: "in a message", code: 1000, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
			e.send(part(byte(ws.OpText), "begun"), bye)
			e.wantClose(1000)
		}},
		{name: "with bytes behind it", code: 1000, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
			e.send(append(append(append([]byte(nil), bye...), text("late")...), 0xff, 0xff, 0xff))
			e.wantClose(1000)
		}},
		{name: "twice", code: 1000, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
			e.send(append(append([]byte(nil), bye...), closeFrame(4000)...))
			e.wantClose(1000)
		}},
		{name: "and ends its direction", code: 1000, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
			e.n.frozen(func() {
				e.send(bye)
				e.closeWrite()
			})
			e.wantClose(1000)
		}},
		{name: "while its message is at the upstream", code: 1000, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
			e.send(text("one"), bye)
			one := e.unanswered()
			e.wantClose(1000) // without waiting for the answer
			e.gone()
			if len(e.late.events) != 0 {
				e.t.Error("the upstream was told of the end before it had answered")
			}
			one.answer()
		}},
		{name: "behind messages that wait", code: 1000, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
			e.send(append(append(text("one"), text("two")...), bye...))
			e.unanswered().answer()
			e.want(ws.OpText, "one")
			two := e.unanswered()
			e.wantClose(1000)
			two.answer()
		}},
		{name: "while our queue is full", code: 1000, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
			e.n.fill(e.n.id(), 200<<10)
			e.send(bye)
			e.n.awaits("the close has arrived", func(c *client) bool { return c.State() == engine.Leaving })
			if err := e.n.push(e.n.id(), ws.OpText, []byte("too late")); err != nil {
				e.t.Fatal(err)
			}
			e.wantPushed(1000)
		}},
		{name: "while our queue is full, and ends its direction", code: 1000, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
			e.n.fill(e.n.id(), 200<<10)
			e.n.frozen(func() {
				e.send(bye)
				e.closeWrite()
			})
			e.n.awaits("the close has arrived", func(c *client) bool { return c.State() == engine.Leaving })
			e.wantPushed(1000)
		}},
		{name: "while our queue is full, and does not read", code: 1000, reason: metrics.ReasonClientClose,
			edit: limited(func(l *config.Limits) { l.Close = milliseconds(200) }),
			run: func(e *endingTest) {
				e.n.fill(e.n.id(), 200<<10)
				e.send(bye)
			}},
		{name: "crossing ours", code: 4000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			id := e.n.id()
			e.n.frozen(func() {
				e.n.disconnect(id, 4000, "ours")
				e.send(bye)
			})
			e.want(ws.OpClose, body(4000, "ours"))
			e.wantEnd()
		}},
		{name: "before ours", code: 1000, reason: metrics.ReasonClientClose, run: func(e *endingTest) {
			id := e.n.id()
			e.send(bye)
			e.want(ws.OpClose, body(1000, ""))
			if err := e.n.disconnect(id, 4000, "ours"); err != nil {
				e.t.Fatal(err)
			}
			e.wantEnd()
		}},
		{name: "without a frame", code: 1006, reason: metrics.ReasonEOF, run: func(e *endingTest) { e.Close() }},
		{name: "without a frame, in a message", code: 1006, reason: metrics.ReasonEOF, run: func(e *endingTest) {
			e.send(part(byte(ws.OpText), "begun"))
			e.closeWrite()
			e.wantEnd()
		}},
		{name: "without a frame, at the upstream", code: 1006, reason: metrics.ReasonEOF, run: func(e *endingTest) {
			e.send(text("one"))
			one := e.unanswered()
			e.closeWrite()
			one.answer()
			e.want(ws.OpText, "one") // it may listen still
			e.wantEnd()
		}},
	})
}

// A client that ends its direction gets all the answers to what it has sent,
// however slowly it reads them.
func TestHalfClosedClientIsAnsweredToTheEnd(t *testing.T) {
	n := start(t, nil)
	p := n.dial()
	const size = 20_000
	sent := 0
	for full := false; !full; sent++ { // until the sockets hold no more
		p.send(part(fin|byte(ws.OpBinary), string(numbered(sent, size))))
		eventually(t, "it is served", func() bool {
			n.each(func(c *client) { full = c.Writing() })
			n.publish()
			return n.metric("sluice_messages_received_total") == float64(sent+1)
		})
	}
	n.frozen(p.closeWrite)
	for i := range sent {
		p.want(ws.OpBinary, string(numbered(i, size)))
	}
	p.wantEnd()
	n.ended(ws.StatusAbnormalClosure, metrics.ReasonEOF)
	n.settled()
}

// Everything may come with the head, to the very end.
func TestSessionMayEndInItsFirstSegment(t *testing.T) {
	n := start(t, nil)
	p := n.connect()
	p.say(request("/") + string(text("hello")) + string(closeFrame(4000)))
	p.wantStatus(http.StatusSwitchingProtocols)
	p.want(ws.OpText, "hello")
	p.wantClose(4000)
	n.ended(4000, metrics.ReasonClientClose)
	n.settled()
}

// wantPushed reads what fill has sent: whole messages, then a Close frame.
func (p *peer) wantPushed(code ws.StatusCode) {
	p.t.Helper()
	for {
		f, err := p.frame()
		if err != nil {
			p.t.Fatalf("want a Close frame with %d: %v", code, err)
		}
		if f.Header.OpCode == ws.OpBinary && len(f.Payload) == 16<<10 {
			continue
		}
		if got, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || got != code {
			p.t.Fatalf("got %s, want a Close frame with %d", describe(f.Header.OpCode, string(f.Payload)), code)
		}
		p.wantEnd()
		return
	}
}

func TestGatewayClosesInEveryState(t *testing.T) {
	bye := closeFrame(ws.StatusNormalClosure)
	brief := limited(func(l *config.Limits) { l.Close = milliseconds(200) })
	told := func(e *endingTest) {
		e.disconnect(ws.StatusNormalClosure, "enough")
		e.want(ws.OpClose, body(1000, "enough"))
	}
	testEndings(t, []ending{
		{name: "and is answered", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			told(e)
			e.send(bye)
			e.wantEnd()
		}},
		{name: "and is answered with another code", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			told(e)
			e.send(closeFrame(4000))
			e.wantEnd()
		}},
		{name: "and is not answered", edit: brief, code: 1000, reason: metrics.ReasonCloseTimeout, run: func(e *endingTest) {
			told(e)
			e.wantEnd()
		}},
		{name: "and is sent data first", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			told(e)
			e.send(text("late"), part(byte(ws.OpText), "begun"), part(fin|byte(ws.OpContinuation), "ended"), control(ws.OpPong, ""), bye)
			e.wantEnd() // and the upstream hears of the end next
		}},
		{name: "and is sent half a message first", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			told(e)
			e.send(part(byte(ws.OpText), "begun"), bye)
			e.wantEnd()
		}},
		{name: "and is sent nonsense", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			told(e)
			e.send([]byte{0xff})
			e.wantEnd() // no second Close frame
			e.Close()
		}},
		{name: "and is sent a bad Close frame", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			told(e)
			e.send(control(ws.OpClose, "x"))
			e.wantEnd()
			e.Close()
		}},
		{name: "and the client just leaves", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			told(e)
			e.closeWrite()
			e.wantEnd()
		}},
		{name: "twice", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			told(e)
			e.disconnect(4000, "again")
			e.send(bye)
			e.wantEnd()
		}},
		{name: "with a code that must not be sent", code: 1006, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			e.disconnect(1006, "hidden")
			e.want(ws.OpClose, "")
			e.send(bye)
			e.wantEnd()
		}},
		{name: "in a message", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			e.send(part(byte(ws.OpText), "begun"))
			e.n.awaits("the message has begun", func(c *client) bool { return c.Reader.Partial() })
			told(e)
			e.send(part(fin|byte(ws.OpContinuation), "ended"), bye)
			e.wantEnd()
		}},
		{name: "while the message is at the upstream, which does not answer", edit: brief, code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			e.send(text("one"))
			one := e.unanswered()
			told(e)
			e.send(bye)
			e.wantEnd() // and no answer
			e.gone()
			one.answer()
		}},
		{name: "while the message is at the upstream", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			e.send(text("one"))
			one := e.unanswered()
			e.disconnect(ws.StatusNormalClosure, "enough")
			one.answer()
			e.want(ws.OpText, "one")
			e.want(ws.OpClose, body(1000, "enough"))
			e.send(bye)
			e.wantEnd()
		}},
		{name: "while more waits", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			e.send(append(text("one"), text("two")...))
			one := e.unanswered()
			e.n.awaits("input waits", func(c *client) bool { return c.Holding() })
			e.disconnect(ws.StatusNormalClosure, "enough")
			one.answer()
			e.want(ws.OpText, "one")
			e.want(ws.OpClose, body(1000, "enough"))
			e.send(bye)
			e.wantEnd() // answered is answered, whatever the upstream does
			e.unanswered().answer()
		}},
		{name: "while the answer waits behind more", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			e.send(append(append(text("one"), text("two")...), bye...))
			one := e.unanswered()
			e.n.awaits("input waits", func(c *client) bool { return c.Holding() })
			e.disconnect(ws.StatusNormalClosure, "enough")
			one.answer()
			e.want(ws.OpText, "one")
			e.want(ws.OpClose, body(1000, "enough"))
			e.wantEnd()
			e.unanswered().answer()
		}},
		{name: "while parked, and is not answered", edit: brief, code: 1000, reason: metrics.ReasonCloseTimeout, run: func(e *endingTest) {
			e.send(append(text("one"), text("two")...))
			one := e.unanswered()
			told(e)
			e.wantEnd()
			e.gone()
			one.answer()
			e.unanswered().answer()
		}},
		{name: "by the upstream's answer", code: 4001, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			e.send(append(text("one"), text("two")...))
			one := e.unanswered()
			one.sink.Reply(one.From, upstream.Reply{Send: delivery.Send{Op: ws.OpText, Data: []byte("last")}, Close: delivery.Close{Code: 4001}})
			e.want(ws.OpText, "last")
			e.want(ws.OpClose, body(4001, ""))
			e.send(closeFrame(4001))
			e.wantEnd()
		}},
		{name: "with a full queue", code: 1000, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			e.n.fill(e.n.id(), 200<<10)
			e.disconnect(ws.StatusNormalClosure, "enough")
			e.send(bye)
			e.wantPushed(1000)
		}},
		{name: "with a full queue that nobody reads", edit: brief, code: 1006, reason: metrics.ReasonCloseTimeout, run: func(e *endingTest) {
			e.n.fill(e.n.id(), 200<<10)
			e.disconnect(ws.StatusNormalClosure, "enough")
		}},
		{name: "with a full queue, and the client just leaves", code: 1006, reason: metrics.ReasonBackend, run: func(e *endingTest) {
			e.n.fill(e.n.id(), 200<<10)
			e.disconnect(ws.StatusNormalClosure, "enough")
			e.Close()
		}},
	})
}

func TestViolationsAreNamedAndEndTheSession(t *testing.T) {
	var endings []ending
	for _, c := range []struct {
		name  string
		frame []byte
		code  ws.StatusCode
		kind  string
	}{
		{"not masked", []byte{0x81, 0x05, 'h', 'e', 'l', 'l', 'o'}, 1002, "mask"},
		{"RSV1 without an extension", part(fin|rsv1|byte(ws.OpText), "x"), 1002, "rsv"},
		{"RSV2", part(fin|0x20|byte(ws.OpText), "x"), 1002, "rsv"},
		{"opcode 3", part(fin|3, "x"), 1002, "opcode"},
		{"opcode 11", part(fin|11, "x"), 1002, "opcode"},
		{"nothing to continue", part(fin|byte(ws.OpContinuation), "x"), 1002, "continuation"},
		{"a message in a message", append(part(byte(ws.OpText), "x"), text("y")...), 1002, "interleaved"},
		{"ping in fragments", part(byte(ws.OpPing), "x"), 1002, "control_fragmented"},
		{"long ping", part(fin|byte(ws.OpPing), strings.Repeat("x", 126)), 1002, "control_too_long"},
		{"long form of a short length", []byte{0x82, 0xfe, 0, 125, 1, 2, 3, 4}, 1002, "length_not_minimal"},
		{"longest form of a short length", []byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4}, 1002, "length_not_minimal"},
		{"length of 2^63", []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 1002, "length_too_large"},
		{"no UTF-8", text("\xc0\xaf"), 1007, "utf8"},
		{"half a character at the end", text("\xe2\x82"), 1007, "utf8"},
		{"no UTF-8 in fragments", append(part(byte(ws.OpText), "\xe2"), part(fin|byte(ws.OpContinuation), "x")...), 1007, "utf8"},
	} {
		reason := metrics.ReasonProtocolError
		if c.code == 1007 {
			reason = metrics.ReasonInvalidPayload
		}
		endings = append(endings, ending{name: c.name, code: c.code, reason: reason, run: func(e *endingTest) {
			e.send(c.frame)
			e.send(text("ignored"), closeFrame(c.code)) // also the answer to our frame
			e.wantClose(c.code)
			e.Close()
			e.n.ended(c.code, reason)
			if e.n.metric("sluice_protocol_errors_total", "kind="+c.kind) != 1 {
				e.t.Errorf("not counted as %s", c.kind)
			}
		}})
	}
	testEndings(t, endings)
}
