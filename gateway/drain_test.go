package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
)

func drains(delay, window, timeout time.Duration) func(*config.Config) {
	return func(cfg *config.Config) {
		cfg.Drain = config.Drain{
			Delay: config.Duration(delay), Window: config.Duration(window), Timeout: config.Duration(timeout),
		}
	}
}

func TestDrainClosesEverySessionWith1001SpreadOverTheWindow(t *testing.T) {
	gatewaytest.EachLoopCount(t, testDrainSpreads)
}

func testDrainSpreads(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	const clients, window = 100, time.Second
	n := start(t, func(cfg *config.Config) {
		drains(0, window, patience)(cfg)
		cfg.Loops = loops
	})
	var peers []*peer
	for range clients {
		peers = append(peers, n.dial())
	}
	shutdown := make(chan error, 1)
	go func() { shutdown <- n.Shutdown(context.Background()) }()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		times []time.Duration
		order []int
	)
	began := time.Now()
	for i, p := range peers {
		wg.Go(func() {
			f, err := p.frame()
			mu.Lock()
			times, order = append(times, time.Since(began)), append(order, i)
			mu.Unlock()
			if code, _ := ws.ParseCloseFrameData(f.Payload); err != nil || code != ws.StatusGoingAway {
				t.Errorf("got %+v, %v, want a Close frame with 1001", f, err)
				return
			}
			p.send(closeFrame(ws.StatusGoingAway))
			p.wantEnd()
		})
	}
	wg.Wait()
	if err := <-shutdown; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if spread := times[len(times)-1] - times[0]; spread < window/2 {
		t.Errorf("all closes came within %v of a window of %v", spread, window)
	}
	ordered := 0
	for i := range order[1:] {
		if order[i] < order[i+1] {
			ordered++
		}
	}
	if ordered == clients-1 {
		t.Error("sessions were closed in the order they came")
	}
	if got := n.metric("sluice_connections_closed_total", "reason=drain"); got != clients {
		t.Errorf("%v closed for drain, want %d", got, clients)
	}
	for _, gauge := range []string{"sluice_connections", "sluice_drain_remaining_connections", "sluice_handshakes_in_flight"} {
		if v := n.metric(gauge); v != 0 {
			t.Errorf("%s is %v at the end", gauge, v)
		}
	}
}

// Clients that come while the node leaves are answered or refused; none that
// got through is reset.
func TestNobodyIsResetByADrain(t *testing.T) { gatewaytest.EachLoopCount(t, testNobodyIsReset) }

func testNobodyIsReset(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	n := start(t, func(cfg *config.Config) {
		drains(500*time.Millisecond, 0, patience)(cfg)
		cfg.Loops = loops
	})
	var reset, answered, refused atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.DialTimeout("tcp", n.Addr().String(), patience)
				switch {
				case errors.Is(err, syscall.ECONNREFUSED):
					refused.Add(1)
					return
				case err != nil:
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(patience))
				io.WriteString(c, request("/"))
				got, err := io.ReadAll(io.LimitReader(c, 12))
				switch string(got) {
				case "HTTP/1.1 101", "HTTP/1.1 503":
					answered.Add(1)
				default:
					reset.Add(1)
					t.Errorf("connected, and got %q, %v", got, err)
				}
				c.Close()
			}
		})
	}
	eventually(t, "clients are served", func() bool { return answered.Load() > 100 })
	if err := n.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	close(stop)
	wg.Wait()
	if refused.Load() == 0 {
		t.Error("no client met the closed port: nothing was tested")
	}
}

func TestWhileDrainingNewcomersGet503AndTheNodeIsNotReady(t *testing.T) {
	n := start(t, drains(time.Minute, 0, time.Hour))
	if err := n.Ready(); err != nil {
		t.Fatalf("not ready: %v", err)
	}
	ctx, cut := context.WithCancel(context.Background())
	shutdown := make(chan error, 1)
	go func() { shutdown <- n.Shutdown(ctx) }()
	eventually(t, "it is not ready", func() bool { return n.Ready() != nil })
	p := n.connect()
	p.say(request("/"))
	if r := p.wantStatus(http.StatusServiceUnavailable); r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h := n.connect()
	h.say("GET /api/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	h.wantStatus(http.StatusServiceUnavailable)
	cut() // as a second signal does
	if err := <-shutdown; !errors.Is(err, ErrCut) {
		t.Errorf("Shutdown: %v, want ErrCut", err)
	}
}

func TestDrainEndsAtItsTimeoutAndTellsTheUpstream(t *testing.T) {
	late := newLate(upstream.Disconnected)
	n := start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		drains(0, 0, 1500*time.Millisecond)(cfg)
		cfg.Limits.Close = config.Duration(time.Hour)
	}, late)
	p := n.dial()
	if err := n.Shutdown(context.Background()); !errors.Is(err, ErrCut) {
		t.Errorf("Shutdown: %v, want ErrCut", err)
	}
	p.want(ws.OpClose, string(ws.NewCloseFrameBody(ws.StatusGoingAway, "going away")))
	if ev := late.next(t, upstream.Disconnected); ev.Code != ws.StatusGoingAway || ev.Reason != "drain" {
		t.Errorf("the upstream was told %+v", ev.Event)
	}
	if got := n.metric("sluice_connections"); got != 0 {
		t.Errorf("%v connections left", got)
	}
}

// A cut drain is a failure if somebody was cut off.
func TestADrainThatIsCutFailsIfSomebodyWasThere(t *testing.T) {
	silent := func(*testing.T, *node, *lateUpstream) {}
	const health = "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, c := range []struct {
		name string
		come func(*testing.T, *node, *lateUpstream)
		want error
	}{
		{"nobody", silent, nil},
		{"a socket that says nothing", func(t *testing.T, n *node, _ *lateUpstream) {
			n.connect()
			n.awaits("it is accepted", func(*client) bool { return true })
		}, nil},
		{"an idle HTTP connection", func(t *testing.T, n *node, _ *lateUpstream) {
			p := n.connect()
			p.say(health)
			p.wantBody(http.StatusOK, "ok\n")
		}, nil},
		{"half a request head", func(t *testing.T, n *node, _ *lateUpstream) {
			n.connect().say("GET / HT")
			n.awaits("it is read", func(c *client) bool { return c.Holding() })
		}, ErrCut},
		{"a handshake under way", func(t *testing.T, n *node, late *lateUpstream) {
			n.connect().say(request("/"))
			late.next(t, upstream.Connect)
		}, ErrCut},
		{"a session", func(t *testing.T, n *node, late *lateUpstream) {
			p := n.connect()
			p.say(request("/"))
			late.next(t, upstream.Connect).accept(upstream.Verdict{User: "ann"})
			p.wantStatus(http.StatusSwitchingProtocols)
		}, ErrCut},
		{"an HTTP request under way", func(t *testing.T, n *node, _ *lateUpstream) {
			p := n.connect()
			p.say("POST /api/hubs/default/:send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer 0123456789abcdef\r\nExpect: 100-continue\r\n" +
				"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n")
			p.wantStatus(http.StatusContinue) // it is read now
		}, ErrCut},
	} {
		for _, loops := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s, %d loops", c.name, loops), func(t *testing.T) {
				n, late := asks(t, func(cfg *config.Config) {
					drains(time.Hour, 0, 2*time.Hour)(cfg)
					cfg.Loops = loops
					cfg.APIKeys = []string{"0123456789abcdef"}
				})
				c.come(t, n, late)
				ctx, cut := context.WithCancel(context.Background())
				cut() // as two signals at once
				if err := n.Shutdown(ctx); err != c.want {
					t.Errorf("Shutdown: %v, want %v", err, c.want)
				}
			})
		}
	}
}

// Whoever calls Close, while a drain takes its time, waits for nobody.
func TestCloseCutsADrainThatIsUnderWay(t *testing.T) {
	for name, drain := range map[string]func(*config.Config){
		"in its delay":            drains(time.Hour, 0, 2*time.Hour),
		"in its window":           drains(0, time.Hour, 2*time.Hour),
		"when it waits for peers": drains(0, 0, time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			late := newLate(upstream.Disconnected)
			n := start(t, func(cfg *config.Config) {
				withUpstream(cfg)
				drain(cfg)
				cfg.Limits.Close = config.Duration(time.Hour)
			}, late)
			n.dial()
			shutdown, closed := make(chan error, 1), make(chan error, 1)
			go func() { shutdown <- n.Shutdown(context.Background()) }()
			eventually(t, "the drain has begun", func() bool { return n.Ready() != nil })
			go func() { closed <- n.Close() }()
			for what, done := range map[string]chan error{"Close": closed, "Shutdown": shutdown} {
				select {
				case err := <-done:
					if what == "Shutdown" && err != ErrCut {
						t.Errorf("Shutdown: %v, want ErrCut", err)
					}
				case <-time.After(patience):
					t.Fatalf("%s waits", what)
				}
			}
			late.next(t, upstream.Disconnected)
		})
	}
}

// Nobody waits for what a key set that does not come would have let in.
func TestCloseDoesNotWaitForAKeySet(t *testing.T) {
	i := newIssuer(t)
	n := start(t, func(cfg *config.Config) {
		cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) {
			h.Issuers = map[string]config.Issuer{"corp": {Issuer: "https://corp.example", JWKS: i.url}}
		})
	})
	p := n.connect()
	p.say(request("/?access_token=" + i.token(t, "ann")))
	n.awaits("the token is verified", func(c *client) bool { return c.State() == engine.Asking })
	began := time.Now()
	n.Close()
	if took := time.Since(began); took >= 4*time.Second { // a fetch may take 5 s
		t.Errorf("Close took %v", took)
	}
}
