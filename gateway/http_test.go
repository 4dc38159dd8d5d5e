package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/plainhttp"
)

const (
	apiKey      = "0123456789abcdef"
	healthCheck = "GET /api/health HTTP/1.1\r\nHost: sluice.test\r\n\r\n"
)

// withAPIKey opens the data plane to apiKey.
func withAPIKey(cfg *config.Config) { cfg.APIKeys = []string{apiKey} }

// post is a request of a backend to send data to everybody.
func post(data string, lines ...string) string {
	return "POST /api/hubs/default/:send HTTP/1.1\r\nHost: sluice.test\r\nAuthorization: Bearer " + apiKey +
		"\r\nContent-Type: text/plain\r\n" + strings.Join(append(lines, ""), "\r\n") +
		fmt.Sprintf("Content-Length: %d\r\n\r\n", len(data)) + data
}

// chunked is a push in chunks.
func chunked(chunks string) string {
	return "POST /api/hubs/default/:send HTTP/1.1\r\nHost: sluice.test\r\nAuthorization: Bearer " + apiKey +
		"\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
}

// serves wants newcomers of every kind to be served: a health check, a push and
// a session, which hears of the push.
func (n *node) serves() {
	n.t.Helper()
	p := n.dial()
	h := n.connect()
	h.say(healthCheck)
	h.wantBody(http.StatusOK, "ok\n")
	b := n.connect()
	b.say(post("hello"))
	b.wantStatus(http.StatusAccepted)
	p.want(ws.OpText, "hello")
	for _, p := range []*peer{p, h, b} {
		p.Close()
	}
}

// plain is what serves the requests of n that are no upgrades.
func (n *node) plain() *plainhttp.Server { return n.http.(*plainhttp.Server) }

// onLoops runs a test on one loop and on four.
func onLoops(t *testing.T, edit func(*config.Config), test func(*testing.T, *node)) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		test(t, start(t, func(cfg *config.Config) {
			cfg.Loops = loops
			withAPIKey(cfg)
			if edit != nil {
				edit(cfg)
			}
		}))
	})
}

// What is malformed is refused in the same way wherever it comes on a
// connection, in whatever pieces, and ends it.
func TestEveryRequestOfAConnectionMeetsTheSameParser(t *testing.T) {
	const head = "POST /api/health HTTP/1.1\r\nHost: sluice.test\r\n"
	n := start(t, withAPIKey)
	befores := map[string]string{
		"nothing":            "",
		"a request":          healthCheck,
		"a body":             post("hello"),
		"a chunked body":     chunked("5\r\nhello\r\n0\r\nA: b\r\n\r\n"),
		"a body and an LF":   post("hello") + "\r\n" + healthCheck,
		"several in one row": healthCheck + chunked("1;a=b\r\nx\r\n0\r\n\r\n") + post("") + healthCheck,
	}
	for name, c := range map[string]struct {
		say    string
		status int
	}{
		"bare LF":              {"GET /api/health HTTP/1.1\nHost: x\n\n", 400},
		"one bare LF":          {"GET /api/health HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400},
		"folded field":         {"GET /api/health HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400},
		"two lengths":          {head + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400},
		"length and chunks":    {head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"coding but chunked":   {head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		"identity":             {head + "Transfer-Encoding: identity\r\n\r\n", 501},
		"CONNECT":              {"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", 501},
		"our own CONNECT":      {"CONNECT turn:0 HTTP/1.1\r\nHost: turn\r\n\r\n", 501},
		"malformed Host":       {"GET /api/health HTTP/1.1\r\nHost: h:8o80\r\n\r\n", 400},
		"no Host":              {"GET /api/health HTTP/1.1\r\n\r\n", 400},
		"a head of 10 KiB":     {"GET /api/health HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", 10<<10) + "\r\n\r\n", 431},
		"a target of 10 KiB":   {"GET /" + strings.Repeat("x", 10<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
		"too many fields":      {"GET /api/health HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 64) + "\r\n", 431},
		"two empty lines":      {"\r\n\r\n" + healthCheck, 400},
		"TLS":                  {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		"HTTP/2":               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		"unknown expectation":  {head + "Expect: tea\r\n\r\n", 417},
		"a HEAD":               {"HEAD / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		"an upgrade to no hub": {request("/nowhere"), 404},
	} {
		for before, said := range befores {
			for _, slowly := range []bool{false, true} {
				p := n.connect()
				if slowly {
					for i := range len(said) + min(len(c.say), 200) { // a byte is a segment
						p.say((said + c.say)[i : i+1])
					}
					io.WriteString(p.Conn, c.say[min(len(c.say), 200):]) // which may be refused already
				} else {
					go io.WriteString(p.Conn, said+c.say+"and more")
				}
				for range strings.Count(said, "HTTP/1.1") {
					r := p.wantAny()
					if r.StatusCode != http.StatusOK && r.StatusCode != http.StatusAccepted {
						t.Fatalf("%s behind %s: the request before is answered %d", name, before, r.StatusCode)
					}
				}
				method := "GET"
				if name == "a HEAD" {
					method = "HEAD"
				}
				r, err := http.ReadResponse(p.r, &http.Request{Method: method})
				if err != nil {
					t.Fatalf("%s behind %s (slowly: %v): %v", name, before, slowly, err)
				}
				if r.StatusCode != c.status || !r.Close || r.Header.Get("Date") == "" {
					t.Errorf("%s behind %s (slowly: %v): %+v, want status %d", name, before, slowly, r, c.status)
				}
				io.Copy(io.Discard, r.Body)
				p.wantEnd()
				p.Close()
			}
		}
	}
	n.settled()
}

// wantAny reads an answer, its body too.
func (p *peer) wantAny() *http.Response {
	p.t.Helper()
	r, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// A malformed chunk ends the request that it is in, and the connection: what
// comes after it may be anything.
func TestMalformedChunksEndTheConnection(t *testing.T) {
	n := start(t, withAPIKey)
	for name, body := range map[string]string{
		"LF behind the size":  "5\nhello\r\n0\r\n\r\n",
		"LF behind the data":  "5\r\nhello\n0\r\n\r\n",
		"blank in the size":   "5 \r\nhello\r\n0\r\n\r\n",
		"size of 17 digits":   "00000000000000005\r\nhello\r\n0\r\n\r\n",
		"endless extension":   "5;" + strings.Repeat("x", 100<<10),
		"endless trailers":    "5\r\nhello\r\n0\r\n" + strings.Repeat("A: b\r\n", 10<<10),
		"folded trailer":      "5\r\nhello\r\n0\r\nA: b\r\n c: d\r\n\r\n",
		"data longer than so": "5\r\nhello, you\r\n0\r\n\r\n",
	} {
		p := n.connect()
		go io.WriteString(p.Conn, healthCheck+chunked(body)+healthCheck)
		p.wantBody(http.StatusOK, "ok\n")
		if r := p.wantAny(); r.StatusCode != http.StatusBadRequest || !r.Close {
			t.Errorf("%s: %+v", name, r)
		}
		p.r.Peek(1)
		if rest, _ := io.ReadAll(p.r); len(rest) > 0 {
			t.Errorf("%s: %q behind the answer", name, rest)
		}
		p.Close()
	}
	n.settled()
}

// An upgrade is one wherever it comes, and frames behind it are its first.
func TestUpgradeBehindAnything(t *testing.T) {
	onLoops(t, nil, func(t *testing.T, n *node) {
		for _, said := range []string{
			healthCheck, post("hello"), chunked("5\r\nhello\r\n0\r\n\r\n"), healthCheck + "\r\n", post("hello") + healthCheck,
		} {
			for _, slowly := range []bool{false, true} {
				p := n.connect()
				stream := said + request("/") + string(text("early"))
				for i := range stream {
					if !slowly {
						p.say(stream)
						break
					}
					p.say(stream[i : i+1])
				}
				for range strings.Count(said, "HTTP/1.1") {
					p.wantAny()
				}
				p.wantStatus(http.StatusSwitchingProtocols)
				p.want(ws.OpText, "early")
				p.Close()
			}
		}
		n.settled()
	})
}

// A head that has begun must come whole in its time, on a kept connection too.
func TestHeadOnAKeptConnectionHasATime(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) { l.Handshake = milliseconds(200) }))
	p := n.connect()
	p.say(healthCheck + "GET / HT")
	p.wantBody(http.StatusOK, "ok\n")
	p.wantStatus(http.StatusRequestTimeout)
	p.wantAnswerEnd()
	p.Close()
	n.settled()
}

// A body has to make progress.
func TestBodyThatDribblesIsNotWaitedFor(t *testing.T) {
	n := start(t, withAPIKey)
	n.plain().Times.Body = 200 * time.Millisecond
	n.publish()
	for _, say := range []string{
		strings.TrimSuffix(post("hello"), "o"),
		chunked("5\r\nhel"),
		strings.TrimSuffix(post("hello", "Expect: 100-continue"), "hello"),
	} {
		p := n.connect()
		p.say(say)
		r := p.wantAny()
		if r.StatusCode == http.StatusContinue {
			r = p.wantAny()
		}
		if r.StatusCode != http.StatusRequestTimeout || !r.Close {
			t.Errorf("%q: %+v", say, r)
		}
		p.wantAnswerEnd()
		p.Close()
	}
	n.settled()
}

// A body of any length passes if it comes: each part of it buys time.
func TestBodyBuysTimeAsItComes(t *testing.T) {
	n := start(t, withAPIKey)
	n.plain().Times.Body = 0 // it has what has come with its head
	n.publish()
	p := n.connect()
	p.say(post(strings.Repeat("x", 4<<10)))
	p.wantStatus(http.StatusAccepted)
}

// A peer that does not read its answers is gone after a while.
func TestAnswersThatAreNotReadEndTheConnection(t *testing.T) {
	n := start(t, nil)
	n.plain().Times.Write = 200 * time.Millisecond
	n.publish()
	p := n.connect()
	go io.WriteString(p.Conn, strings.Repeat("GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 10_000))
	eventually(t, "it is served", func() bool { return n.http.Count() == 1 })
	eventually(t, "its place is free", func() bool { return n.http.Count() == 0 })
	n.settled()
}

// Only bytes that have come are charged to the budget, and only to requests that
// read them.
func TestStrangersWhoDoNotReadCostNoBudget(t *testing.T) {
	const conns, requests = 260, 80
	onLoops(t, func(cfg *config.Config) { cfg.Limits.Buffered = 8 * config.MiB }, func(t *testing.T, n *node) {
		for _, say := range []string{
			strings.Repeat("GET /api/openapi.json HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", requests),
			"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
			"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
			strings.TrimSuffix(strings.Replace(post(strings.Repeat("x", 1<<20)), apiKey, "another", 1), strings.Repeat("x", 1<<20)),
		} {
			var peers []*peer
			for range conns {
				p := n.connect()
				p.tcp().SetReadBuffer(4 << 10) // or the kernel reads for it
				go io.WriteString(p.Conn, say)
				peers = append(peers, p)
			}
			n.serves()
			if used := n.budget.Used(); used > 1<<20 {
				t.Errorf("%d bytes are charged", used)
			}
			for _, p := range peers {
				p.Close()
			}
			n.settled()
		}
	})
}

// What a backend announces is not charged until it comes, and is given back.
func TestBodiesAreChargedAsTheyCome(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		withAPIKey(cfg)
		cfg.Limits.Buffered = 4 * config.MiB
	})
	body := strings.Repeat("x", 1<<20)
	head := strings.TrimSuffix(post(body), body)
	var announced []*peer
	for range 50 {
		p := n.connect()
		p.say(head + body[:1000])
		announced = append(announced, p)
	}
	eventually(t, "all have begun", func() bool { return n.budget.Used() >= 50*1000 })
	if used := n.budget.Used(); used > 50*8<<10 {
		t.Errorf("%d bytes are charged for 50,000", used)
	}
	n.serves()
	for _, p := range announced[:2] {
		p.say(body[1000:])
		p.wantStatus(http.StatusAccepted)
	}
	// Those who send all of it at a time find no room, and are told.
	for _, p := range announced[2:] {
		go io.WriteString(p.Conn, body[1000:len(body)-1])
	}
	eventually(t, "the budget is full", func() bool { return n.metric("sluice_api_requests_total", "code=503") > 0 })
	for _, p := range announced {
		p.Close()
	}
	eventually(t, "all is given back", func() bool { return n.budget.Used() == 0 })
	n.serves()
	n.settled()
}

// Strangers who fill all places push out each other.
func TestStrangersDoNotKeepOthersFromTheirPlaces(t *testing.T) {
	const places = 32
	unread := strings.Repeat("GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
	for name, say := range map[string]string{
		"idle":               healthCheck,
		"half a head":        healthCheck + "GET / HT",
		"not reading":        unread,
		"no body":            "POST /api/hubs/default/:send HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		"no body, a bad key": strings.Replace(strings.TrimSuffix(post("hello"), "hello"), apiKey, "another key, which is wrong", 1),
	} {
		t.Run(name, func(t *testing.T) {
			onLoops(t, limited(func(l *config.Limits) { l.HTTPConnections = places }), func(t *testing.T, n *node) {
				n.plain().Times.Linger = time.Hour // nobody makes room but for others
				n.plain().Times.Write = time.Hour
				n.publish()
				b := n.connect() // a backend that keeps its connection
				b.say(post("hello"))
				b.wantStatus(http.StatusAccepted)
				for i := range 3 * places {
					p := n.connect()
					go io.WriteString(p.Conn, say)
					p.r.Peek(1) // it is served
					if i%places == 0 {
						n.serves()
					}
				}
				if got := n.http.Count(); got > places {
					t.Errorf("%d places are taken, of %d", got, places)
				}
				n.serves()
				b.say(post("again"))
				b.wantStatus(http.StatusAccepted)
				if got := n.metric("sluice_handshakes_total", "result=overloaded"); got != 0 {
					t.Errorf("%v newcomers were refused", got)
				}
			})
		})
	}
}

// Backends with more connections than their share are asked to come with fewer.
func TestBackendsLeavePlacesToNewcomers(t *testing.T) {
	const places = 8
	n := start(t, func(cfg *config.Config) {
		withAPIKey(cfg)
		cfg.Limits.HTTPConnections = places
	})
	kept := 0
	for range 3 * places {
		b := n.connect()
		b.say(post("hello"))
		if r := b.wantStatus(http.StatusAccepted); !r.Close {
			kept++
			continue
		}
		eventually(t, "the surplus connection has left its place", func() bool { return n.http.Count() == int64(kept) })
	}
	if kept != places*3/4 {
		t.Errorf("%d connections are kept, want %d", kept, places*3/4)
	}
	n.serves()
}

// As many may wait to be taken as may be connected.
func TestHandOverRefusesNobodyBelowTheLimit(t *testing.T) {
	n := start(t, nil)
	const burst = 600
	var peers []*peer
	n.frozen(func() {
		for range burst {
			p := n.connect()
			p.say(healthCheck)
			peers = append(peers, p)
		}
	})
	for _, p := range peers {
		p.wantBody(http.StatusOK, "ok\n")
	}
}

// Where the node's names are known, a request for another is refused: a foreign
// page could have its own name lead here. Probes may call it what they like.
func TestRequestsForOtherHostsAreMisdirected(t *testing.T) {
	type on = map[string]bool // Host: whether it is served
	for name, c := range map[string]struct {
		endpoint string
		hosts    []string
		want     on
	}{
		"nothing said": {"", nil, on{"evil.example": true, "127.0.0.1": true}},
		"an endpoint": {"https://ws.example.com:8443", nil, on{
			"ws.example.com": true, "WS.Example.com.:80": true, "127.0.0.1:8080": true, "[::1]": true, "localhost:1": true,
			"evil.example": false, "ws.example.com.evil.example": false, "evil-ws.example.com": false, "127.0.0.1.evil.example": false,
		}},
		"hosts": {"", []string{"ws.example.com", "10.0.0.7", "::2"}, on{
			"ws.example.com:8080": true, "10.0.0.7": true, "[0::2]:80": true,
			"evil.example": false, "127.0.0.1": false, "localhost": false, "[::1]": false, "10.0.0.70": false,
		}},
		"both": {"http://a.example", []string{"b.example"}, on{"a.example": true, "b.example": true, "c.example": false, "127.0.0.1": false}},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, func(cfg *config.Config) {
				withAPIKey(cfg)
				cfg.Endpoint, cfg.Hosts = c.endpoint, c.hosts
			})
			for host, served := range c.want {
				for say, status := range map[string]int{
					request("/"):  http.StatusSwitchingProtocols,
					post("hello"): http.StatusAccepted,
					"GET / HTTP/1.1\r\nHost: sluice.test\r\n\r\n": http.StatusOK,
					healthCheck + request("/"):                    http.StatusSwitchingProtocols,
					healthCheck:                                   http.StatusOK,
				} {
					p := n.connect()
					p.say(strings.ReplaceAll(say, "sluice.test", host))
					if strings.HasPrefix(say, healthCheck) {
						p.wantBody(http.StatusOK, "ok\n")
						if say == healthCheck {
							p.Close()
							continue
						}
					}
					if !served {
						status = http.StatusMisdirectedRequest
					}
					if r, err := http.ReadResponse(p.r, nil); err != nil || r.StatusCode != status {
						t.Errorf("%s, %.12q…: %+v, %v, want status %d", host, say, r, err, status)
					}
					p.Close()
				}
			}
			n.settled()
		})
	}
}

// A reload changes the names, too.
func TestHostsAreReloaded(t *testing.T) {
	cfg := config.Default()
	cfg.Hosts = []string{"a.example"}
	n := start(t, nil)
	if err := n.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	p := n.connect()
	p.say(request("/"))
	p.wantStatus(http.StatusMisdirectedRequest)
	p.wantAnswerEnd()
}

// A hub is at its path however that is escaped, for clients as for backends; a
// path that could be taken for another is refused to both.
func TestHubsAreAtTheirEscapedPaths(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		withAPIKey(cfg)
		hub := cfg.Hubs["default"]
		hub.Paths = []string{"/", "/caf%C3%A9", "/100%25"}
		cfg.Hubs["default"] = hub
	})
	for path, status := range map[string]int{
		"/client/hubs/default":        101,
		"/client/hubs/d%65f%61ult":    101,
		"/cl%69ent/hubs/default":      101,
		"/caf%c3%a9":                  101,
		"/caf\xc3\xa9":                101,
		"/100%25":                     101,
		"/100%2525":                   404,
		"/client/hubs/d%2565fault":    404,
		"/client/hubs/def%2Fault":     400,
		"/client%2Fhubs/default":      400,
		"/client/hubs/default%00":     400,
		"/client/hubs/default%0d%0a":  400,
		"/client/hubs/default%":       400,
		"/client/hubs/default%4":      400,
		"/client/hubs/default%zz":     400,
		"/client/hubs/default/":       404,
		"/client/hubs/%2e%2e/default": 404,
		"/client/hubs/default%7f":     400,
	} {
		p := n.connect()
		p.say(request(path))
		p.wantStatus(status)
		p.Close()
		if status == 101 {
			status = http.StatusUpgradeRequired
		}
		q := n.connect()
		q.say("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		q.wantStatus(status)
		q.Close()
	}
	for hub, status := range map[string]int{
		"default": 202, "d%65f%61ult": 202, "d%2565fault": 404, "def%2Fault": 400, "default%00": 400, "default%0d%0a": 400,
		"default%": 400, "default%4": 400, "default%zz": 400, "default%7f": 400,
	} {
		p := n.connect()
		p.say(strings.Replace(post("hello"), "/hubs/default/", "/hubs/"+hub+"/", 1))
		if r := p.wantAny(); r.StatusCode != status {
			t.Errorf("push to %s: status %d, want %d", hub, r.StatusCode, status)
		}
		p.Close()
	}
	n.settled()
}

// Strangers on plain HTTP do not hold up a drain, nor fail it.
func TestStrangersDoNotHoldADrain(t *testing.T) {
	for name, say := range map[string]string{
		"idle":        healthCheck,
		"half a head": healthCheck + "GET / HT",
		"not reading": strings.Repeat("GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 2000),
		"no body":     "POST /api/health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		"a bad head":  healthCheck + "nonsense\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			n := start(t, drains(0, 0, time.Hour))
			n.plain().Times = plainhttp.Times{Write: time.Hour, Body: time.Hour, Linger: time.Hour, Drain: 300 * time.Millisecond}
			n.publish()
			p := n.connect()
			go io.WriteString(p.Conn, say)
			p.r.Peek(1)
			eventually(t, "it is served", func() bool { return n.http.Count() == 1 })
			done := make(chan error, 1)
			go func() { done <- n.Shutdown(context.Background()) }()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Shutdown: %v", err)
				}
			case <-time.After(patience):
				t.Fatal("the drain waits")
			}
		})
	}
}

// A push that is under way when the node leaves gets its answer.
func TestDrainLetsAPushFinish(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		drains(0, 0, patience)(cfg)
		withAPIKey(cfg)
	})
	n.plain().Times.Drain = patience
	n.publish()
	idle := n.connect()
	idle.say(healthCheck)
	idle.wantBody(http.StatusOK, "ok\n")
	p := n.connect()
	p.say(strings.TrimSuffix(post("hello"), "o"))
	eventually(t, "it is read", func() bool { return n.budget.Used() > 0 })
	done := make(chan error, 1)
	go func() { done <- n.Shutdown(context.Background()) }()
	idle.wantEnd() // the server has begun to leave
	p.say("o")
	p.wantStatus(http.StatusAccepted)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Browsers ask for an icon wherever they are: there is none, but nothing is wrong.
func TestBrowsersThatAskForAnIconMeetNoError(t *testing.T) {
	n := start(t, nil)
	for _, method := range []string{"GET", "HEAD"} {
		if a, said := n.call(method, "/favicon.ico", "", ""); a.StatusCode != http.StatusNoContent || said != "" {
			t.Errorf("%s: %s %q", method, a.Status, said)
		}
	}
	if a, _ := n.call("POST", "/favicon.ico", "", ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("POST: %s", a.Status)
	}
	n = start(t, func(cfg *config.Config) {
		cfg.Hubs["icons"] = config.Hub{Paths: []string{"/favicon.ico"}, Upstream: config.Upstream{URL: "echo:"}}
	})
	if a, _ := n.call("GET", "/favicon.ico", "", ""); a.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("GET of a hub of that path: %s", a.Status)
	}
}
