package gateway

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/plainhttp"
	"sluice/metrics"
)

// without is a request without the header line of that name.
func without(req, name string) string {
	i := strings.Index(req, name)
	return req[:i] + req[i+strings.Index(req[i:], "\r\n")+2:]
}

// withHubs adds a hub for members only and one with paths.
func withHubs(cfg *config.Config) {
	cfg.Hubs["members"] = config.Hub{Upstream: config.Upstream{URL: "echo:"}}
	cfg.Hubs["chat"] = config.Hub{
		Paths: []string{"/chat", "/ws/old%20chat"}, Upstream: config.Upstream{URL: "echo:"}, Anonymous: true,
		Origins: []string{"https://app.example", "http://[::1]:8080"},
	}
}

func TestHandshakesAreAnsweredByTheBook(t *testing.T) {
	post := strings.Replace(request("/"), "GET", "POST", 1)
	twice := func(line string) string { return request("/", line, line) }
	for _, c := range []struct {
		name   string
		say    string
		status int
		result metrics.Result
		header string // that the answer must have
	}{
		{"at the path of the default hub", request("/"), 101, metrics.ResultOK, ""},
		{"with a query", request("/?access_token=x"), 101, metrics.ResultOK, ""},
		{"at a hub by name", request("/client/hubs/chat"), 101, metrics.ResultOK, ""},
		{"at a path", request("/chat"), 101, metrics.ResultOK, ""},
		{"at an escaped path", request("/ws/old%20chat"), 101, metrics.ResultOK, ""},
		{"with an absolute target", request("ws://sluice.test/chat"), 101, metrics.ResultOK, ""},
		{"no such hub", request("/client/hubs/nobody"), 404, metrics.ResultNotFound, ""},
		{"no such path", request("/nowhere"), 404, metrics.ResultNotFound, ""},
		{"path with a slash more", request("/chat/"), 404, metrics.ResultNotFound, ""},
		{"path in capitals", request("/Chat"), 404, metrics.ResultNotFound, ""},
		{"path of the data plane", request("/api/health"), 404, metrics.ResultNotFound, ""},
		{"members only", request("/client/hubs/members"), 401, metrics.ResultUnauthorized, "WWW-Authenticate"},

		{"same origin", request("/", "Origin: http://sluice.test"), 101, metrics.ResultOK, ""},
		{"same origin by TLS in front", request("/", "Origin: https://sluice.test"), 101, metrics.ResultOK, ""},
		{"another origin", request("/", "Origin: https://evil.example"), 403, metrics.ResultOrigin, ""},
		{"an origin that begins like ours", request("/", "Origin: http://sluice.test.evil.example"), 403, metrics.ResultOrigin, ""},
		{"origin null", request("/", "Origin: null"), 403, metrics.ResultOrigin, ""},
		{"empty origin", request("/", "Origin:"), 403, metrics.ResultOrigin, ""},
		{"a listed origin", request("/chat", "Origin: https://app.example"), 101, metrics.ResultOK, ""},
		{"a listed origin at another hub", request("/", "Origin: https://app.example"), 403, metrics.ResultOrigin, ""},
		{"a listed origin with another scheme", request("/chat", "Origin: http://app.example"), 403, metrics.ResultOrigin, ""},
		{"two origins", twice("Origin: http://sluice.test"), 400, metrics.ResultBadRequest, ""},

		{"POST", post, 405, metrics.ResultBadRequest, "Allow: GET"},
		{"version 8", strings.Replace(request("/"), "Version: 13", "Version: 8", 1), 426, metrics.ResultVersion, "Sec-Websocket-Version: 13"},
		{"no version", without(request("/"), "Sec-WebSocket-Version"), 426, metrics.ResultVersion, "Sec-Websocket-Version: 13"},
		{"two versions", twice("Sec-WebSocket-Version: 13"), 426, metrics.ResultVersion, "Sec-Websocket-Version: 13"},
		{"no key", without(request("/"), "Sec-WebSocket-Key"), 400, metrics.ResultBadRequest, ""},
		{"short key", strings.Replace(request("/"), key, "AAAA", 1), 400, metrics.ResultBadRequest, ""},
		{"key of other bits", strings.Replace(request("/"), "ZQ==", "ZR==", 1), 400, metrics.ResultBadRequest, ""},
		{"two keys", twice("Sec-WebSocket-Key: " + key), 400, metrics.ResultBadRequest, ""},
		{"no Connection", without(request("/"), "Connection"), 400, metrics.ResultBadRequest, ""},
		{"no Host", without(request("/"), "Host"), 400, metrics.ResultBadRequest, ""},
		{"two Hosts", request("/", "Host: sluice.test"), 400, metrics.ResultBadRequest, ""},
		{"with a body", request("/", "Content-Length: 5") + "hello", 400, metrics.ResultBadRequest, ""},
		{"with a chunked body", request("/", "Transfer-Encoding: chunked") + "0\r\n\r\n", 400, metrics.ResultBadRequest, ""},
		{"space before the colon", request("/", "X : x"), 400, metrics.ResultBadRequest, ""},
		{"folded line", request("/", "X: x", " y"), 400, metrics.ResultBadRequest, ""},
		{"control character", request("/", "X: \x00"), 400, metrics.ResultBadRequest, ""},
		{"unknown expectation", request("/", "Expect: wonders"), 417, metrics.ResultBadRequest, ""},
		{"malformed subprotocols", request("/", "Sec-WebSocket-Protocol: a b"), 400, metrics.ResultBadRequest, ""},
		{"malformed extensions", request("/", "Sec-WebSocket-Extensions: ;"), 400, metrics.ResultBadRequest, ""},
		{"CONNECT", "CONNECT sluice.test:80 HTTP/1.1\r\nHost: sluice.test\r\n\r\n", 501, metrics.ResultBadRequest, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t, withHubs)
			p := n.connect()
			p.say(c.say)
			r := p.wantStatus(c.status)
			name, value, _ := strings.Cut(c.header, ": ")
			if got := r.Header.Get(name); c.header != "" && (got == "" || value != "" && got != value) {
				t.Errorf("%s: %q in the answer, want %q", name, got, value)
			}
			if got := r.Header.Get("Retry-After"); got != "" {
				t.Errorf("Retry-After: %s, as if it would go better then", got)
			}
			if c.status == http.StatusSwitchingProtocols {
				if got := r.Header.Get("Sec-Websocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 §1.3
					t.Errorf("Sec-WebSocket-Accept: %q", got)
				}
				p.send(closeFrame(ws.StatusNormalClosure))
				p.wantClose(ws.StatusNormalClosure)
			} else {
				p.wantAnswerEnd()
				p.Close()
			}
			n.settled()
			if one, all := n.metric("sluice_handshakes_total", "result="+c.result.String()), n.metric("sluice_handshakes_total"); one != 1 || all != 1 {
				t.Errorf("%v of %v handshakes counted as %s", one, all, c.result)
			}
		})
	}
}

func TestSubprotocolIsTheClientsFirstThatTheHubSpeaks(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		hub := cfg.Hubs["default"]
		hub.Subprotocols = []string{"chat.v1", "chat.v2", "Chat.v3"}
		cfg.Hubs["default"] = hub
	})
	for offer, want := range map[string]string{
		"chat.v1":                   "chat.v1",
		"chat.v2, chat.v1":          "chat.v2",
		"chat.v9,chat.v1 , chat.v2": "chat.v1",
		"chat.v3":                   "", // case counts
		"chat.v9":                   "",
	} {
		p := n.connect()
		p.say(request("/", "Sec-WebSocket-Protocol: "+offer))
		if got := p.wantStatus(101).Header.Get("Sec-Websocket-Protocol"); got != want {
			t.Errorf("of %q the gateway took %q, want %q", offer, got, want)
		}
		p.Close()
	}
	p := n.connect()
	p.say(request("/", "Sec-WebSocket-Protocol: chat.v9", "Sec-WebSocket-Protocol: chat.v2, chat.v1"))
	if got := p.wantStatus(101).Header.Get("Sec-Websocket-Protocol"); got != "chat.v2" {
		t.Errorf("of two lines the gateway took %q", got)
	}
	p.Close()
	n.settled()
}

func TestDeflateIsUsedBothWaysWhenAgreed(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		withHubs(cfg)
		withDeflate(cfg)
	})
	message := bytes.Repeat([]byte("all work and no play makes Jack a dull boy\n"), 2000) // more than any window
	for _, c := range []struct {
		offer, agreed string
	}{
		{"permessage-deflate", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{"permessage-deflate; client_max_window_bits", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{"permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9"},
		{"x-other, permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10"},
		{"x-webkit-deflate-frame", ""},
	} {
		p := n.connect()
		p.say(request("/", "Sec-WebSocket-Extensions: "+c.offer))
		if got := p.wantStatus(101).Header.Get("Sec-Websocket-Extensions"); got != c.agreed {
			t.Errorf("%q was answered %q", c.offer, got)
		}
		if c.agreed == "" {
			p.send(compressed(t, message))
			p.wantClose(ws.StatusProtocolError)
			p.Close()
			continue
		}
		squeezed := compressed(t, message)
		p.send(squeezed)
		p.wantInflated(message)
		// In fragments, only the first of which says that it is compressed.
		h, _ := ws.ReadHeader(bytes.NewReader(squeezed))
		payload := squeezed[len(squeezed)-int(h.Length):]
		ws.Cipher(payload, testMask, 0)
		half := len(payload) / 2
		p.send(part(rsv1|byte(ws.OpBinary), string(payload[:half])), control(ws.OpPing, "between"),
			part(fin|byte(ws.OpContinuation), string(payload[half:])))
		p.want(ws.OpPong, "between")
		p.wantInflated(message)
		// What is not compressed is welcome too, and short answers are not.
		p.send(text("short"))
		p.want(ws.OpText, "short")
		if err := n.broadcast(ws.OpBinary, message); err != nil {
			t.Fatal(err)
		}
		p.wantInflated(message)
		p.send(part(fin|rsv1|byte(ws.OpBinary), "\xff\xff")) // no DEFLATE
		p.wantClose(ws.StatusInvalidFramePayloadData)
		p.Close()
	}
	n.settled()
	p := n.connect()
	p.say(request("/chat", deflated))
	if got := p.wantStatus(101).Header.Get("Sec-Websocket-Extensions"); got != "" {
		t.Errorf("a hub without compression answered %q", got)
	}
}

// wantInflated wants a compressed message, and inflates it with another
// library than the gateway's.
func (p *peer) wantInflated(message []byte) {
	p.t.Helper()
	f, err := p.frame()
	if err != nil || !f.Header.Rsv1() || !f.Header.Fin || f.Header.OpCode != ws.OpBinary {
		p.t.Fatalf("got %+v, %v, want a compressed message", f.Header, err)
	}
	tail := "\x00\x00\xff\xff\x01\x00\x00\xff\xff" // RFC 7692 §7.2.2, and an end
	got, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(f.Payload), strings.NewReader(tail))))
	if err != nil || !bytes.Equal(got, message) {
		p.t.Fatalf("inflated to %d bytes, %v, want %d", len(got), err, len(message))
	}
}

func TestPlainHTTPIsAnswered(t *testing.T) {
	n := start(t, withHubs)
	for _, c := range []struct {
		method, path string
		status       int
		body, header string
	}{
		{"GET", "/api/health", 200, "ok\n", "Content-Type: text/plain; charset=utf-8"},
		{"HEAD", "/api/health", 200, "", "Content-Length: 3"},
		{"GET", "/api/health?x=y", 200, "ok\n", ""},
		{"POST", "/api/health", 405, "method not allowed\n", "Allow: GET, HEAD"},
		{"GET", "/", 200, plainhttp.Page, ""},
		{"HEAD", "/", 200, "", ""},
		{"DELETE", "/", 405, "method not allowed\n", "Allow: GET, HEAD"},
		{"GET", "/nowhere", 404, "404 page not found\n", ""},
		{"GET", "/chat", 426, "this path speaks WebSocket\n", "Sec-Websocket-Version: 13"},
		{"GET", "/client/hubs/chat", 426, "this path speaks WebSocket\n", "Upgrade: websocket"},
	} {
		p := n.connect()
		fmt.Fprintf(p, "%s %s HTTP/1.1\r\nHost: sluice.test\r\nConnection: close\r\n\r\n", c.method, c.path)
		r, err := http.ReadResponse(p.r, &http.Request{Method: c.method})
		if err != nil {
			t.Fatalf("%s %s: %v", c.method, c.path, err)
		}
		name, value, _ := strings.Cut(c.header, ": ")
		if body, err := io.ReadAll(r.Body); r.StatusCode != c.status || string(body) != c.body || err != nil || c.header != "" && r.Header.Get(name) != value {
			t.Errorf("%s %s: %d %q %v with %v", c.method, c.path, r.StatusCode, body, err, r.Header)
		}
		p.wantEnd()
		p.Close()
	}
	n.settled()
}

// Proxies keep connections alive and send an upgrade on one of them: it takes
// the same way, with everything that was sent behind it.
func TestUpgradeMayComeSecond(t *testing.T) {
	health := "GET /api/health HTTP/1.1\r\nHost: sluice.test\r\n\r\n"
	long := strings.Repeat("x", 1000)
	for _, frames := range []int{0, 1, 3, 10, 60} { // in no buffer, the server's, and in what the loop had read
		for _, pipelined := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d frames, pipelined %v", frames, pipelined), func(t *testing.T) {
				n := start(t, func(cfg *config.Config) { cfg.Loops = 2 })
				p := n.connect()
				rest := request("/", "X-First:1", "X-Second:  2") + string(bytes.Repeat(text(long), frames))
				if pipelined {
					p.say(health + health + rest)
				} else {
					p.say(health)
					p.wantBody(200, "ok\n")
					p.say(health)
				}
				p.wantBody(200, "ok\n")
				if pipelined {
					p.wantBody(200, "ok\n")
				} else {
					p.say(rest)
				}
				p.wantStatus(101)
				for range frames {
					p.want(ws.OpText, long)
				}
				p.send(text("and on"), closeFrame(ws.StatusNormalClosure))
				p.want(ws.OpText, "and on")
				p.wantClose(ws.StatusNormalClosure)
				n.ended(ws.StatusNormalClosure, metrics.ReasonClientClose)
				n.settled()
			})
		}
	}
}

// As much as a loop reads at once fits behind a request, and is not cut off
// when the upgrade in it comes back from the HTTP server in its own words.
func TestUpgradeThatComesSecondLosesNothing(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) { l.Head = 64 * config.KiB }))
	first := "GET / HTTP/1.0\r\nConnection:keep-alive\r\n\r\n"
	upgrade := request("/")
	lines := make([]string, 0, 50)
	for i := range 50 {
		lines = append(lines, fmt.Sprintf("X%d:x", i)) // a byte shorter than as the server writes it
	}
	upgrade = strings.TrimSuffix(upgrade, "\r\n") + strings.Join(lines, "\r\n") + "\r\n\r\n"
	filler := text(strings.Repeat("x", 50_000))
	last := engine.ReadSize - len(first) - len(upgrade) - len(filler) - 8
	stream := first + upgrade + string(filler) + string(text(strings.Repeat("y", last)))
	if len(stream) != engine.ReadSize {
		t.Fatalf("%d bytes, want one read", len(stream))
	}
	var p *peer
	n.frozen(func() {
		p = n.connect()
		p.say(stream)
	})
	p.wantBody(200, plainhttp.Page)
	p.wantStatus(101)
	p.want(ws.OpText, strings.Repeat("x", 50_000))
	p.want(ws.OpText, strings.Repeat("y", last))
	p.Close()
	n.settled()
}

// An upgrade that comes second is refused as one that comes first is.
func TestUpgradeThatComesSecondIsJudgedTheSame(t *testing.T) {
	n := start(t, withHubs)
	for _, c := range []struct {
		say    string
		status int
	}{
		{request("/nowhere"), 404},
		{request("/client/hubs/members"), 401},
		{request("/", "Origin: https://evil.example"), 403},
		{without(request("/"), "Sec-WebSocket-Key"), 400},
		{without(request("/"), "Sec-WebSocket-Version"), 426},
		{without(request("/"), "Connection"), 400},
		{strings.Replace(request("/"), "GET", "POST", 1), 405},
		{request("/", "Content-Length: 5") + "hello", 400},
		{request("/", "Transfer-Encoding: chunked") + "0\r\n\r\n", 400},
		{request("/", fields(70)...), 431},
		{padded(10_000), 431},
	} {
		p := n.connect()
		p.say("GET /api/health HTTP/1.1\r\nHost: sluice.test\r\n\r\n")
		p.wantBody(200, "ok\n")
		p.say(c.say)
		p.wantStatus(c.status)
		p.wantAnswerEnd()
		p.Close()
	}
	n.settled()
}

// Whoever is refused gets the answer and its end, however much more it sends.
func TestRefusedClientIsNotReset(t *testing.T) {
	for name, head := range map[string]string{
		"bad request":    "nonsense\r\n\r\n",
		"no such hub":    request("/nowhere"),
		"large head":     padded(9000),
		"HTTP request":   "POST /api/health HTTP/1.1\r\nHost: sluice.test\r\nContent-Length: 1000000\r\n\r\n",
		"second upgrade": "GET /api/health HTTP/1.1\r\nHost: sluice.test\r\n\r\n" + request("/nowhere"),
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, nil)
			p := n.connect()
			sent := make(chan error, 1)
			go func() {
				_, err := io.WriteString(p.Conn, head+strings.Repeat("x", 1_000_000))
				sent <- err
			}()
			if name == "second upgrade" {
				p.wantBody(200, "ok\n")
			}
			r, err := http.ReadResponse(p.r, nil)
			if err != nil || r.StatusCode < 400 {
				t.Fatalf("%+v, %v", r, err)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Fatalf("the answer ended with %v", err)
			}
			p.wantEnd()
			// The HTTP server waits half a second for the client to see that.
			if err := <-sent; err != nil && name != "HTTP request" {
				t.Errorf("while it sent: %v", err)
			}
			p.Close()
			n.settled()
		})
	}
}

// A request whose body never comes is answered at once, and must not hold its
// connection: it would keep one of few from everybody else.
func TestBodyThatNeverComesIsNotWaitedFor(t *testing.T) {
	n := start(t, nil)
	n.plain().Times.Body = time.Hour
	n.publish() // by every loop, which makes it known to whoever comes next
	p := n.connect()
	p.say("POST /api/health HTTP/1.1\r\nHost: sluice.test\r\nContent-Length: 10\r\n\r\n")
	p.wantStatus(http.StatusMethodNotAllowed)
	p.wantAnswerEnd()
	n.settled()
}
