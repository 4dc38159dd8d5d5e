package gateway

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
	"sluice/metrics"
)

// aReset is a client that resets its connection in some state.
type aReset struct {
	name string
	edit func(*config.Config)
	// lead brings p, which is connected, to the state.
	lead   func(n *node, p *peer, late *lateUpstream)
	reason metrics.Reason // why its session ended
	none   bool           // it had no session
}

// opened upgrades p.
func opened(then func(n *node, p *peer, late *lateUpstream)) func(*node, *peer, *lateUpstream) {
	return func(n *node, p *peer, late *lateUpstream) {
		p.say(request("/"))
		p.wantStatus(http.StatusSwitchingProtocols)
		if then != nil {
			then(n, p, late)
		}
	}
}

// begun sends p and waits until the loop has read it.
func begun(frame []byte) func(*node, *peer, *lateUpstream) {
	return opened(func(n *node, p *peer, _ *lateUpstream) {
		p.send(frame)
		n.awaits("the message has begun", func(c *client) bool { return c.Reader.Partial() })
	})
}

func resets() []aReset {
	state := func(n *node, s engine.State) {
		n.awaits("the client has come that far", func(c *client) bool { return c.State() == s })
	}
	return []aReset{
		{name: "before the head", none: true, lead: func(n *node, _ *peer, _ *lateUpstream) { state(n, engine.Heading) }},
		{name: "in the head", none: true, lead: func(n *node, p *peer, _ *lateUpstream) {
			p.say(request("/")[:50])
			n.awaits("the head has begun", func(c *client) bool { return c.Holding() })
		}},
		{name: "refused", none: true, lead: func(n *node, p *peer, _ *lateUpstream) {
			p.say("nonsense\r\n\r\n")
			p.wantStatus(http.StatusBadRequest)
		}},
		{name: "refused and not reading", none: true, lead: func(n *node, p *peer, _ *lateUpstream) {
			p.say("nonsense\r\n\r\n")
			state(n, engine.Leaving)
		}},
		{name: "at HTTP", none: true, lead: func(n *node, p *peer, _ *lateUpstream) {
			p.say("GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
			p.wantBody(http.StatusOK, "ok\n")
		}},
		{name: "after the 101", reason: metrics.ReasonReset, lead: opened(nil)},
		{name: "in a header", reason: metrics.ReasonReset, lead: begun(text("hello")[:1])},
		{name: "in a frame", reason: metrics.ReasonReset, lead: begun(text("hello")[:9])},
		{name: "in a ping", reason: metrics.ReasonReset, lead: begun(control(ws.OpPing, "hello")[:9])},
		{name: "in a message", reason: metrics.ReasonReset, lead: begun(part(byte(ws.OpText), "hello"))},
		{name: "while parked", reason: metrics.ReasonReset, lead: opened(func(n *node, p *peer, late *lateUpstream) {
			p.send(text("one"))
			n.awaits("the client is parked", func(c *client) bool { return c.waiting() && !c.Holding() })
		})},
		{name: "while parked with input", reason: metrics.ReasonReset, lead: opened(func(n *node, p *peer, late *lateUpstream) {
			p.send(append(text("one"), text("two")...))
			n.awaits("input waits", func(c *client) bool { return c.waiting() && c.Holding() })
		})},
		{name: "while bytes are queued", reason: metrics.ReasonReset,
			edit: limited(func(l *config.Limits) { l.Queue = config.GiB }),
			lead: opened(func(n *node, _ *peer, _ *lateUpstream) { n.fill(n.id(), 1) })},
		{name: "while closing", reason: metrics.ReasonBackend, lead: opened(func(n *node, p *peer, _ *lateUpstream) {
			if err := n.disconnect(n.id(), 4000, ""); err != nil {
				n.t.Fatal(err)
			}
			p.want(ws.OpClose, "\x0f\xa0")
		})},
		{name: "while closing behind a queue", reason: metrics.ReasonBackend,
			edit: limited(func(l *config.Limits) { l.Queue = config.GiB }),
			lead: opened(func(n *node, _ *peer, _ *lateUpstream) {
				n.fill(n.id(), 1)
				n.disconnect(n.id(), 4000, "")
				state(n, engine.Closing)
			})},
		{name: "after a violation", reason: metrics.ReasonProtocolError, lead: opened(func(n *node, p *peer, _ *lateUpstream) {
			p.send([]byte{0xff})
			state(n, engine.Leaving)
		})},
		{name: "while draining", reason: metrics.ReasonReset,
			edit: func(cfg *config.Config) {
				cfg.Drain = config.Drain{Window: config.Duration(time.Hour), Timeout: config.Duration(time.Hour)}
			},
			lead: opened(func(n *node, _ *peer, _ *lateUpstream) { n.drains() })},
		{name: "told to go", reason: metrics.ReasonDrain,
			edit: func(cfg *config.Config) { cfg.Drain.Timeout = config.Duration(time.Hour) },
			lead: opened(func(n *node, _ *peer, _ *lateUpstream) {
				n.drains()
				state(n, engine.Closing)
			})},
	}
}

// drains shuts the node down, and waits until its loops know.
func (n *node) drains() {
	n.t.Helper()
	done := make(chan error, 1)
	go func() { done <- n.Shutdown(context.Background()) }()
	n.t.Cleanup(func() {
		if err := <-done; err != nil {
			n.t.Errorf("Shutdown: %v", err)
		}
	})
	eventually(n.t, "the loops drain", func() bool {
		draining := true
		for _, l := range n.loops {
			l.do(func(l *loop) { draining = draining && l.drain != nil })
		}
		return draining
	})
}

// A reset ends the session at once, in whatever state, and leaves nothing
// behind; the upstream is told once, behind the answer to the event before.
func TestResetInEveryStateLeavesNothing(t *testing.T) { gatewaytest.EachLoopCount(t, testResets) }

func testResets(t *testing.T, loops int) {
	for _, c := range resets() {
		t.Run(c.name, func(t *testing.T) {
			late := newLate(upstream.Message | upstream.Disconnected)
			n := start(t, func(cfg *config.Config) {
				withUpstream(cfg)
				if c.edit != nil {
					c.edit(cfg)
				}
				cfg.Limits.Close = config.Duration(time.Hour)
				cfg.Loops = loops
			}, late)
			n.connect().Close() // whatever the runtime opens once is open now
			n.settled()
			before := openDescriptors(t)
			p := n.connect()
			c.lead(n, p, late)
			p.reset()
			if !c.none {
				n.closedFor(c.reason)
				if len(late.events) == 2 {
					t.Error("the upstream was told before it had answered")
				}
				if len(late.events) == 1 {
					ev := <-late.events
					for ev.Type == upstream.Message { // what was held is told, too
						ev.answer()
						ev = <-late.events
					}
					late.events <- ev
				}
			}
			if n.draining.Load() {
				return // the node ends, and its test waits for that
			}
			n.settled()
			eventually(t, "no descriptor is left", func() bool { return openDescriptors(t) <= before })
			if len(late.events) > 1 {
				t.Errorf("%d events too many", len(late.events)-1)
			}
		})
	}
}

// What a client has sent in front of its reset is served or not, but must not
// touch a session that has ended meanwhile: its reset is found by the write of
// an echo that is long enough to be written before the rest is looked at.
func TestResetBehindInputLeavesNothing(t *testing.T) {
	begin := part(byte(ws.OpText), strings.Repeat("x", engine.ReadSize))
	end := part(fin|byte(ws.OpContinuation), "x")
	for name, behind := range map[string][]byte{
		"nothing":        nil,
		"a close frame":  closeFrame(ws.StatusNormalClosure),
		"half a header":  {fin | byte(ws.OpText)},
		"half a message": part(byte(ws.OpText), "hello"),
		"a message":      text("hello"),
		"a violation":    {0xff, 0xff},
		"pings":          bytes.Repeat(control(ws.OpPing, ""), 300),
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, nil)
			other := n.dial()
			p := n.dial()
			p.send(begin)
			n.awaits("most of the message is there", func(c *client) bool { return c.Reader.Partial() && c.Reader.Announced() == 0 })
			n.frozen(func() {
				p.send(append(slices.Clone(end), behind...))
				p.reset()
			})
			n.ended(ws.StatusAbnormalClosure, metrics.ReasonReset)
			other.send(text("still here"))
			other.want(ws.OpText, "still here")
			other.Close()
			n.settled()
			// Whoever gets the slot next has nothing of it.
			for range 4 {
				q := n.dial()
				q.send(text("hello"), closeFrame(4000))
				q.want(ws.OpText, "hello")
				q.wantClose(4000)
			}
			n.settled()
		})
	}
}

// A client that is gone when it is accepted leaves nothing.
func TestResetBeforeAcceptLeavesNothing(t *testing.T) {
	n := start(t, nil)
	for _, said := range []string{"", "GET", request("/"), request("/") + string(text("hello")), "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"} {
		n.frozen(func() {
			p := n.connect()
			p.say(said)
			p.reset()
		})
		n.settled()
	}
}
