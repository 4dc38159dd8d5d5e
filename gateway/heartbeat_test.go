package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/netpoll/netpolltest"
)

func beats(interval, timeout time.Duration) func(*config.Config) {
	return func(cfg *config.Config) {
		cfg.Heartbeat = config.Heartbeat{Interval: config.Duration(interval), Timeout: config.Duration(timeout)}
	}
}

func TestSilentPeerIsPingedAndDropped(t *testing.T) {
	const interval, timeout = 600 * time.Millisecond, 300 * time.Millisecond
	late := newLate(upstream.Disconnected)
	n := start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		beats(interval, timeout)(cfg)
	}, late)
	p := n.dial()
	began := time.Now()
	p.want(ws.OpPing, "")
	asked := time.Since(began)
	if asked < interval*7/16-engine.Tick || asked > interval+2*engine.Tick {
		t.Errorf("pinged after %v, want between 7/16 of %v and all of it", asked, interval)
	}
	p.wantEnd()
	if gone := time.Since(began) - asked; gone < timeout-engine.Tick {
		t.Errorf("dropped %v after the ping, before its %v were over", gone, timeout)
	}
	ev := late.next(t, upstream.Disconnected)
	if ev.Reason != "heartbeat" || ev.Code != ws.StatusAbnormalClosure {
		t.Errorf("the upstream was told %+v", ev.Event)
	}
	n.closedFor(metrics.ReasonHeartbeat)
}

func TestAnyTrafficIsLife(t *testing.T) {
	n := start(t, beats(400*time.Millisecond, 300*time.Millisecond))
	signs := map[string][]byte{
		"pong":     control(ws.OpPong, ""),
		"ping":     control(ws.OpPing, ""),
		"message":  text("here"),
		"one byte": {0x81},
	}
	for name, sign := range signs {
		t.Run(name, func(t *testing.T) {
			p := n.dial()
			p.want(ws.OpPing, "")
			p.send(sign)
			for pings := 0; pings < 1; { // asked again, so not dropped for the first
				f, err := p.frame()
				if err != nil {
					t.Fatal(err)
				}
				if f.Header.OpCode == ws.OpPing {
					pings++
				}
			}
		})
	}
}

func TestPongsAreTimed(t *testing.T) {
	n := start(t, beats(300*time.Millisecond, 200*time.Millisecond))
	p := n.dial()
	p.want(ws.OpPing, "")
	p.send(control(ws.OpPong, ""))
	eventually(t, "a round trip is counted", func() bool { return n.metric("sluice_ping_rtt_seconds") == 1 })
	p.want(ws.OpPing, "")
}

// What the client sends while it is parked is not read, its pongs included:
// that must not look like silence.
func TestLiveClientSurvivesAnUpstreamSlowerThanTheHeartbeat(t *testing.T) {
	const interval, timeout = 300 * time.Millisecond, 200 * time.Millisecond
	late := newLate(upstream.Message)
	n := start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		beats(interval, timeout)(cfg)
	}, late)
	p := n.dial()
	p.send(text("one"), text("two"))
	one := late.next(t, upstream.Message)
	for elapsed := n.loops[0].Uptime(); n.loops[0].Uptime()-elapsed < 4*(interval+timeout); {
		p.send(control(ws.OpPing, "x")) // behind "two": nobody reads it
		n.loops[0].do(func(*loop) {})
		time.Sleep(engine.Tick / 2)
	}
	one.answer()
	late.next(t, upstream.Message).answer()
	for _, want := range []string{"one", "two"} {
		for {
			f, err := p.frame()
			if err != nil {
				t.Fatalf("dropped while it was parked: %v", err)
			}
			if f.Header.OpCode == ws.OpText {
				if string(f.Payload) != want {
					t.Fatalf("got %q, want %q", f.Payload, want)
				}
				break
			}
		}
	}
}

func TestParkedClientThatIsGoneIsFoundWhenItResumes(t *testing.T) {
	late := newLate(upstream.Message | upstream.Disconnected)
	n := start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		beats(300*time.Millisecond, 200*time.Millisecond)(cfg)
	}, late)
	p := n.dial()
	p.send(text("one"), text("two"))
	one := late.next(t, upstream.Message)
	one.answer()
	two := late.next(t, upstream.Message)
	two.answer()
	p.want(ws.OpText, "one") // and from here on it says nothing
	if ev := late.next(t, upstream.Disconnected); ev.Reason != "heartbeat" {
		t.Errorf("ended for %s", ev.Reason)
	}
}

// Sessions that came together must not be asked together.
func TestPingsAreSpreadOverTheInterval(t *testing.T) {
	const clients, interval = 400, time.Second
	n := start(t, beats(interval, interval))
	perTick := make(map[time.Duration]int)
	began := make(chan struct{})
	asked := make(chan time.Duration, clients)
	var peers []*peer
	for range clients {
		peers = append(peers, n.dial())
	}
	start := time.Now()
	close(began)
	for _, p := range peers {
		go func() {
			<-began
			if f, err := p.frame(); err == nil && f.Header.OpCode == ws.OpPing {
				asked <- time.Since(start)
				return
			}
			asked <- -1
		}()
	}
	for range clients {
		at := <-asked
		if at < 0 {
			t.Fatal("a client was not pinged")
		}
		perTick[at/engine.Tick]++
	}
	for at, count := range perTick {
		if count > clients/2 {
			t.Errorf("%d of %d clients were asked within one tick, at %v", count, clients, at*engine.Tick)
		}
	}
}

// A loop that was kept from its sockets for longer than a pong may take finds
// the pongs there.
func TestNobodyIsDroppedForALoopThatComesLate(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		cfg.Loops = 1
		beats(time.Second, time.Second)(cfg)
	})
	peers := make([]*peer, 100)
	for i := range peers {
		peers[i] = n.dial()
	}
	for _, p := range peers {
		p.want(ws.OpPing, "")
	}
	n.frozen(func() {
		time.Sleep(2 * engine.Tick) // the clock rings first
		for _, p := range peers {
			p.send(control(ws.OpPong, ""))
		}
		time.Sleep(time.Second) // and for all of them it would be too late
	})
	for _, p := range peers {
		p.send(text("here"))
		p.want(ws.OpText, "here")
	}
	if got := n.metric("sluice_connections_closed_total"); got != 0 {
		t.Errorf("%v connections were closed", got)
	}
}

// frozenWith freezes the only loop for f once it has a client as ok says.
func (n *node) frozenWith(ok func(*loop, *client) bool, f func()) {
	n.t.Helper()
	thaw := make(chan struct{})
	defer close(thaw)
	eventually(n.t, "a client to freeze with", func() bool {
		found := make(chan bool)
		n.loops[0].post(letter{run: func(l *loop) bool {
			some := false
			l.all(func(c *client) { some = some || ok(l, c) })
			if found <- some; some {
				<-thaw
			}
			return true
		}})
		return <-found
	})
	f()
}

// What a client has said in time is in its socket when its time is up.
func TestLateLoopLooksForWhatItHasWaitedFor(t *testing.T) {
	const limit = 2 * time.Second
	late := func(p *peer, what []byte) func() {
		return func() {
			time.Sleep(2 * engine.Tick) // the clock rings first
			p.send(what)
			time.Sleep(limit + engine.Tick)
		}
	}
	n := start(t, func(cfg *config.Config) {
		cfg.Loops = 1
		cfg.Limits.Close, cfg.Limits.Handshake = config.Duration(limit), config.Duration(limit)
	})

	p := n.dial()
	n.frozenWith(func(l *loop, c *client) bool {
		l.dismiss(c, ws.StatusPolicyViolation, metrics.ReasonBackend, "")
		return true
	}, late(p, control(ws.OpClose, "\x03\xf0")))
	p.wantClose(ws.StatusPolicyViolation)
	p.wantEnd()
	n.ended(ws.StatusPolicyViolation, metrics.ReasonBackend)

	p = n.connect()
	n.frozenWith(func(_ *loop, c *client) bool { return c.State() == engine.Heading }, late(p, []byte(request("/"))))
	p.wantStatus(http.StatusSwitchingProtocols)
}

// What keeps a loop from its clock, as a machine that is suspended or has other
// work, keeps its peers or the way to them as well: their time to answer goes on
// when the loop does. Who is silent then is dropped.
func TestNobodyIsDroppedForTimeThatTheLoopWasAway(t *testing.T) {
	const interval, timeout = 8 * time.Second, 4 * time.Second
	w := netpolltest.New(1)
	o := options(gatewaytest.Config(beats(interval, timeout)), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	o.Config.Loops = 1
	g, err := newOn(simulated{&simulation{world: w}}, o)
	if err != nil {
		t.Fatal(err)
	}
	l := g.loops[0]
	l.post(letter{run: func(l *loop) bool {
		if err := l.begin(); err != nil {
			t.Error(err)
		}
		return true
	}})
	pass := func(d time.Duration) {
		t.Helper()
		if !w.Pass(d, 10_000) {
			t.Fatal("the world does not come to rest")
		}
	}
	pass(engine.Tick)
	p, err := w.Dial(l.Listeners()[0].(*netpolltest.Listener))
	if err != nil {
		t.Fatal(err)
	}
	hear := func() []byte {
		b, _ := p.Read(1 << 10)
		return b
	}
	p.Write([]byte(request("/")))
	pass(engine.Tick)
	if head := hear(); !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		t.Fatalf("got %q", head)
	}
	ping := []byte{fin | byte(ws.OpPing), 0}
	awaitPing := func() {
		t.Helper()
		for range interval/engine.Tick + 1 {
			if got := hear(); bytes.Equal(got, ping) {
				return
			} else if len(got) > 0 {
				t.Fatalf("got % x, want a ping", got)
			}
			pass(engine.Tick)
		}
		t.Fatal("no ping has come")
	}
	awaitPing()
	for range 3 { // one of them would do to be taken for dead
		w.Stop(10 * timeout)
		pass(2 * engine.Tick)
		if p.Gone() || l.Counts().Used != 1 {
			t.Fatal("dropped for time in which nobody listened")
		}
	}
	p.Write(control(ws.OpPong, ""))
	p.Write(text("here"))
	pass(engine.Tick)
	if got := hear(); !bytes.Contains(got, []byte("here")) {
		t.Fatalf("got % x, want an echo", got)
	}
	awaitPing()
	w.Stop(10 * timeout)
	pass(timeout + 2*engine.Tick)
	if l.Counts().Used != 0 {
		t.Error("a peer that is silent while the loop listens is not dropped")
	}
}
