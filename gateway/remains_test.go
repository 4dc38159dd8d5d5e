package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
	"sluice/metrics"
)

// speech is ten messages of a size.
func speech(size int) []byte {
	var all []byte
	for i := range 10 {
		all = append(all, text(utterance(i, size))...)
	}
	return all
}

func utterance(i, size int) string { return fmt.Sprint(i, strings.Repeat("x", size)) }

// wantSpeech answers the ten messages, of which the first is ev.
func (u *lateUpstream) wantSpeech(t *testing.T, ev lateEvent, size int) {
	t.Helper()
	for i := range 10 {
		if i > 0 {
			ev = u.next(t, upstream.Message)
		}
		if ev.data != utterance(i, size) {
			t.Fatalf("message %d came as %q", i, ev.data)
		}
		ev.answer()
	}
}

// What a client said before its end reaches the upstream, in order and before
// the upstream is told of the end; and the end is the one that it was.
func TestWhatWasSaidBeforeTheEndReachesTheUpstream(t *testing.T) {
	bye := closeFrame(ws.StatusNormalClosure)
	for name, c := range map[string]struct {
		edit   func(*config.Config)
		end    func(n *node, p *peer, size int)
		code   ws.StatusCode
		reason metrics.Reason
	}{
		"closes and leaves": {nil, func(_ *node, p *peer, size int) {
			p.send(speech(size), bye)
			p.Close()
		}, 1000, metrics.ReasonClientClose},
		"closes and resets": {nil, func(n *node, p *peer, size int) {
			p.send(append(speech(size), bye...))
			p.reset()
		}, 1000, metrics.ReasonClientClose},
		"closes behind a ping and resets": {nil, func(n *node, p *peer, size int) {
			p.send(speech(size), control(ws.OpPing, "x"), closeFrame(4000))
			p.reset()
		}, 4000, metrics.ReasonClientClose},
		"resets": {nil, func(n *node, p *peer, size int) {
			p.send(speech(size))
			p.reset()
		}, 1006, metrics.ReasonReset},
		"resets in the next message": {nil, func(n *node, p *peer, size int) {
			p.send(speech(size), part(byte(ws.OpText), "begun"))
			p.reset()
		}, 1006, metrics.ReasonReset},
		"all at once, before it is looked at": {nil, func(n *node, p *peer, size int) {
			n.frozen(func() {
				p.send(speech(size), bye)
				p.reset()
			})
		}, 1000, metrics.ReasonClientClose},
		"is too slow": {limited(func(l *config.Limits) { l.Queue, l.Close = 64*config.KiB, milliseconds(300) }), func(n *node, p *peer, size int) {
			n.stuff(p)
			p.send(speech(size))
			n.awaits("input waits", func(c *client) bool { return c.Holding() })
			eventually(n.t, "it is found slow", func() bool {
				n.broadcast(ws.OpBinary, make([]byte, 60_000))
				n.publish()
				return n.metric("sluice_slow_consumers_total") == 1
			})
			n.buffers(1<<20, p) // so that the Close frame leaves
			for {
				if f, err := p.frame(); err != nil || f.Header.OpCode == ws.OpClose {
					break
				}
			}
		}, 1013, metrics.ReasonSlowConsumerBytes},
	} {
		for _, size := range []int{10, 3000} { // held, and in the socket still
			if size > 10 && name == "is too slow" {
				continue // what was not read before the end is thrown away
			}
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
					t.Parallel() // it mostly waits
					late := newLate(upstream.Message | upstream.Disconnected)
					n := start(t, func(cfg *config.Config) {
						withUpstream(cfg)
						cfg.Loops = loops
						if c.edit != nil {
							c.edit(cfg)
						}
					}, late)
					p := n.dial()
					c.end(n, p, size)
					late.wantSpeech(t, late.next(t, upstream.Message), size)
					told := late.next(t, upstream.Disconnected)
					if told.Code != c.code || told.Reason != c.reason.String() {
						t.Errorf("the upstream was told %d, %s", told.Code, told.Reason)
					}
					n.ended(c.code, c.reason)
					n.settled()
					if len(late.events) != 0 {
						t.Error("events behind the last")
					}
					if got := n.metric("sluice_messages_received_total"); got != 10 {
						t.Errorf("%v messages received", got)
					}
					if got := n.metric("sluice_messages_discarded_total"); got != 0 {
						t.Errorf("%v messages discarded", got)
					}
				})
			})
		}
	}
}

// A client that says no more, but listens, is answered as long as it does.
func TestAClientThatLeavesWhileItIsAnsweredIsHeardToTheEnd(t *testing.T) {
	late := newLate(upstream.Message | upstream.Disconnected)
	n := start(t, withUpstream, late)
	p := n.dial()
	p.send(speech(10))
	p.closeWrite()
	ev := late.next(t, upstream.Message)
	ev.answer()
	p.want(ws.OpText, utterance(0, 10))
	p.reset()
	ev = late.next(t, upstream.Message)
	eventually(t, "the reset is found", func() bool { return n.sessions.Load() == 0 })
	for i := 1; i < 10; i++ {
		if ev.data != utterance(i, 10) {
			t.Fatalf("message %d came as %q", i, ev.data)
		}
		ev.answer()
		if i < 9 {
			ev = late.next(t, upstream.Message)
		}
	}
	late.next(t, upstream.Disconnected)
	n.settled()
	if sent, dropped := n.metric("sluice_messages_sent_total"), n.metric("sluice_messages_dropped_total"); sent != 10 || dropped != 9 {
		t.Errorf("%v answers and %v of them dropped, want 10 and 9", sent, dropped)
	}
}

// When the gateway closes, the client hears the answer to its message, and the
// upstream hears the rest of what the client had said.
func TestWhatWasSaidBeforeOurCloseReachesTheUpstream(t *testing.T) {
	for name, c := range serverCloses {
		for what, closeTime := range map[string]time.Duration{"after the answer": time.Hour, "without it": 500 * time.Millisecond} {
			t.Run(name+", "+what, func(t *testing.T) {
				gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
					t.Parallel() // it mostly waits
					n, p, id, ev, late := c.start(t, loops, closeTime)
					p.send(speech(10)[len(text(utterance(0, 10))):]) // the first is a question
					n.awaits("input waits", func(c *client) bool {
						return c.Holding() && bytes.Contains(c.HeldInput(), text(utterance(9, 10)))
					})
					c.do(n, id)
					if closeTime == time.Hour {
						eventually(t, "the close waits", func() bool { return n.parting() == 1 })
						ev.answer()
						p.want(ws.OpText, "question")
					}
					p.want(ws.OpClose, body(c.code, c.text))
					p.send(part(byte(ws.OpText), "too"), control(ws.OpPing, "x"), part(fin|byte(ws.OpContinuation), " late"), text("this, too"), closeFrame(c.code))
					p.wantEnd()
					if closeTime != time.Hour {
						ev.answer()
					}
					for i := 1; i < 10; i++ {
						ev := late.next(t, upstream.Message)
						if ev.data != utterance(i, 10) {
							t.Fatalf("message %d came as %q", i, ev.data)
						}
						ev.answer()
					}
					if told := late.next(t, upstream.Disconnected); told.Code != c.code || told.Reason != c.reason.String() {
						t.Errorf("the upstream was told %d, %s", told.Code, told.Reason)
					}
					n.ended(c.code, c.reason)
					n.settled()
					if got := n.metric("sluice_messages_discarded_total", "reason=closing"); got != 2 {
						t.Errorf("%v messages counted as too late, want 2", got)
					}
				})
			})
		}
	}
}

// Where there is no memory for what was said before a close of ours, it is lost,
// and counted, but the peer's Close frame is still found.
func TestACloseOfOursFindsItsAnswerWhileBuffersAreUsedUp(t *testing.T) {
	const cut = 9 // bytes of the last message that are read before
	for name, before := range map[string]bool{"read before": true, "read after half a frame": false} {
		t.Run(name, func(t *testing.T) {
			gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
				t.Parallel() // it mostly waits
				by := serverCloses["by the data plane"]
				n, p, id, ev, late := by.start(t, loops, time.Hour)
				said := text("first")
				rest := append(text("the last, and longer"), closeFrame(by.code)...)
				first := cut
				if before {
					first = len(rest)
				}
				said = append(said, rest[:first]...)
				p.send(said)
				n.awaits("input waits", func(c *client) bool { return c.Holding() && len(c.HeldInput()) == len(said) })
				by.do(n, id)
				eventually(t, "the close waits", func() bool { return n.parting() == 1 })
				taken := int(n.budget.Limit()/100*92 - n.budget.Used())
				if !n.budget.Take(taken) {
					t.Fatal("the budget is used up")
				}
				defer n.budget.Give(taken)
				ev.answer()
				p.want(ws.OpText, "question")
				p.want(ws.OpClose, body(by.code, by.text))
				if !before {
					p.send(rest[first:])
				}
				p.wantEnd()
				if told := late.next(t, upstream.Disconnected); told.Code != by.code || told.Reason != by.reason.String() {
					t.Errorf("the upstream was told %d, %s", told.Code, told.Reason)
				}
				n.ended(by.code, by.reason)
				if got := n.metric("sluice_protocol_errors_total"); got != 0 {
					t.Errorf("%v errors of a peer that made none", got)
				}
				if got := n.metric("sluice_messages_discarded_total"); got != 2 {
					t.Errorf("%v messages counted as lost, want 2", got)
				}
			})
		})
	}
}

// What is left of a client has bounds, is counted where they are reached, and
// the upstream is told of the end all the same.
func TestWhatIsLeftOfAClientIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		reach func(n *node, ev lateEvent)
		why   metrics.Discard
	}{
		"in time": {func(n *node, ev lateEvent) {
			over := n.loops[0].Uptime() + 2*remainsPatience*time.Second
			eventually(n.t, "its time is over", func() bool { return n.loops[0].Uptime() > over })
			ev.answer()
		}, metrics.DiscardTimeout},
		"when buffers run out": {func(n *node, ev lateEvent) {
			rest := int(n.budget.Limit()-n.budget.Used()) - 1<<10
			if !n.budget.Take(rest) {
				n.t.Fatal("the budget is used up")
			}
			eventually(n.t, "it is given up", func() bool {
				n.publish()
				return n.metric("sluice_messages_discarded_total") == 9
			})
			n.budget.Give(rest)
			n.dialAside(n.t)
			ev.answer()
		}, metrics.DiscardMemory},
		"by the upstream": {func(_ *node, ev lateEvent) {
			ev.sink.Reply(ev.From, upstream.Reply{Close: delivery.Close{Code: 1011}})
		}, metrics.DiscardUpstream},
	} {
		t.Run(name, func(t *testing.T) {
			gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
				t.Parallel() // it mostly waits
				late := newLate(upstream.Message | upstream.Disconnected)
				n := start(t, func(cfg *config.Config) {
					withUpstream(cfg)
					aside(cfg)
					cfg.Loops = loops
					cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) { h.Upstream.Budget = config.Duration(time.Second) })
				}, late)
				p := n.dial()
				p.send(speech(10))
				p.reset()
				ev := late.next(t, upstream.Message)
				eventually(t, "it is gone", func() bool { return n.sessions.Load() == 0 })
				n.dialAside(t)
				c.reach(n, ev)
				late.next(t, upstream.Disconnected)
				n.settled()
				if got := n.metric("sluice_messages_discarded_total", "reason="+c.why.String()); got != 9 {
					t.Errorf("%v messages counted as %v, want 9", got, c.why)
				}
				if got := n.metric("sluice_messages_received_total", "hub=default"); got != 1 {
					t.Errorf("%v messages received", got)
				}
			})
		})
	}
}

// dialAside wants that others are served.
func (n *node) dialAside(t testing.TB) {
	q := n.dialAs("/aside")
	q.send(text("beside it"))
	q.want(ws.OpText, "beside it")
	q.send(closeFrame(1000))
	q.wantClose(1000)
}

// Of a long speech as much is kept as there is room for, and the rest counted.
func TestNotMoreIsLeftOfAClientThanThereIsRoomFor(t *testing.T) {
	late := newLate(upstream.Message | upstream.Disconnected)
	n := start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		cfg.Loops = 1
	}, late)
	p := n.dial()
	n.each(func(c *client) { unix.SetsockoptInt(c.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20) })
	said := make(chan struct{})
	n.frozen(func() {
		go func() {
			defer close(said)
			p.Write(bytes.Repeat(text(strings.Repeat("x", 992)), 300)) // 1,000 bytes each
			p.reset()
		}()
		<-said
	})
	messages := 0
	for {
		ev := <-late.events
		if ev.Type == upstream.Disconnected {
			break
		}
		messages++
		ev.answer()
	}
	n.settled()
	discarded := n.metric("sluice_messages_discarded_total", "reason=memory")
	if float64(messages)+discarded != 300 || discarded == 0 {
		t.Errorf("%d messages heard and %v discarded of 300", messages, discarded)
	}
	if most := mostKept + smallRead; messages*1000 > most {
		t.Errorf("%d bytes were kept", messages*1000)
	}
}

// When the node ends, what is left is counted.
func TestWhatIsLeftWhenTheNodeEndsIsCounted(t *testing.T) {
	for name, reset := range map[string]bool{"of who is gone": true, "of who is there": false} {
		t.Run(name, func(t *testing.T) {
			late := newLate(upstream.Message | upstream.Disconnected)
			n := start(t, withUpstream, late)
			p := n.dial()
			p.send(speech(10))
			late.next(t, upstream.Message)
			n.awaits("input waits", func(c *client) bool {
				return c.Holding() && bytes.Contains(c.HeldInput(), text(utterance(9, 10)))
			})
			if reset {
				p.reset()
				eventually(t, "it is gone", func() bool { return n.sessions.Load() == 0 })
			}
			n.Close()
			if ev := late.next(t, upstream.Disconnected); !reset && ev.Reason != "shutdown" {
				t.Errorf("the upstream was told %s", ev.Reason)
			}
			if got := n.metric("sluice_messages_discarded_total", "reason=shutdown"); got != 9 {
				t.Errorf("%v messages counted, want 9", got)
			}
		})
	}
}
