package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/upstream"
)

// ledger counts the events that have arrived, by webhook-id.
type ledger struct {
	mu   sync.Mutex
	seen map[string]int
}

func (l *ledger) enter(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[id]++
}

func (l *ledger) count(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[id]
}

// The server closes kept connections whenever it likes: before the client looks,
// after it has looked, and while the request is on its way. What was read, and
// that nothing was, is known in each case but one: a request that had arrived
// when the server closed without reading it is answered by a reset, as one that
// had effects could be. That one must not be repeated, and must be reported.
func TestConnectionsThatEndAtAnyTimeLoseAndRepeatNothing(t *testing.T) {
	arrived := ledger{seen: map[string]int{}}
	url := serveRaw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		random := rand.New(rand.NewPCG(uint64(n), 1))
		for {
			r := readRequest(in)
			if r == nil {
				return
			}
			arrived.enter(r.Header.Get("webhook-id"))
			if _, err := io.WriteString(c, noContent); err != nil {
				return
			}
			if random.IntN(3) == 0 {
				for spin := random.IntN(100_000); spin > 0; spin-- {
					_ = spin
				}
				return
			}
		}
	})
	p := start(t, options(url))
	const events, workers = 2000, 4
	var sending sync.WaitGroup
	var unknown atomic.Int32
	for worker := range workers {
		sending.Go(func() {
			for i := range events / workers {
				c := message("x")
				c.ID = fmt.Sprintf("%d-%d", worker, i)
				_, err := p.Attempt(t.Context(), c)
				n := arrived.count(c.ID)
				switch f := (*upstream.Failure)(nil); {
				case err == nil && n == 1:
				case errors.As(err, &f) && f.Kind == upstream.Unanswered && errors.Is(err, syscall.ECONNRESET) && n == 0:
					unknown.Add(1)
				default:
					t.Errorf("%s: has arrived %d times: %v", c.ID, n, err)
				}
			}
		})
	}
	sending.Wait()
	t.Logf("%d of %d requests met a reset", unknown.Load(), events)
	if n := unknown.Load(); n > events/10 {
		t.Errorf("nothing is known of %d of %d requests", n, events)
	}
}

// kept returns a protocol with one connection whose server then does f.
func kept(t *testing.T, f func(n int, c *net.TCPConn, in *bufio.Reader)) *protocol {
	t.Helper()
	idle := make(chan struct{})
	p := start(t, options(serveRaw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		if n > 0 {
			for readRequest(in) != nil {
				io.WriteString(c, noContent)
			}
			return
		}
		readRequest(in)
		io.WriteString(c, noContent)
		<-idle
		f(n, c, in)
	})))
	_, err := attempt(t, p, message("first"))
	close(idle)
	wantNoError(t, err)
	if n := p.client.pool.IdleConnsCount(); n != 1 {
		t.Fatalf("%d connections are kept", n)
	}
	return p
}

// resting returns the connection of p while nobody uses it.
func resting(t *testing.T, p *protocol, f func(c *conn)) {
	t.Helper()
	place, err := p.client.pool.AcquireConn(0, false)
	wantNoError(t, err)
	f(place.Conn().(*conn))
	p.client.pool.ReleaseConn(place)
}

// until waits for what the kernel does in its own time.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !condition(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAnEndedConnectionIsSeenBeforeItIsUsed(t *testing.T) {
	for name, f := range map[string]func(c *net.TCPConn){
		"closed":            func(c *net.TCPConn) { c.Close() },
		"reset":             func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"half closed":       func(c *net.TCPConn) { c.CloseWrite() },
		"an unasked answer": func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 408 Late\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			p := kept(t, func(_ int, c *net.TCPConn, in *bufio.Reader) { f(c); in.Peek(1) })
			resting(t, p, func(c *conn) {
				until(t, "the end is seen", func() bool { return !c.usable() })
			})
			_, err := attempt(t, p, message("second"))
			wantNoError(t, err)
		})
	}
}

// The FIN is on its way when the request is written: no look could have shown
// it. Here it has come already, and nobody looks.
func TestARequestThatCrossesTheEndOfItsConnectionIsUnsent(t *testing.T) {
	release := make(chan struct{})
	p := kept(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		c.Close()
		close(release)
	})
	<-release
	place, err := p.client.pool.AcquireConn(0, false)
	wantNoError(t, err)
	defer p.client.pool.CloseConn(place)
	c := place.Conn().(*conn)
	until(t, "the end is seen", func() bool { return !c.usable() })

	r := new(request)
	wantNoError(t, p.head.event(r, message("x")))
	if err := c.roundTrip(t.Context(), p.client, r, new(fasthttp.Response)); err == nil || !c.untouched() {
		t.Errorf("got %v with %d bytes sent, %d unacknowledged, and %v: taken for seen",
			err, c.socket.Sent, c.socket.Unacknowledged(), c.ended)
	}
}

func TestARequestThatTheKernelDoesNotTakeIsUnsent(t *testing.T) {
	p := start(t, options(answer(t, noContent)))
	_, err := attempt(t, p, message("first"))
	wantNoError(t, err)
	resting(t, p, func(c *conn) { c.socket.SetDeadline(time.Unix(1, 0)) })
	_, err = attempt(t, p, message("second"))
	wantNoError(t, err)
}

// The server has read the request and closes: the same end of the stream, but
// the FIN acknowledges. Or it resets: nothing acknowledges, and all the same it
// has read the request.
func TestARequestThatWasReadIsNotSentAgain(t *testing.T) {
	for name, end := range map[string]func(c *net.TCPConn){
		"closed": func(c *net.TCPConn) {},
		"reset":  func(c *net.TCPConn) { c.SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				arrived := ledger{seen: map[string]int{}}
				p := start(t, options(serveRaw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
					for r := readRequest(in); r != nil; r = readRequest(in) {
						id := r.Header.Get("webhook-id")
						if arrived.enter(id); id == "second" {
							end(c)
							return
						}
						io.WriteString(c, noContent)
					}
				})))
				first, second := message("x"), message("x")
				first.ID, second.ID = "first", "second"
				_, err := attempt(t, p, first)
				wantNoError(t, err)
				_, err = attempt(t, p, second)
				failed(t, err, upstream.Unanswered, name)
				if n := arrived.count("second"); n != 1 {
					t.Fatalf("it has arrived %d times", n)
				}
			}
		})
	}
}

// Only a connection that was kept can be stale. Whether a new one ends before
// or after the request arrives is chance; another is not tried.
func TestANewConnectionThatEndsAtOnceIsNotReplaced(t *testing.T) {
	var connections atomic.Int32
	p := start(t, options(serveRaw(t, func(int, *net.TCPConn, *bufio.Reader) { connections.Add(1) })))
	const attempts = 200
	for range attempts {
		if _, err := attempt(t, p, message("x")); err == nil {
			t.Fatal("delivered to nobody")
		}
	}
	if n := connections.Load(); n > attempts {
		t.Errorf("%d connections for %d attempts", n, attempts)
	}
}

// The context ends just when the answer is complete: its cut may come later,
// and must not meet the next exchange.
func TestAConnectionThatMayStillBeCutIsNotUsedAgain(t *testing.T) {
	p := start(t, options(answer(t, noContent)))
	_, err := attempt(t, p, message("x"))
	wantNoError(t, err)
	cutting, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	resting(t, p, func(c *conn) {
		c.cut = func() { close(cutting); <-release }
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Attempt(ctx, message("x"))
	wantNoError(t, err)
	<-cutting
	if n := p.client.pool.ConnsCount(); n != 0 {
		t.Errorf("%d connections are kept", n)
	}
}

func TestOldConnectionsAreReplaced(t *testing.T) {
	ended := make(chan struct{})
	p := kept(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		if _, err := in.ReadByte(); err == io.EOF {
			close(ended)
		}
	})
	resting(t, p, func(c *conn) { c.made = time.Now().Add(-lifetime) })
	_, err := attempt(t, p, message("second"))
	wantNoError(t, err)
	<-ended
}

func TestAConnectionIsNotUsedAgainWhen(t *testing.T) {
	for name, text := range map[string]string{
		"the answer says so":           "HTTP/1.1 204 No\r\nConnection: close\r\n\r\n",
		"something follows the answer": "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
		"the server speaks HTTP/1.0":   "HTTP/1.0 204 No\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, options(answer(t, text)))
			for range 3 {
				_, err := attempt(t, p, message("x"))
				wantNoError(t, err)
				if n := p.client.pool.ConnsCount(); n != 0 {
					t.Fatalf("%d connections are kept", n)
				}
			}
		})
	}
}

func TestConnectionsAreKeptBetweenEvents(t *testing.T) {
	p := start(t, options(serveRaw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		for r := readRequest(in); r != nil && n == 0; r = readRequest(in) {
			io.WriteString(c, noContent)
		}
	})))
	for range 100 {
		_, err := attempt(t, p, message("x"))
		wantNoError(t, err)
	}
}
