package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// An echoServer does what every server under load does, by an independent implementation.
type echoServer struct {
	mu      sync.Mutex
	clients map[*websocket.Conn]struct{}
	ctx     context.Context
	ping    time.Duration
}

// serveEcho serves until the test ends. With ping it pings every client at that interval.
func serveEcho(t *testing.T, ping time.Duration) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &echoServer{clients: make(map[*websocket.Conn]struct{}), ctx: ctx, ping: ping}
	var sessions sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
		case "/settle":
			debug.FreeOSMemory()
			return
		default:
			http.NotFound(w, r)
			return
		}
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			s.push(body)
			return
		}
		sessions.Add(1)
		defer sessions.Done()
		s.session(w, r)
	}))
	t.Cleanup(func() {
		cancel()
		srv.Close()
		sessions.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	return "ws" + strings.TrimPrefix(srv.URL, "http") + "/"
}

func (s *echoServer) session(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	s.mu.Lock()
	s.clients[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.clients, c)
		s.mu.Unlock()
	}()
	ctx, cancel := context.WithCancel(s.ctx)
	var pinging sync.WaitGroup
	defer pinging.Wait()
	defer cancel()
	if s.ping > 0 {
		pinging.Go(func() { pingEvery(ctx, c, s.ping) })
	}
	for {
		kind, b, err := c.Read(ctx)
		if err != nil {
			return
		}
		var n int
		if _, err := fmt.Sscanf(string(b), "broadcast %d", &n); err == nil {
			s.push([]byte(strings.Repeat("x", n)))
		} else if c.Write(ctx, kind, b) != nil {
			return
		}
	}
}

func (s *echoServer) push(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.Write(s.ctx, websocket.MessageText, b)
	}
}

func pingEvery(ctx context.Context, c *websocket.Conn, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if c.Ping(ctx) != nil {
				return
			}
		}
	}
}

// measureAt runs a mode with its defaults changed by change.
func measureAt(t *testing.T, name, url string, change func(*settings)) (*Result, error) {
	t.Helper()
	m, err := chosen(modes(), name)
	if err != nil {
		t.Fatal(err)
	}
	s := m[0].defaults
	s.url, s.sources, s.processes, s.push = url, 4, 1, pushWord
	s.conns, s.from, s.active, s.parallel = 60, 20, 0, 16
	s.warmup, s.duration = 20*time.Millisecond, 100*time.Millisecond
	if change != nil {
		change(&s)
	}
	return measure(t.Context(), m[0], s, newProgress(io.Discard))
}

func TestEveryModeMeasures(t *testing.T) {
	for _, tt := range []struct {
		mode   string
		ping   time.Duration
		change func(*settings)
		unit   string
	}{
		{mode: "handshake", change: func(s *settings) { s.duration = time.Millisecond }, unit: "handshake"},
		{mode: "handshake", change: func(s *settings) { s.rate = 2000; s.duration = time.Millisecond }, unit: "handshake"},
		{mode: "echo", unit: "message"},
		{mode: "echo", change: func(s *settings) { s.rate = 1000 }, unit: "message"},
		{mode: "echo", change: func(s *settings) { s.size = 100_000; s.conns = 3 }, unit: "message"},
		{mode: "echo", change: func(s *settings) { s.processes = 2 }, unit: "message"},
		{mode: "sparse", change: func(s *settings) { s.active = 3 }, unit: "message"},
		{mode: "broadcast", unit: "recipient"},
		{mode: "broadcast", change: func(s *settings) { s.processes = 2 }, unit: "recipient"},
		{mode: "broadcast", change: func(s *settings) { s.pushURL = "http" + strings.TrimPrefix(s.url, "ws") }, unit: "recipient"},
		{mode: "ping", ping: 20 * time.Millisecond, unit: "ping"},
		{mode: "ping", change: func(s *settings) { s.client = true; s.size = 4 }, unit: "ping"},
		{mode: "churn", unit: "visit"},
		{mode: "churn", change: func(s *settings) { s.rate = 200 }, unit: "visit"},
		{mode: "storm", unit: "return"},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			r, err := measureAt(t, tt.mode, serveEcho(t, tt.ping), tt.change)
			if err != nil {
				t.Fatal(err)
			}
			if r.Operations == 0 || r.Unit != tt.unit || len(r.Errors) > 0 || !(r.ServerCPU > 0) {
				t.Errorf("unexpected result %+v", r)
			}
			if wantLatency := tt.mode != "ping" || tt.ping == 0; (r.Latency != nil) != wantLatency {
				t.Errorf("latency %v", r.Latency)
			}
			if (r.Lag != nil) != (r.Rate > 0 && tt.mode != "handshake") {
				t.Errorf("lag %v with rate %v", r.Lag, r.Rate)
			}
		})
	}
}

func TestIdleMeasuresTheSlopeBetweenTwoCounts(t *testing.T) {
	r, err := measureAt(t, "idle", serveEcho(t, 0), func(s *settings) {
		s.settle = "http" + strings.TrimPrefix(s.url, "ws") + "settle"
		s.conns = 260
	})
	if err != nil {
		t.Fatal(err)
	}
	m := r.Memory
	if m == nil || m.From != 20 || m.To != 260 || math.IsNaN(m.User) || math.IsInf(m.User, 0) {
		t.Fatalf("unexpected memory %+v", m)
	}
	// Server and generator are one process here, with a goroutine and two buffers a connection.
	if m.User < 1000 || m.User > 1<<20 {
		t.Errorf("%v B per connection", m.User)
	}
}

func TestRefusalIsReportedWithItsStatus(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "full", http.StatusServiceUnavailable)
	}))
	defer srv.Close()
	_, err := measureAt(t, "echo", "ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	if err == nil || !strings.Contains(err.Error(), "only 0 of 60") || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Errorf("error %v", err)
	}
}

func TestStormCountsWhoWasTurnedAway(t *testing.T) {
	target := serveEcho(t, 0)
	var mu sync.Mutex
	seen := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen++
		refuse := seen > 10 && seen <= 15 // the first to come back
		mu.Unlock()
		if refuse {
			http.Error(w, "come back later", http.StatusServiceUnavailable)
			return
		}
		proxy(w, r, strings.TrimSuffix(strings.TrimPrefix(target, "ws://"), "/"))
	}))
	defer srv.Close()
	r, err := measureAt(t, "storm", "ws"+strings.TrimPrefix(srv.URL, "http"), func(s *settings) { s.conns = 10 })
	if err != nil {
		t.Fatal(err)
	}
	if r.Operations != 10 || r.Errors["handshake refused: HTTP/1.1 503 Service Unavailable"] != 5 {
		t.Errorf("%d are back, errors %v", r.Operations, r.Errors)
	}
	if least := float64(retryAfter.Microseconds()); r.Latency.Max < least {
		t.Errorf("all were back after %v µs, before anybody could try again", r.Latency.Max)
	}
}

func TestPushThatIsRefusedIsNotWaitedFor(t *testing.T) {
	began := time.Now()
	_, err := measureAt(t, "broadcast", serveEcho(t, 0), func(s *settings) {
		s.pushURL = "http" + strings.TrimPrefix(s.url, "ws") + "nowhere"
	})
	if err == nil || !strings.Contains(err.Error(), "404 Not Found") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > grace/2 {
		t.Errorf("took %v", took)
	}
}

// proxy tunnels an upgrade request to the server at addr until either side ends.
func proxy(w http.ResponseWriter, r *http.Request, addr string) {
	client, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer server.Close()
	if r.Write(server) != nil {
		return
	}
	var back sync.WaitGroup
	defer back.Wait()
	back.Go(func() {
		io.Copy(client, server)
		client.Close()
	})
	io.Copy(server, buffered)
	server.Close()
}
