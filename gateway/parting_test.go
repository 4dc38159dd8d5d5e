package gateway

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
	"sluice/metrics"
)

// parting counts the closes that wait for an answer.
func (n *node) parting() (count int) {
	for _, l := range n.loops {
		l.do(func(l *loop) { count += len(l.partings) })
	}
	return count
}

// wantParting reads a Close frame and answers it.
func (p *peer) wantParting(code ws.StatusCode, text string) {
	p.t.Helper()
	p.want(ws.OpClose, body(code, text))
	p.send(closeFrame(code))
	p.wantEnd()
}

// aside adds a hub at /aside, which echoes.
func aside(cfg *config.Config) {
	cfg.Hubs["aside"] = config.Hub{Paths: []string{"/aside"}, Upstream: config.Upstream{URL: "echo:"}, Anonymous: true}
}

// A drain keeps no answer from anybody that comes in time, and sends those away
// first who wait for none.
func TestADrainWaitsForAnswersThatComeInTime(t *testing.T) {
	const busy, idle = 50, 10
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		t.Parallel() // it mostly waits
		late := newLate(upstream.Message)
		n := start(t, func(cfg *config.Config) {
			withUpstream(cfg)
			drains(0, 0, 3*patience)(cfg)
			cfg.Loops = loops
		}, late)
		var waiting, others []*peer
		var events []lateEvent
		for i := range busy {
			p := n.dial()
			p.send(text(fmt.Sprint("question ", i)))
			events = append(events, late.next(t, upstream.Message))
			waiting = append(waiting, p)
		}
		for range idle {
			others = append(others, n.dial())
		}
		shutdown := make(chan error, 1)
		go func() { shutdown <- n.Shutdown(context.Background()) }()
		for _, p := range others {
			p.wantParting(ws.StatusGoingAway, "going away")
		}
		eventually(t, "those who wait are to go", func() bool { return n.parting() == busy })
		n.publish()
		if got := n.metric("sluice_drain_remaining_connections"); got != busy {
			t.Errorf("%v connections remain to be ended, want %d", got, busy)
		}
		if err := n.broadcast(ws.OpText, []byte("news")); err != nil {
			t.Fatal(err)
		}
		for _, ev := range events {
			ev.answer()
		}
		for i, p := range waiting {
			p.want(ws.OpText, "news")
			p.want(ws.OpText, fmt.Sprint("question ", i))
			p.wantParting(ws.StatusGoingAway, "going away")
		}
		if err := <-shutdown; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if got := n.metric("sluice_connections_closed_total", "reason=drain", "code=1001"); got != busy+idle {
			t.Errorf("%v closed for drain, want %d", got, busy+idle)
		}
		if got := n.metric("sluice_drain_remaining_connections"); got != 0 {
			t.Errorf("%v connections remain to be ended", got)
		}
	})
}

// A backend that answers nobody keeps nobody from being told.
func TestADrainWaitsForNoAnswerForEver(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		t.Parallel() // it mostly waits
		late := newLate(upstream.Message)
		n := start(t, func(cfg *config.Config) {
			withUpstream(cfg)
			drains(0, 0, 4*time.Second)(cfg)
			cfg.Limits.Close = milliseconds(1500)
			cfg.Loops = loops
		}, late)
		var peers []*peer
		for range 10 {
			p := n.dial()
			p.send(text("question"))
			late.next(t, upstream.Message)
			peers = append(peers, p)
		}
		shutdown := make(chan error, 1)
		go func() { shutdown <- n.Shutdown(context.Background()) }()
		eventually(t, "they are to go", func() bool { return n.parting() == len(peers) })
		for _, p := range peers {
			p.wantParting(ws.StatusGoingAway, "going away")
		}
		n.publish()
		if got := n.metric("sluice_drain_remaining_connections"); got != 0 {
			t.Errorf("%v connections remain to be ended", got)
		}
		if err := <-shutdown; err != nil {
			t.Errorf("Shutdown: %v, though every close was answered", err)
		}
	})
}

// serverClose is a way for the gateway to close a session of the default hub.
type serverClose struct {
	do     func(n *node, ref string)
	code   ws.StatusCode
	text   string
	reason metrics.Reason
}

var serverCloses = map[string]serverClose{
	"by the data plane": {func(n *node, id string) {
		if err := n.do(delivery.Target{Kind: delivery.Connection, Name: id}, delivery.Close{Reason: "enough"}); err != nil {
			n.t.Fatal(err)
		}
	}, 1000, "enough", metrics.ReasonBackend},
	"of a hub that is gone": {func(n *node, _ string) {
		if err := n.Reload(reloaded(func(cfg *config.Config) {
			delete(cfg.Hubs, "default")
			aside(cfg)
			cfg.Limits.Close = config.Duration(n.settings.Load().newcomers.CloseTime) * config.Duration(engine.Tick)
		})); err != nil {
			n.t.Fatal(err)
		}
	}, 1001, "hub removed", metrics.ReasonHubRemoved},
	"when the token expires": {func(n *node, id string) {
		n.each(func(c *client) {
			if c.hub.name == "default" {
				n.loops[c.Ref().Loop].expireWith(c, time.Now())
			}
		})
	}, 1008, "token expired", metrics.ReasonTokenExpired},
}

// closing starts a node whose default hub has one client, with a message at
// the upstream, and a hub beside it.
func (c serverClose) start(t *testing.T, loops int, closeTime time.Duration) (n *node, p *peer, id string, ev lateEvent, late *lateUpstream) {
	late = newLate(upstream.Message | upstream.Disconnected)
	n = start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		aside(cfg)
		cfg.Loops = loops
		cfg.Limits.Close = config.Duration(closeTime)
	}, late)
	p = n.dial()
	id = n.id()
	p.send(text("question"))
	return n, p, id, late.next(t, upstream.Message), late
}

// Whoever has a message at the upstream hears the answer, whyever the gateway
// closes, and then the reason.
func TestEveryCloseOfOursWaitsForTheAnswer(t *testing.T) {
	for name, c := range serverCloses {
		t.Run(name, func(t *testing.T) {
			gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
				t.Parallel() // it mostly waits
				n, p, id, ev, late := c.start(t, loops, time.Hour)
				c.do(n, id)
				eventually(t, "the close waits", func() bool { return n.parting() == 1 })
				c.do(n, id) // again changes nothing
				p.send(control(ws.OpPing, "still here"))
				p.want(ws.OpPong, "still here")
				n.push(id, ws.OpText, []byte("for a client that is as good as gone"))
				ev.answer()
				p.want(ws.OpText, "question")
				p.wantParting(c.code, c.text)
				if told := late.next(t, upstream.Disconnected); told.Code != c.code || told.Reason != c.reason.String() {
					t.Errorf("the upstream was told %d, %s", told.Code, told.Reason)
				}
				n.ended(c.code, c.reason)
				n.settled()
			})
		})
	}
}

// A backend that does not answer cannot keep a session open that is to end, nor
// disturb others meanwhile.
func TestNoCloseOfOursWaitsForEver(t *testing.T) {
	for name, c := range serverCloses {
		t.Run(name, func(t *testing.T) {
			gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
				t.Parallel() // it mostly waits
				n, p, id, ev, late := c.start(t, loops, time.Second)
				c.do(n, id)
				eventually(t, "the close waits", func() bool { return n.parting() == 1 })
				q := n.dialAs("/aside")
				q.send(text("beside it"))
				q.want(ws.OpText, "beside it")
				p.wantParting(c.code, c.text)
				n.awaits("the slot waits for the answer", func(c *client) bool { return c.State() == engine.Gone })
				ev.answer()
				late.next(t, upstream.Disconnected)
				n.ended(c.code, c.reason)
				q.send(closeFrame(1000))
				q.wantClose(1000)
				n.settled()
			})
		})
	}
}

// However a session ends whose close waits, nothing is left of the close.
func TestAClientMayGoWhileOurCloseWaits(t *testing.T) {
	for name, c := range map[string]struct {
		leave  func(p *peer, ev lateEvent)
		code   ws.StatusCode
		reason metrics.Reason
	}{
		"with a Close frame": {func(p *peer, ev lateEvent) {
			p.send(closeFrame(4000))
			p.wantClose(4000)
			ev.answer()
		}, 4000, metrics.ReasonClientClose},
		"by a reset": {func(p *peer, ev lateEvent) {
			p.reset()
			n := ev.sink.(*loop).g
			eventually(p.t, "it is found", func() bool { return n.sessions.Load() == 0 })
			ev.answer()
		}, 1006, metrics.ReasonReset},
		"by a violation": {func(p *peer, ev lateEvent) {
			p.send([]byte{0xff})
			p.wantClose(1002)
			p.Close()
			ev.answer()
		}, 1002, metrics.ReasonProtocolError},
		"by what the upstream answers": {func(p *peer, ev lateEvent) {
			ev.sink.Reply(ev.From, upstream.Reply{Close: delivery.Close{Code: 4001}})
			p.wantParting(4001, "")
		}, 4001, metrics.ReasonBackend},
	} {
		t.Run(name, func(t *testing.T) {
			by := serverCloses["by the data plane"]
			n, p, id, ev, late := by.start(t, 1, time.Hour)
			by.do(n, id)
			eventually(t, "the close waits", func() bool { return n.parting() == 1 })
			c.leave(p, ev)
			late.next(t, upstream.Disconnected)
			n.ended(c.code, c.reason)
			n.settled()
			if n.parting() != 0 {
				t.Error("the close waits still")
			}
		})
	}
}
