package webhook

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/upstream"
)

func TestTrustFollowsWhatBecomesOfConnections(t *testing.T) {
	const limit = 4 * time.Second
	now := time.Unix(1_000_000, 0)
	tr := newTrust(limit)
	want := func(what string, allowed time.Duration) {
		t.Helper()
		if got := tr.allows(0); got != allowed {
			t.Errorf("%s: %v is allowed, want %v", what, got, allowed)
		}
	}
	want("nothing known", 0)
	tr.lasted(900*time.Millisecond, 0, now)
	want("lasted for less than a second", 0)
	tr.lasted(time.Second, 0, now)
	want("lasted for a second", 500*time.Millisecond)
	tr.lasted(limit, 0, now)
	want("lasted for the limit", limit)
	tr.ended(9*time.Second, now)
	want("ended long after the limit", limit)
	tr.ended(3*time.Second, now)
	want("ended after 3 s", 1500*time.Millisecond)
	tr.ended(2*time.Second, now)
	want("ended after 2 s", time.Second)
	tr.ended(3*time.Second, now)
	want("ended later than is allowed", time.Second)
	tr.lasted(limit, 0, now.Add(time.Second))
	want("lasted, but there is doubt", time.Second)
	tr.ended(20*time.Millisecond, now)
	want("ended at once", 0)
	now = now.Add(doubtTime)
	tr.lasted(900*time.Millisecond, 0, now)
	want("lasted for less than a second", 0)
	tr.lasted(2*time.Second, 0, now)
	want("lasted for 2 s", time.Second)
	tr.lasted(limit, 0, now)
	want("lasted for the limit", limit)

	// Nothing is forgotten by and by: to find out would cost an event.
	tr.ended(0, now)
	tr.lasted(time.Millisecond, 0, now.Add(time.Hour))
	want("nothing new for an hour", 0)
}

// A backend that announces is believed from the start, and again when it has
// kept its word after it had not.
func TestAnnouncementsAreBelievedUntilTheyAreBroken(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	tr := newTrust(4 * time.Second)
	const announced = 3 * time.Second
	want := func(what string, allowed time.Duration) {
		t.Helper()
		if got := tr.allows(announced); got != allowed {
			t.Errorf("%s: %v is allowed, want %v", what, got, allowed)
		}
	}
	want("nothing known", 2*time.Second)
	tr.ended(time.Millisecond, now)
	want("ended at once", 0)
	tr.lasted(2*time.Second, announced, now.Add(time.Second))
	want("kept, but there is doubt", 0)
	tr.lasted(2*time.Second, announced, now.Add(doubtTime))
	want("kept", 2*time.Second)
	if got := tr.allows(0); got != time.Second {
		t.Errorf("unannounced: %v is allowed, want half of what was seen", got)
	}
}

func TestAnnouncedRestsAreKeptWithAMargin(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"timeout=2": time.Second, "timeout=5": 4 * time.Second, "timeout=60": 4 * time.Second, "max=9": 4 * time.Second,
		"timeout=2, max=100": time.Second, "Max=5 , TIMEOUT = 3": 2 * time.Second, `timeout="3"`: 2 * time.Second,
		"timeout=1": -1, "timeout=0": -1, "timeout=5, max=0": -1, "": 4 * time.Second, "timeout=x": 4 * time.Second,
	} {
		c := &conn{trust: newTrust(4 * time.Second)}
		c.trust.lasted(4*time.Second, 0, time.Unix(1_000_000, 0))
		resp := new(fasthttp.Response)
		if value != "" {
			resp.Header.Set("Keep-Alive", value)
		}
		switch keep := c.heed(resp); {
		case keep != (want >= 0):
			t.Errorf("%q: kept is %v", value, keep)
		case keep && c.trust.allows(c.announced) != want:
			t.Errorf("%q: %v is allowed, want %v", value, c.trust.allows(c.announced), want)
		}
	}
}

// rests sets for how long the connection of p has rested.
func rests(t *testing.T, p *protocol, rest time.Duration) {
	t.Helper()
	resting(t, p, func(c *conn) { c.rested = time.Now().Add(-rest) })
}

func TestAConnectionIsNotUsedNearItsAnnouncedEnd(t *testing.T) {
	for rest, want := range map[time.Duration]int32{500 * time.Millisecond: 1, 1100 * time.Millisecond: 2, 1999 * time.Millisecond: 2} {
		var connections atomic.Int32
		p := start(t, options(serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
			connections.Add(1)
			for readRequest(in) != nil {
				io.WriteString(c, "HTTP/1.1 204 No\r\nKeep-Alive: timeout=2\r\n\r\n")
			}
		})))
		_, err := attempt(t, p, message("first"))
		wantNoError(t, err)
		rests(t, p, rest)
		_, err = attempt(t, p, message("second"))
		wantNoError(t, err)
		if n := connections.Load(); n != want {
			t.Errorf("after %v: %d connections, want %d", rest, n, want)
		}
	}
}

// When the FIN came is known, not only that it has.
func TestTheRestThatABackendGrantsIsLearned(t *testing.T) {
	for _, c := range []struct {
		rest time.Duration // at the look
		want time.Duration // at most
	}{
		{3 * time.Second, 1600 * time.Millisecond},
		{900 * time.Millisecond, 0},
	} {
		p := kept(t, func(_ int, c *net.TCPConn, in *bufio.Reader) { c.Close() })
		resting(t, p, func(k *conn) {
			until(t, "the end is seen", func() bool { return !k.socket.Quiet() })
			k.rested = time.Now().Add(-c.rest)
			if k.usable() {
				t.Error("an ended connection is used")
			}
			if got := k.trust.allows(0); got > c.want {
				t.Errorf("ended after %v: %v is allowed, want at most %v", c.rest, got, c.want)
			}
		})
	}
}

// A backend that closes each connection within 20 ms of its answer, and says
// nothing of it. Once that is known none is used again. Before, an event can
// meet the end: it has not been executed, and is repeated where the hub says so.
func TestABackendThatClosesAtOnceLosesNothingOnceItIsKnown(t *testing.T) {
	arrived := ledger{seen: map[string]int{}}
	p := start(t, options(serveRaw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		if r := readRequest(in); r != nil {
			arrived.enter(r.Header.Get("webhook-id"))
			io.WriteString(c, noContent)
			time.Sleep(time.Duration(n%20) * time.Millisecond)
		}
	})))
	p.client.trust.ended(time.Millisecond, time.Now())
	var sending sync.WaitGroup
	for worker := range 4 {
		sending.Go(func() {
			for i := range 100 {
				c := message("x")
				c.ID = fmt.Sprintf("%d-%d", worker, i)
				if _, err := p.Attempt(t.Context(), c); err != nil || arrived.count(c.ID) != 1 {
					t.Errorf("%s has arrived %d times: %v", c.ID, arrived.count(c.ID), err)
				}
			}
		})
	}
	sending.Wait()
}

// The end of a connection that had rested says so, and is learned from; that of
// a new one says nothing.
func TestAnEndThatCrossesTheRequestIsStale(t *testing.T) {
	p := start(t, options(serveRaw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		readRequest(in)
		if n == 0 {
			io.WriteString(c, noContent)
			in.Peek(1) // the next is here, and is not read: a reset
		}
	})))
	_, err := attempt(t, p, message("first"))
	wantNoError(t, err)
	_, err = attempt(t, p, message("second"))
	if f := failed(t, err, upstream.Unanswered, ""); !f.Stale {
		t.Errorf("not stale: %v", f)
	}
	if got := p.client.trust.allows(0); got != 0 {
		t.Errorf("%v is allowed", got)
	}
	_, err = attempt(t, p, message("third"))
	if f := failed(t, err, upstream.Unanswered, ""); f.Stale {
		t.Errorf("stale on a new connection: %v", f)
	}
}

func TestConnectionsAreUsedOnceIfTheSettingSaysSo(t *testing.T) {
	o := options(answer(t, noContent))
	o.Config.Idle = 0
	p := start(t, o)
	_, err := attempt(t, p, message("x"))
	wantNoError(t, err)
	if n := p.client.pool.ConnsCount(); n != 0 {
		t.Errorf("%d connections are kept", n)
	}
}

func TestEventsThatMayBeRepeatedHaveAnIdempotencyKey(t *testing.T) {
	for _, repeats := range []bool{false, true} {
		o := options("http://backend.example")
		o.Config.RepeatReset = repeats
		r := new(request)
		wantNoError(t, start(t, o).head.event(r, message("x")))
		if got := strings.Contains(string(r.head), "\r\nIdempotency-Key: event-1\r\n"); got != repeats {
			t.Errorf("repeated is %v, and the key is there: %v", repeats, got)
		}
	}
}

// Whatever stands around a body is read up to a bound, and not for ever.
func TestWhatIsReadOfOneAnswerIsBounded(t *testing.T) {
	for name, c := range map[string]struct{ head, again string }{
		"chunk extension": {"HTTP/1.1 200 OK\r\n" + textType + "Transfer-Encoding: chunked\r\n\r\n1;", strings.Repeat("x", 1024)},
		"tiny chunks":     {"HTTP/1.1 200 OK\r\n" + textType + "Transfer-Encoding: chunked\r\n\r\n", "1;" + strings.Repeat("x", 1000) + "\r\ny\r\n"},
		"trailers":        {"HTTP/1.1 200 OK\r\n" + textType + "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n"},
		"interim":         {"", "HTTP/1.1 103 Early\r\nX: " + strings.Repeat("y", 1000) + "\r\n\r\n"},
		"header lines":    {"HTTP/1.1 200 OK\r\n", "X: y\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var said atomic.Int64
			o := options(serveRaw(t, func(_ int, tcp *net.TCPConn, in *bufio.Reader) {
				tcp.SetWriteBuffer(64 << 10)
				if r := readRequest(in); r.Header.Get("ce-id") == "neighbour" {
					io.WriteString(tcp, noContent)
					return
				}
				io.WriteString(tcp, c.head)
				for piece := strings.Repeat(c.again, 1+8192/len(c.again)); said.Load() < 64<<20; {
					n, err := io.WriteString(tcp, piece)
					if said.Add(int64(n)); err != nil {
						return
					}
				}
			}))
			p := start(t, o)
			_, err := attempt(t, p, message("x"))
			failed(t, err, upstream.Refused, "")
			if n := said.Load(); n > 32<<20 {
				t.Errorf("the backend could say %d bytes", n)
			}
			neighbour := message("x")
			neighbour.ID = "neighbour"
			_, err = attempt(t, p, neighbour)
			wantNoError(t, err)
		})
	}
}

// With TLS, what was said unasked may have been read already, and wait where the
// socket does not show it.
func TestASecondAnswerBehindTLSIsNobodys(t *testing.T) {
	c := &gate{Conn: readable("ab")}
	if c.empty(c) != true {
		t.Error("what is in the socket is read through a shut gate")
	}
	if c.empty(readable("x")) {
		t.Error("what was read before is not seen")
	}
}

// readable is a connection from which a text can be read.
type readableConn struct {
	net.Conn
	*strings.Reader
}

func (r readableConn) Read(p []byte) (int, error) { return r.Reader.Read(p) }

func readable(s string) net.Conn { return readableConn{Reader: strings.NewReader(s)} }
