package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
	"sluice/metrics"
)

const pushKey = "0123456789abcdef"

// neighbours are hubs beside the default one: "quick" is asked about its
// clients, "plain" is not.
func neighbours(cfg *config.Config) {
	cfg.APIKeys = []string{pushKey}
	cfg.Hubs["quick"] = config.Hub{Paths: []string{"/quick"}, Upstream: config.Upstream{URL: "test:"}}
	cfg.Hubs["plain"] = config.Hub{Paths: []string{"/plain"}, Upstream: config.Upstream{URL: "echo:"}, Anonymous: true}
}

// patchy is an upstream that never answers for the default hub, and lets
// everybody in for others.
type patchy struct{ asked chan upstream.Event }

func (patchy) Close(context.Context) int { return 0 }

func (patchy) Traits() upstream.Traits { return upstream.Traits{Events: upstream.Connect} }

func (u patchy) Send(ev *upstream.Event, _ upstream.Sink) (upstream.Reply, bool) {
	if ev.Hub == "default" {
		u.asked <- *ev
		return upstream.Reply{}, false
	}
	return upstream.Reply{Verdict: &upstream.Verdict{User: "ann"}}, true
}

// wantAllElseServed wants that clients of other hubs come in, that a push
// reaches them, and that the node says that it is well.
func (n *node) wantAllElseServed() {
	n.t.Helper()
	for _, path := range []string{"/quick", "/plain"} {
		p := n.dialAs(path)
		h := n.connect()
		h.say("GET /api/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		h.wantBody(http.StatusOK, "ok\n")
		push := n.connect()
		push.say("POST /api/hubs" + path + "/:send HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + pushKey +
			"\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nnews!")
		push.wantStatus(http.StatusAccepted)
		p.want(ws.OpText, "news!")
		p.Close()
		h.Close()
		push.Close()
	}
}

// waits counts the clients in a state.
func (n *node) waits(in engine.State) (count int) {
	n.each(func(c *client) {
		if c.State() == in && !c.Upgraded() {
			count++
		}
	})
	return count
}

// However many sockets say nothing, whoever says something is served, and of
// the silent the oldest make room.
func TestSilentSocketsKeepNobodyOut(t *testing.T) {
	for _, c := range []struct{ most, come int }{{8, 100}, {4096, 4200}} {
		gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
			n := start(t, func(cfg *config.Config) {
				neighbours(cfg)
				cfg.Loops = loops
				cfg.Limits.PendingHandshakes = c.most
				cfg.Limits.Handshake = config.Duration(patience)
			}, patchy{})
			silent := make([]*peer, c.come)
			for i := range silent {
				silent[i] = n.connect()
				if i%2 == 0 {
					silent[i].say("GET ") // as good as nothing
				}
			}
			eventually(t, "all are accepted", func() bool {
				n.publish()
				return n.metric("sluice_connections_accepted_total") >= float64(c.come)
			})
			if got := n.waits(engine.Heading); got > c.most {
				t.Errorf("%d silent sockets are kept, of at most %d", got, c.most)
			}
			n.wantAllElseServed()
			if gone := n.metric("sluice_limit_reached_total", "limit="+metrics.LimitSilent.String()); gone < float64(c.come-c.most) {
				t.Errorf("%v times the bound was reached", gone)
			}
			if loops == 1 { // so that there is one order
				silent[0].wantBusy()
				last := silent[c.come-1]
				if (c.come-1)%2 == 0 {
					last.say(strings.TrimPrefix(request("/plain"), "GET "))
				} else {
					last.say(request("/plain"))
				}
				last.wantStatus(http.StatusSwitchingProtocols)
			}
			for _, p := range silent {
				p.Close()
			}
			n.settled()
		})
	}
}

// A hub whose upstream does not answer holds up its own clients only, and a hub
// alone may have nearly all that may wait.
func TestSlowConnectUpstreamKeepsNobodyElseOut(t *testing.T) {
	for _, c := range []struct{ pending, connections, most, come int }{
		{40, 0, 40, 60},
		{4096, 40, 40, 60}, // it is their places that are few
		{4096, 0, 4096, 4100},
	} {
		gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
			slow := patchy{make(chan upstream.Event, c.come)}
			n := start(t, func(cfg *config.Config) {
				withUpstream(cfg)
				neighbours(cfg)
				cfg.Loops = loops
				cfg.Limits.PendingHandshakes = c.pending
				cfg.Limits.Connections = c.connections
			}, slow)
			peers := make([]*peer, c.come)
			for i := range peers {
				peers[i] = n.connect()
				peers[i].say(request("/"))
			}
			eventually(t, "each waits or is refused", func() bool {
				n.publish()
				return n.waits(engine.Asking)+int(n.metric("sluice_handshakes_total", "result=overloaded")) == c.come
			})
			waiting := n.waits(engine.Asking)
			if waiting != len(slow.asked) || waiting < c.most*7/8 || waiting > c.most*7/8+1+loops {
				t.Errorf("%d of %d wait, %d were asked about", waiting, c.most, len(slow.asked))
			}
			n.wantAllElseServed()
			if got := n.metric("sluice_limit_reached_total", "limit="+metrics.LimitHubHandshakes.String()); got != float64(c.come-waiting) {
				t.Errorf("%v times the hub's share was reached, %d were refused", got, c.come-waiting)
			}
			busy := n.connect()
			busy.say(request("/"))
			busy.wantBusy()
		})
	}
}

// Many slow hubs together leave room for one that comes later.
func TestManySlowHubsLeaveRoomForAnother(t *testing.T) {
	const hubs, most = 5, 360
	slow := newLate(upstream.Connect)
	n := start(t, func(cfg *config.Config) {
		neighbours(cfg)
		for i := range hubs {
			cfg.Hubs[fmt.Sprint("slow", i)] = config.Hub{Upstream: config.Upstream{URL: "test:"}}
		}
		cfg.Limits.PendingHandshakes = most
	}, slow)
	for range most {
		for i := range hubs {
			p := n.connect()
			p.say(request(fmt.Sprint("/client/hubs/slow", i)))
			defer p.Close()
		}
	}
	eventually(t, "each waits or is refused", func() bool {
		n.publish()
		return n.waits(engine.Asking)+int(n.metric("sluice_handshakes_total", "result=overloaded")) == hubs*most
	})
	before := len(slow.events)
	p := n.connect()
	p.say(request("/quick"))
	eventually(t, "it is asked about", func() bool { return len(slow.events) > before })
	for range before {
		<-slow.events
	}
	slow.next(t, upstream.Connect).accept(upstream.Verdict{User: "ann"})
	p.wantStatus(http.StatusSwitchingProtocols)
}

// Clients that are refused and stay keep nobody out; each has its answer.
func TestRefusedClientsThatStayKeepNobodyOut(t *testing.T) {
	const most, come = 8, 100
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		n := start(t, func(cfg *config.Config) {
			neighbours(cfg)
			cfg.Loops = loops
			cfg.Limits.PendingHandshakes = most
			cfg.Limits.Close = config.Duration(patience)
		}, patchy{})
		stay := make([]*peer, come)
		for i := range stay {
			stay[i] = n.connect()
			stay[i].say(request("/nowhere"))
			stay[i].wantStatus(http.StatusNotFound)
			if _, err := io.Copy(io.Discard, stay[i].r); err != nil {
				t.Fatalf("the answer to client %d ended with %v", i, err)
			}
		}
		if got := n.waits(engine.Leaving); got > most {
			t.Errorf("%d refused clients are kept, of at most %d", got, most)
		}
		n.wantAllElseServed()
		if got := n.metric("sluice_limit_reached_total", "limit="+metrics.LimitDeparting.String()); got < come-most {
			t.Errorf("%v times the bound was reached", got)
		}
		for _, p := range stay {
			p.Close()
		}
		n.settled()
	})
}

// After a reload has lowered the bound, those over it do not go all at once, in
// which time nobody would be served.
func TestLowerBoundOfSilentSocketsIsReachedByAndBy(t *testing.T) {
	bound := func(most int) func(*config.Config) {
		return func(cfg *config.Config) {
			cfg.Loops = 1
			cfg.Limits.PendingHandshakes = most
			cfg.Limits.Handshake = config.Duration(patience)
		}
	}
	n := start(t, bound(100))
	silent := func(want int) {
		t.Helper()
		n.connect()
		eventually(t, fmt.Sprint(want, " are silent"), func() bool { return n.waits(engine.Heading) == want })
	}
	for i := range 100 {
		silent(i + 1)
	}
	if err := n.Reload(reloaded(bound(10))); err != nil {
		t.Fatal(err)
	}
	for left := 99; left >= 10; left-- { // one comes, two go
		silent(left)
	}
	silent(10)
}
