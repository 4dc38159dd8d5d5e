package plainhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/gateway/gatewaytest"
	"sluice/gateway/handshake"
	"sluice/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = gatewaytest.Patience

// under is a server under test, and who gives it sockets.
type under struct {
	*Server
	t       *testing.T
	limits  atomic.Pointer[Limits]
	metrics *metrics.Set
	back    chan returned
}

// returned is what a socket was given back with.
type returned struct {
	conn net.Conn
	read string
}

// start serves requests with a handler. "Key: right" in one is a valid key.
func start(t *testing.T, conns int64, answer http.HandlerFunc) *under {
	t.Helper()
	u := &under{t: t, metrics: metrics.New(metrics.Options{Loops: 1}), back: make(chan returned, 1)}
	u.limits.Store(&Limits{Conns: conns, Head: 8 << 10, Fields: 64, HeadTime: time.Minute})
	u.Server = New(Options{
		Limits: func() Limits { return *u.limits.Load() },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Key") == "right" {
				Trust(r)
			}
			answer(w, r)
		}),
		Addr:    &net.TCPAddr{},
		Metrics: u.metrics,
		Log:     slog.New(slog.DiscardHandler),
	})
	served := make(chan error, 1)
	go func() { served <- u.Serve() }()
	t.Cleanup(func() {
		u.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
		u.Close() // what was accepted meanwhile
	})
	return u
}

// socket is one end of a connection, which a test lends.
type socket struct {
	*under
	tcp    *net.TCPConn
	broken error // of NetConn
	closed atomic.Bool
}

func (s *socket) NetConn() (Conn, error) {
	if s.broken != nil {
		s.tcp.Close()
		return nil, s.broken
	}
	return s.tcp, nil
}

func (s *socket) Return(read []byte) error {
	s.back <- returned{s.tcp, string(read)}
	return nil
}

func (s *socket) Close() error {
	s.closed.Store(true)
	return s.tcp.Close()
}

// peer is who speaks to the server.
type peer struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

// connect gives the server a connection of which that was read. It is nil if there
// is no place.
func (u *under) connect(read string) (*peer, *socket) {
	u.t.Helper()
	mine, theirs := pair(u.t)
	theirs.SetDeadline(time.Now().Add(patience))
	s := &socket{under: u, tcp: mine}
	if !u.Offer(s, []byte(read)) {
		return nil, s
	}
	return &peer{Conn: theirs, t: u.t, r: bufio.NewReader(theirs)}, s
}

func (p *peer) say(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatal(err)
	}
}

// want reads an answer, and all of its body.
func (p *peer) want(status int, body string) *http.Response {
	p.t.Helper()
	r, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	got, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != status || string(got) != body {
		p.t.Fatalf("status %d, body %q, %v; want %d, %q", r.StatusCode, got, err, status, body)
	}
	return r
}

// wantEnd wants nothing more, and no reset.
func (p *peer) wantEnd() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.r); err != nil || len(rest) > 0 {
		p.t.Errorf("%q, %v, where the end should be", rest, err)
	}
}

func hello(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s", r.URL.Path) }

// get is a request for a path.
func get(path string, lines ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

const upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func TestRequestsAreAnsweredFromWhatWasReadAndWhatComes(t *testing.T) {
	u := start(t, 9, hello)
	first := get("/a")
	for cut := range len(first) { // a loop has read a whole head; the server does not rely on it
		p, _ := u.connect(first[:cut])
		p.say(first[cut:] + get("/b"))
		p.want(200, "hello /a")
		p.want(200, "hello /b")
		p.say(get("/c"))
		p.want(200, "hello /c")
		p.Close()
	}
	gatewaytest.Eventually(t, "all places are free", func() bool { return u.Count() == 0 })
}

// All that was read and not answered goes back with the socket, and nothing else.
func TestAnUpgradeGoesBackWithWhatCameBehind(t *testing.T) {
	u := start(t, 9, hello)
	for _, frames := range []string{"", "\x81\x80abcd", strings.Repeat("frames", 2000)} {
		for _, before := range []string{"", get("/a"), get("/a") + get("/b"), "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"} {
			p, _ := u.connect(before + upgrade + frames)
			for range strings.Count(before, "HTTP/1.1") {
				if r, err := http.ReadResponse(p.r, nil); err != nil {
					t.Fatal(err)
				} else {
					io.Copy(io.Discard, r.Body)
				}
			}
			select {
			case back := <-u.back:
				if back.read != upgrade+frames {
					t.Errorf("%d bytes behind %q: given back with %q", len(frames), before, back.read)
				}
				p.say("and on")
				rest := make([]byte, len("and on"))
				if _, err := io.ReadFull(back.conn, rest); err != nil || string(rest) != "and on" {
					t.Errorf("the socket goes on with %q, %v", rest, err)
				}
				back.conn.Close()
			case <-time.After(patience):
				t.Fatal("it does not come back")
			}
		}
	}
	gatewaytest.Eventually(t, "all places are free", func() bool { return u.Count() == 0 })
}

func TestLimitsInForceHoldForTheNextHead(t *testing.T) {
	u := start(t, 9, hello)
	p, _ := u.connect(get("/a", "A: "+strings.Repeat("x", 4<<10)))
	p.want(200, "hello /a")
	u.limits.Store(&Limits{Conns: 9, Head: 1 << 10, Fields: 2, HeadTime: 50 * time.Millisecond})
	p.say(get("/a", "A: "+strings.Repeat("x", 1<<10)))
	p.want(431, handshake.ErrHeadTooLarge.Reason)
	p.wantEnd()
	p, _ = u.connect(get("/a"))
	p.want(200, "hello /a")
	p.say(get("/a", "A: b", "C: d"))
	p.want(431, handshake.ErrTooManyFields.Reason)
	p.wantEnd()
	p, _ = u.connect(get("/a") + "GET / HT")
	p.want(200, "hello /a")
	p.want(408, handshake.ErrHeadTooSlow.Reason)
	p.wantEnd()
}

// Who has been served least recently goes for a newcomer, unless it has shown a key.
func TestTheOldestStrangerGoesForANewcomer(t *testing.T) {
	u := start(t, 3, hello)
	var peers []*peer
	for i, key := range []string{"Key: right", "Key: wrong", "Key: wrong"} {
		p, _ := u.connect(get(fmt.Sprint("/", i), key))
		p.want(200, fmt.Sprint("hello /", i))
		peers = append(peers, p)
	}
	peers[1].say(get("/again")) // so that the last is the oldest
	peers[1].want(200, "hello /again")
	p, _ := u.connect(get("/new"))
	p.want(200, "hello /new")
	peers[2].wantEnd()
	for _, p := range append(peers[:2:2], p) {
		p.say(get("/still"))
		p.want(200, "hello /still")
	}
	if got := u.Count(); got != 3 {
		t.Errorf("%d places are taken, of 3", got)
	}
}

// Those that have shown a key are asked to leave when they fill more than three
// quarters; when nothing but them is there, a newcomer finds no place.
func TestBackendsKeepThreeQuarters(t *testing.T) {
	u := start(t, 4, hello)
	var kept []*peer
	for i := range 4 {
		p, _ := u.connect(get("/a", "Key: right"))
		if r := p.want(200, "hello /a"); r.Close != (i == 3) {
			t.Errorf("connection %d of 4 is closed: %t", i+1, r.Close)
		}
		kept = append(kept, p)
	}
	kept[3].wantEnd()
	gatewaytest.Eventually(t, "the last has left its place", func() bool { return u.Count() == 3 })
	u.limits.Store(&Limits{Conns: 3, Head: 8 << 10, Fields: 64, HeadTime: time.Minute})
	if p, _ := u.connect(get("/a")); p != nil {
		t.Error("a newcomer is taken where there is no place")
	}
}

// A socket that cannot be had costs no place.
func TestASocketThatIsLostFreesItsPlace(t *testing.T) {
	u := start(t, 1, hello)
	mine, _ := pair(t)
	if !u.Offer(&socket{under: u, tcp: mine, broken: errors.New("lost")}, nil) {
		t.Fatal("it is not taken")
	}
	gatewaytest.Eventually(t, "its place is free", func() bool { return u.Count() == 0 })
	p, _ := u.connect(get("/a"))
	p.want(200, "hello /a")
}

// What was not accepted yet is closed, and nothing is taken afterwards.
func TestCloseClosesWhatWaits(t *testing.T) {
	u := &under{t: t, metrics: metrics.New(metrics.Options{Loops: 1})}
	u.Server = New(Options{
		Limits: func() Limits { return Limits{Conns: 2} }, Handler: http.HandlerFunc(hello), Addr: &net.TCPAddr{},
		Metrics: u.metrics, Log: slog.New(slog.DiscardHandler),
	}) // which nobody serves
	var waiting []*socket
	for range 2 {
		p, s := u.connect("")
		if p == nil {
			t.Fatal("there is no place")
		}
		waiting = append(waiting, s)
	}
	if p, _ := u.connect(""); p != nil {
		t.Error("a third is taken, of two")
	}
	u.Close()
	for i, s := range waiting {
		if !s.closed.Load() {
			t.Errorf("socket %d is not closed", i)
		}
	}
	if p, _ := u.connect(""); p != nil || u.Count() != 0 {
		t.Errorf("a closed server has %d connections", u.Count())
	}
	u.Close()
}

// Shutdown waits for the request that is under way. If it cannot wait any longer,
// it says whether it was a backend's.
func TestShutdownSaysWhomItHasCut(t *testing.T) {
	for name, c := range map[string]struct {
		key    string
		answer bool
		cut    bool
	}{
		"a backend that is answered": {"Key: right", true, false},
		"a backend that is not":      {"Key: right", false, true},
		"a stranger that is not":     {"Key: wrong", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			begun, goOn := make(chan struct{}), make(chan struct{})
			u := start(t, 9, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/wait" {
					close(begun)
					<-goOn
				}
				hello(w, r)
			})
			if u.Times.Drain = 50 * time.Millisecond; c.answer {
				u.Times.Drain = patience
			}
			idle, _ := u.connect(get("/a"))
			idle.want(200, "hello /a")
			p, _ := u.connect(get("/wait", c.key))
			<-begun
			cut := make(chan bool, 1)
			go func() { cut <- u.Shutdown(context.Background()) }()
			idle.wantEnd()
			if c.answer {
				close(goOn)
				p.want(200, "hello /wait")
			}
			if got := <-cut; got != c.cut {
				t.Errorf("it says that it has cut somebody: %t", got)
			}
			if !c.answer {
				close(goOn)
			}
		})
	}
}

// A body that is not read is not waited for for long, so that it keeps no place.
func TestABodyThatIsNotReadEndsTheConnection(t *testing.T) {
	u := start(t, 9, hello)
	u.Times.Body = time.Hour
	u.Times.Linger = 50 * time.Millisecond
	p, _ := u.connect("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
	if r := p.want(200, "hello /a"); !r.Close {
		t.Error("the connection is to be kept")
	}
	p.wantEnd()
	gatewaytest.Eventually(t, "its place is free", func() bool { return u.Count() == 0 })
}
