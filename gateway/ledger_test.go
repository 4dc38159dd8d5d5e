package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/metrics"
)

// stuff makes the kernel keep little for the clients that are there, so that
// those who do not read are queued for soon.
func (n *node) stuff(peers ...*peer) { n.buffers(4096, peers...) }

// buffers sets how much the kernel keeps for the clients, on both sides.
func (n *node) buffers(bytes int, peers ...*peer) {
	n.t.Helper()
	for _, p := range peers {
		if err := p.tcp().SetReadBuffer(bytes); err != nil {
			n.t.Error(err)
		}
	}
	n.each(func(c *client) {
		if err := unix.SetsockoptInt(c.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, bytes); err != nil {
			n.t.Error(err)
		}
	})
}

// queued is how many messages wait for clients that do not read.
func (n *node) queued() (messages int) {
	n.each(func(c *client) {
		messages += c.QueuedMessages()
	})
	return messages
}

// ledger compares what was sent with what was received and what was dropped.
func (n *node) ledger(received int) {
	n.t.Helper()
	n.publish()
	sent, dropped := n.metric("sluice_messages_sent_total"), n.metric("sluice_messages_dropped_total")
	if sent != float64(received)+dropped {
		n.t.Errorf("%v messages sent, %d received and %v dropped", sent, received, dropped)
	}
	if dropped == 0 {
		n.t.Error("nothing was dropped: nothing was tested")
	}
}

// Of what a client is sent that stops reading, each message has either arrived
// or is counted as dropped.
func TestWhatASlowClientMissesIsCounted(t *testing.T) {
	for name, c := range map[string]struct {
		limit func(*config.Limits)
		ttl   time.Duration
		drop  metrics.Drop
	}{
		"bytes": {func(l *config.Limits) { l.Queue = 64 * config.KiB }, 0, metrics.DropSlowConsumer},
		"age":   {func(l *config.Limits) { l.QueueAge = milliseconds(400) }, 0, metrics.DropSlowConsumer},
		"ttl":   {func(*config.Limits) {}, 300 * time.Millisecond, metrics.DropExpired},
	} {
		for _, loops := range []int{1, 4} {
			for _, size := range []int{20, 2000} {
				t.Run(fmt.Sprintf("%s/%d loops/%d bytes", name, loops, size), func(t *testing.T) {
					t.Parallel() // it mostly waits
					testSlowLedger(t, loops, size, c.limit, c.ttl, c.drop)
				})
			}
		}
	}
}

func testSlowLedger(t *testing.T, loops, size int, limit func(*config.Limits), ttl time.Duration, drop metrics.Drop) {
	n := start(t, func(cfg *config.Config) {
		cfg.Loops = loops
		cfg.Limits.Queue = config.MiB
		cfg.Limits.Close = config.Duration(patience)
		limit(&cfg.Limits)
	})
	const slow = 3
	var peers []*peer
	for range slow {
		peers = append(peers, n.dial())
	}
	n.stuff(peers...)
	closing := drop == metrics.DropSlowConsumer
	eventually(t, "enough waits", func() bool {
		for range 20 {
			if err := n.do(delivery.Target{}, delivery.Send{Op: ws.OpBinary, Data: make([]byte, size), TTL: ttl}); err != nil {
				t.Fatal(err)
			}
		}
		n.publish()
		if closing {
			return n.metric("sluice_slow_consumers_total") == slow
		}
		full := 0
		n.each(func(c *client) {
			if c.Queued() > 64<<10 {
				full++
			}
		})
		return full == slow
	})
	if !closing { // what waits now has expired when they read again
		time.Sleep(ttl + 2*engine.Tick)
		if err := n.broadcast(ws.OpText, []byte("last")); err != nil {
			t.Fatal(err)
		}
	}
	n.buffers(1<<20, peers...)
	received := 0
	for _, p := range peers {
		p.SetDeadline(time.Now().Add(4 * patience)) // filling them up may have taken long
		for {
			f, err := p.frame()
			if err != nil {
				t.Fatalf("after %d messages: %v", received, err)
			}
			if f.Header.OpCode == ws.OpClose {
				break
			}
			received++
			if f.Header.OpCode == ws.OpText {
				break
			}
		}
	}
	n.ledger(received)
	if n.metric("sluice_messages_dropped_total", "reason="+drop.String()) == 0 {
		t.Errorf("nothing is counted as %v", drop)
	}
	for _, p := range peers {
		p.Close()
	}
	n.settled()
}

// What is queued for a client that vanishes is dropped with it.
func TestWhatIsQueuedForWhoVanishesIsCounted(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(n *node, p *peer)
		drop metrics.Drop
	}{
		"reset": {func(_ *node, p *peer) {
			p.tcp().SetLinger(0)
			p.Close()
		}, metrics.DropGone},
		"closed and not read": {func(n *node, p *peer) { n.disconnect(n.id(), 1000, "") }, metrics.DropGone},
		"out of memory":       {func(n *node, p *peer) { n.budget.SetLimit(1) }, metrics.DropMemory},
		"shutdown":            {func(n *node, p *peer) { n.Close() }, metrics.DropShutdown},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, func(cfg *config.Config) {
				cfg.Loops = 4
				cfg.Limits.Close = milliseconds(200)
				cfg.Limits.Queue = config.GiB
			})
			p := n.dial()
			n.stuff(p)
			n.fill(n.id(), 400<<10)
			lost := -1
			eventually(t, "the kernel takes no more", func() bool {
				before := lost
				lost = n.queued()
				time.Sleep(50 * time.Millisecond)
				return lost == before
			})
			c.end(n, p)
			eventually(t, "it is gone", func() bool { return n.sessions.Load() == 0 })
			for _, l := range n.loops {
				l.do(func(l *loop) { l.metrics.Publish() })
			}
			if got := n.metric("sluice_messages_dropped_total", "reason="+c.drop.String()); lost < 5 || got != float64(lost) {
				t.Errorf("%v messages counted as %v, want %d", got, c.drop, lost)
			}
			if got := n.metric("sluice_messages_dropped_total"); got != float64(lost) {
				t.Errorf("%v messages counted as dropped, want %d", got, lost)
			}
		})
	}
}

// A Close frame that never left is nobody's close code.
func TestCloseCodeIsCountedOnlyIfItLeft(t *testing.T) {
	for name, c := range map[string]struct {
		edit   func(*config.Limits)
		end    func(n *node, id string)
		reason metrics.Reason
	}{
		"too slow": {func(l *config.Limits) { l.Queue = 64 * config.KiB },
			func(n *node, id string) { n.push(id, ws.OpText, []byte("one more")) }, metrics.ReasonSlowConsumerBytes},
		"too old": {func(l *config.Limits) { l.QueueAge = milliseconds(300) },
			func(*node, string) {}, metrics.ReasonSlowConsumerAge},
		"no buffers": {func(*config.Limits) {},
			func(n *node, _ string) { n.budget.SetLimit(1) }, metrics.ReasonMemory},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, limited(func(l *config.Limits) {
				l.Close = milliseconds(200)
				c.edit(l)
			}))
			p := n.dial()
			n.stuff(p)
			id := n.id()
			// The Close frame would have to follow it.
			if err := n.push(id, ws.OpBinary, make([]byte, 8<<20)); err != nil {
				t.Fatal(err)
			}
			n.awaits("it waits", func(c *client) bool { return c.Writing() })
			c.end(n, id)
			n.ended(ws.StatusAbnormalClosure, c.reason)
			p.Close()
			n.settled()
		})
	}
}
