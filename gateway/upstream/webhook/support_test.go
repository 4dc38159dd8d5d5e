package webhook

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"sluice/gateway/config"
	"sluice/gateway/upstream"
	"sluice/session"
)

func TestMain(m *testing.M) {
	if os.Getenv(backendVariable) != "" {
		runBackend()
		return
	}
	goleak.VerifyTestMain(m,
		// It sleeps for as long as connections rest before it sees that all is closed.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"))
}

const (
	primaryKey   = "primary-access-key"
	secondaryKey = "secondary-access-key"
)

func options(url string) upstream.Options {
	c := config.DefaultUpstream(url)
	c.Validate = false
	return upstream.Options{
		Hub:      "chat",
		Config:   c,
		Keys:     []string{primaryKey, secondaryKey},
		Endpoint: "https://ws.example.com",
		ID:       func(session.Ref) string { return "connection-1" },
		Log:      slog.New(slog.DiscardHandler),
	}
}

// start opens a protocol that is closed with the test, of a backend that is known
// to let connections rest.
func start(t testing.TB, o upstream.Options) *protocol {
	t.Helper()
	p := unknown(t, o)
	p.client.trust.lasted(time.Hour, 0, time.Now())
	return p
}

// unknown opens a protocol that is closed with the test, of a backend of which
// nothing is known.
func unknown(t testing.TB, o upstream.Options) *protocol {
	t.Helper()
	p, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func message(text string) *upstream.Call {
	return &upstream.Call{
		Event: upstream.Event{
			Type: upstream.Message, Hub: "chat", Name: "message", Op: ws.OpText, Data: []byte(text),
		},
		ID:      "event-1",
		At:      time.Date(2026, 5, 4, 3, 2, 1, 987654321, time.UTC),
		Attempt: 1,
	}
}

func event(kind upstream.Type) *upstream.Call {
	c := message("")
	c.Type, c.Name, c.Op, c.Data = kind, "", 0, nil
	return c
}

// attempt delivers c within a time that is ample.
func attempt(t testing.TB, p *protocol, c *upstream.Call) (upstream.Reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return p.Attempt(ctx, c)
}

// failed returns the Failure that err must be, of a kind and with a text.
func failed(t testing.TB, err error, kind upstream.Kind, text string) *upstream.Failure {
	t.Helper()
	f, ok := err.(*upstream.Failure)
	if !ok {
		t.Fatalf("got %v (%T), want a failure: %v", err, err, kind)
	}
	if f.Kind != kind || !strings.Contains(f.Error(), text) {
		t.Fatalf("got %v, want %v with %q", f, kind, text)
	}
	return f
}

// serve runs an HTTP server for the test.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// serveRaw accepts connections for the test, and calls f for each with its
// number, from 0. The connection is closed when f returns, or with the test.
func serveRaw(t testing.TB, f func(n int, c *net.TCPConn, in *bufio.Reader)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	closed := false
	serving.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if open = append(open, c); closed {
				c.Close()
			}
			mu.Unlock()
			serving.Go(func() {
				defer c.Close()
				f(n, c.(*net.TCPConn), bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		closed = true
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return "http://" + l.Addr().String() + "/hook"
}

// readRequest reads one request whole, and returns nil when there is none.
func readRequest(in *bufio.Reader) *http.Request {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	return r
}

// answer is a server that says the same to every request.
func answer(t testing.TB, bytes string) (url string) {
	t.Helper()
	return serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		for readRequest(in) != nil {
			if _, err := io.WriteString(c, bytes); err != nil {
				return
			}
		}
	})
}

// once is a server that says something to the first request of a connection,
// and closes it.
func once(t testing.TB, bytes string) (url string) {
	t.Helper()
	return serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		if readRequest(in) != nil {
			io.WriteString(c, bytes)
		}
	})
}

const noContent = "HTTP/1.1 204 No Content\r\n\r\n"

func wantNoError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
