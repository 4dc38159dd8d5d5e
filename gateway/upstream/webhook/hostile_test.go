package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/gateway/upstream"
)

// dead returns a URL where nobody listens.
func dead(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	wantNoError(t, err)
	defer l.Close()
	return "http://" + l.Addr().String()
}

func TestWhatCannotBeReachedIsUnsent(t *testing.T) {
	_, err := attempt(t, start(t, options(dead(t))), message("x"))
	if f := failed(t, err, upstream.Unsent, "connect"); !errors.Is(f, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
	_, err = attempt(t, start(t, options("http://nowhere.invalid")), message("x"))
	failed(t, err, upstream.Unsent, "nowhere.invalid")
}

func TestHostileAnswers(t *testing.T) {
	const gibberish = "SSH-2.0-OpenSSH_9.9\r\n\r\n"
	for name, test := range map[string]struct {
		answer string
		kind   upstream.Kind
		want   string
	}{
		"garbage":             {gibberish, upstream.Refused, "not HTTP"},
		"no status":           {"HTTP/1.1 \r\n\r\n", upstream.Refused, "not HTTP"},
		"HTTP/2":              {"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", upstream.Refused, "not HTTP"},
		"two lengths":         {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", upstream.Refused, "not HTTP"},
		"a negative length":   {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", upstream.Refused, "not HTTP"},
		"bad chunks":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", upstream.Refused, "not HTTP"},
		"endless interim":     {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000), upstream.Refused, "not HTTP"},
		"10 MiB":              {fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 10<<20), upstream.Refused, "longer than the limit"},
		"an endless body":     {"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 2<<20), upstream.Refused, "longer than the limit"},
		"a chunk of 10 MiB":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na00000\r\n", upstream.Refused, "longer than the limit"},
		"a bomb of chunks":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n", 300), upstream.Refused, "longer than the limit"},
		"a bomb of headers":   {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 100_000), upstream.Refused, "16 KiB"},
		"one long header":     {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1<<20), upstream.Refused, "16 KiB"},
		"an unknown type":     {ok("Content-Type: image/png\r\n", "x"), upstream.Refused, "image/png"},
		"a redirect":          {"HTTP/1.1 307 Away\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", upstream.Refused, "307"},
		"an upgrade":          {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", upstream.Refused, "101"},
		"busy":                {"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", upstream.Unsent, "503"},
		"no more than a head": {"HTTP/1.1 200 OK\r\nContent-Len", upstream.Unanswered, "before the answer was complete"},
		"half a body":         {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", upstream.Unanswered, "before the answer was complete"},
		"half a chunk":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf", upstream.Unanswered, "before the answer was complete"},
		"nothing":             {"", upstream.Unanswered, "before the answer was complete"},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			url := serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
				if readRequest(in) != nil {
					requests.Add(1)
					io.WriteString(c, test.answer)
				}
			})
			p := start(t, options(url))
			_, err := attempt(t, p, message("x"))
			failed(t, err, test.kind, test.want)
			if n := requests.Load(); n != 1 {
				t.Errorf("the request was sent %d times", n)
			}
			if n := p.client.pool.IdleConnsCount(); n != 0 && !strings.Contains(test.answer, "Length: 0") && !strings.Contains(test.answer, "Length: 1") {
				t.Errorf("%d connections are kept", n)
			}
		})
	}
}

func TestBrokenConnectionsAreUnanswered(t *testing.T) {
	for name, serve := range map[string]func(c *net.TCPConn, in *bufio.Reader){
		"reset after reading": func(c *net.TCPConn, in *bufio.Reader) {
			readRequest(in)
			c.SetLinger(0)
		},
		"reset before reading": func(c *net.TCPConn, in *bufio.Reader) {
			in.Peek(1)
			c.SetLinger(0)
		},
		"closed before reading": func(c *net.TCPConn, in *bufio.Reader) {
			in.Peek(1) // what is left unread makes the kernel reset
		},
		"reset in the answer": func(c *net.TCPConn, in *bufio.Reader) {
			readRequest(in)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
			c.SetLinger(0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) { serve(c, in) })
			_, err := attempt(t, start(t, options(url)), message(strings.Repeat("x", 4<<20)))
			failed(t, err, upstream.Unanswered, "")
			_, err = attempt(t, start(t, options(url)), message("x"))
			failed(t, err, upstream.Unanswered, "")
		})
	}
}

func TestAnswersThatComeBeforeTheRequestWasReadCount(t *testing.T) {
	url := serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		in.Peek(1)
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		c.CloseWrite()
		io.Copy(io.Discard, in)
	})
	_, err := attempt(t, start(t, options(url)), message(strings.Repeat("x", 8<<20)))
	failed(t, err, upstream.Refused, "413")
}

// A time-out is the caller's: by its deadline, or by ending the context.
func TestAttemptsEndWithTheirContext(t *testing.T) {
	arrived := make(chan struct{}, 10) // a request has begun
	silent := serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		in.Peek(1)
		arrived <- struct{}{}
		io.Copy(io.Discard, in)
	})
	deaf := serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		c.SetReadBuffer(4096)
		in.Peek(1)
		arrived <- struct{}{}
		<-t.Context().Done()
	})
	trickle := serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		readRequest(in)
		arrived <- struct{}{}
		for {
			if _, err := io.WriteString(c, "H"); err != nil {
				return
			}
			select {
			case <-t.Context().Done():
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	for name, test := range map[string]struct{ url, body string }{
		"no answer":    {silent, "x"},
		"not read":     {deaf, strings.Repeat("x", 8<<20)},
		"drop by drop": {trickle, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(test.url)
			o.Keys = nil // signing a long body takes a while
			p, c := start(t, o), message(test.body)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := p.Attempt(ctx, c)
			if f := failed(t, err, upstream.Unanswered, ""); !errors.Is(f, context.DeadlineExceeded) {
				t.Errorf("got %v", f)
			}
			<-arrived

			ctx, abort := context.WithCancelCause(t.Context())
			reason := errors.New("the node ends")
			go func() {
				<-arrived
				abort(reason)
			}()
			_, err = p.Attempt(ctx, c)
			if f := failed(t, err, upstream.Unanswered, ""); !errors.Is(f, reason) {
				t.Errorf("got %v", f)
			}
			if n := p.client.pool.ConnsCount(); n != 0 {
				t.Errorf("%d connections are left", n)
			}
		})
	}
	t.Run("too late to begin", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := start(t, options(silent)).Attempt(ctx, message("x"))
		failed(t, err, upstream.Unsent, "canceled")
	})
	t.Run("while connecting", func(t *testing.T) {
		// The handshake of TLS is never answered.
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := start(t, options("https"+strings.TrimPrefix(silent, "http"))).Attempt(ctx, message("x"))
		failed(t, err, upstream.Unsent, "")
	})
}

func TestABackendThatDiesAndComesBackIsUsedAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	wantNoError(t, err)
	address := l.Addr().String()
	p := start(t, options("http://"+address))
	for round := range 3 {
		var got string
		s := &http.Server{Handler: keepBody(&got)}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		if _, err := attempt(t, p, message(fmt.Sprint(round))); err != nil || got != fmt.Sprint(round) {
			t.Fatalf("round %d: got %q, %v", round, got, err)
		}
		s.Close()
		<-served
		_, err := attempt(t, p, message("x"))
		failed(t, err, upstream.Unsent, "refused")
		l, err = net.Listen("tcp", address)
		wantNoError(t, err)
	}
	l.Close()
}

func TestConnectionsAreBounded(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{}, 10)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
	}).URL
	o := options(url)
	o.Config.InFlight = 2
	p := start(t, o)
	results := make(chan error, 3)
	for range 3 { // one more than events: that place is for the question
		go func() {
			_, err := p.Attempt(context.Background(), message("x"))
			results <- err
		}()
	}
	for range 3 {
		<-arrived
	}
	_, err := attempt(t, p, message("x"))
	failed(t, err, upstream.Unsent, "free")
	close(release)
	for range 3 {
		wantNoError(t, <-results)
	}
}

func TestBadEventNamesAreNotSent(t *testing.T) {
	p := start(t, options(dead(t)))
	for _, name := range []string{"", "..", "a/b", "a\r\nb"} {
		c := message("x")
		c.Name = name
		_, err := p.Attempt(t.Context(), c)
		failed(t, err, upstream.Refused, "name of an event")
	}
}
