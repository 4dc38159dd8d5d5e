package gateway

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/metrics"
)

// numbered is a message of size bytes that says which it is.
func numbered(i, size int) []byte {
	return append(fmt.Appendf(make([]byte, 0, size), "%08d", i), make([]byte, size-8)...)
}

// wantNumbered reads whole messages, the first ones of those that were sent
// and in their order, and a Close frame behind them.
func (p *peer) wantNumbered(size int, code ws.StatusCode) (messages int) {
	p.t.Helper()
	for i := 0; ; i++ {
		f, err := p.frame()
		if err != nil {
			p.t.Fatalf("after %d messages: %v, want a Close frame with %d", i, err, code)
		}
		if f.Header.OpCode == ws.OpClose {
			if got, _ := ws.ParseCloseFrameData(f.Payload); got != code {
				p.t.Fatalf("close code %d, want %d", got, code)
			}
			p.wantEnd()
			return i
		}
		if len(f.Payload) != size || !bytes.Equal(f.Payload, numbered(i, size)) {
			p.t.Fatalf("message %d came as %s", i, describe(f.Header.OpCode, string(f.Payload)))
		}
	}
}

func TestClientThatDoesNotReadIsToldSo(t *testing.T) {
	const size = 20_000
	for name, send := range map[string]func(n *node, id string, data []byte) error{
		"push":      func(n *node, id string, data []byte) error { return n.push(id, ws.OpBinary, data) },
		"broadcast": func(n *node, _ string, data []byte) error { return n.broadcast(ws.OpBinary, data) },
	} {
		for _, c := range []struct {
			limit  func(*config.Limits)
			reason metrics.Reason
		}{
			{func(l *config.Limits) { l.Queue = 256 * config.KiB }, metrics.ReasonSlowConsumerBytes},
			{func(l *config.Limits) { l.Queue, l.QueueAge = config.GiB, milliseconds(300) }, metrics.ReasonSlowConsumerAge},
		} {
			t.Run(name+"/"+c.reason.String(), func(t *testing.T) {
				n := start(t, func(cfg *config.Config) {
					c.limit(&cfg.Limits)
					cfg.Limits.Close = config.Duration(patience)
				})
				p := n.dial()
				id, sent, peak := n.id(), 0, int64(0)
				slow := func() bool { return n.metric("sluice_slow_consumers_total") == 1 }
				queued := func() bool {
					long := false
					n.each(func(c *client) { long = c.Queued() > 100<<10 })
					return long
				}
				// For the age, the queue is filled once; for the bytes, until it is full.
				for c.reason == metrics.ReasonSlowConsumerBytes && !slow() || c.reason == metrics.ReasonSlowConsumerAge && !queued() && !slow() {
					for range 10 {
						if err := send(n, id, numbered(sent, size)); err != nil {
							t.Fatal(err)
						}
						sent++
					}
					n.each(func(*client) { peak = max(peak, n.budget.Used()) })
				}
				eventually(t, "it is found slow", slow)
				if err := send(n, id, numbered(sent, size)); err != nil { // too late
					t.Fatal(err)
				}
				got := p.wantNumbered(size, 1013)
				if got == 0 || got >= sent {
					t.Errorf("%d of %d messages arrived", got, sent)
				}
				if limit := int64(512 << 10); peak > limit {
					t.Errorf("%d bytes buffered, want at most %d", peak, limit)
				}
				p.Close()
				n.ended(1013, c.reason)
				n.settled()
				if n.metric("sluice_messages_dropped_total", "reason=slow_consumer") == 0 {
					t.Error("no message is counted as dropped")
				}
			})
		}
	}
}

// fill queues at least size bytes for the client of that id, which does not
// read.
func (n *node) fill(id string, size int) {
	n.t.Helper()
	for {
		if err := n.push(id, ws.OpBinary, make([]byte, 16<<10)); err != nil {
			n.t.Fatal(err)
		}
		full := false
		n.each(func(c *client) { full = full || n.ids.Encode(c.Ref()) == id && c.Queued() >= size })
		if full {
			return
		}
	}
}

func TestHeaviestQueueIsClosedFirstWhenBuffersRunOut(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) {
		l.Queue, l.Buffered = 8*config.MiB, 8*config.MiB
		l.Close = config.Duration(patience)
	}))
	light := n.dial()
	lightID := n.id()
	heavy := n.dial()
	heavyID := ""
	n.each(func(c *client) {
		if id := n.ids.Encode(c.Ref()); id != lightID {
			heavyID = id
		}
	})
	n.fill(lightID, 1<<20)
	n.fill(heavyID, 3<<20)
	n.publish()
	if got := n.metric("sluice_slow_consumers_total"); got != 0 {
		t.Fatalf("%v clients closed with half of the budget left", got)
	}
	rest := n.budget.Limit() - n.budget.Used()
	if !n.budget.Take(int(rest)) {
		t.Fatal("the rest of the budget cannot be taken")
	}
	eventually(t, "a queue is closed", func() bool { return n.metric("sluice_slow_consumers_total") == 1 })
	for { // what it was sent, up to the Close frame
		f, err := heavy.frame()
		if err != nil {
			t.Fatalf("the client with the heaviest queue: %v", err)
		}
		if f.Header.OpCode == ws.OpClose {
			break
		}
	}
	heavy.Close()
	n.ended(1013, metrics.ReasonMemory)
	n.budget.Give(int(rest))
	light.send(closeFrame(ws.StatusNormalClosure))
	light.wantClose(ws.StatusNormalClosure)
	n.settled()
}

// With the node's buffers used up, and not by clients, nobody new is let in, and
// who needs one is sent away in the end: with no more than that session lost.
// What is done with at once needs none.
func TestWithoutBuffersOnlyWhatNeedsNoneGoesOn(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		cfg.Limits.Buffered = 64 * config.KiB
		withDeflate(cfg)
	})
	p, q, r := n.dial(), n.dial(), n.dial(deflated)
	squeezed := compressed(t, make([]byte, 1000))
	used := int(n.budget.Limit())
	n.budget.Take(used)
	newcomer := n.connect()
	newcomer.say(request("/"))
	newcomer.wantBusy()
	slow := n.connect()
	slow.say(request("/")[:20])
	slow.wantBusy()
	if n.Ready() == nil {
		t.Error("ready without buffers")
	}
	q.send(text("whole"))
	q.want(ws.OpText, "whole")
	p.send(text("not whole")[:9])
	p.wantClose(1013)
	r.send(squeezed)
	if f, err := r.frame(); err != nil || f.Header.OpCode != ws.OpBinary {
		t.Errorf("got %v, %v, want the echo of a compressed message", f.Header, err)
	}
	q.send(text("still here"))
	q.want(ws.OpText, "still here")
	n.budget.Give(used)
	n.dial().Close()
	for _, p := range []*peer{newcomer, slow, p, q, r} {
		p.Close()
	}
	n.settled()
	if got := n.metric("sluice_connections_closed_total", "reason=memory", "code=1013"); got != 1 {
		t.Errorf("%v sessions closed for want of memory", got)
	}
	if got := n.metric("sluice_handshakes_total", "result=overloaded"); got != 2 {
		t.Errorf("%v handshakes counted as overloaded", got)
	}
	if got := n.metric("sluice_protocol_errors_total", "kind=budget"); got != 1 {
		t.Errorf("%v errors counted as budget", got)
	}
}

// What waits for a loop is bounded, whoever it is for.
func TestMailboxIsBounded(t *testing.T) {
	for name, send := range map[string]func(n *node, id string, data []byte) error{
		"push":      func(n *node, id string, data []byte) error { return n.push(id, ws.OpBinary, data) },
		"broadcast": func(n *node, _ string, data []byte) error { return n.broadcast(ws.OpBinary, data) },
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, limited(func(l *config.Limits) { l.Queue = config.GiB }))
			p := n.dial()
			id := n.id()
			data := make([]byte, 64<<10)
			accepted := 0
			n.frozen(func() {
				for ; accepted <= int(config.Default().Limits.Mailbox)/len(data); accepted++ {
					if err := send(n, id, data); err != nil {
						if err != delivery.ErrFull {
							t.Error(err)
						}
						return
					}
				}
				t.Error("more was accepted than the mailbox may hold")
			})
			for range accepted {
				p.want(ws.OpBinary, string(data))
			}
			if err := send(n, id, data); err != nil {
				t.Errorf("with the mailbox empty again: %v", err)
			}
			p.want(ws.OpBinary, string(data))
			p.Close()
			n.settled()
		})
	}
}

// What stalled readers of short pushes hold of the heap is what the budget sees,
// and their neighbour is served.
func TestBudgetSeesWhatStalledReadersHold(t *testing.T) {
	for _, loops := range []int{1, 4} {
		for _, ttl := range []time.Duration{0, time.Minute} {
			t.Run(fmt.Sprintf("%d loops/ttl %v", loops, ttl), func(t *testing.T) {
				n := start(t, func(cfg *config.Config) { cfg.Loops = loops })
				const stalled = 200
				var peers []*peer
				for range stalled {
					peers = append(peers, n.dial())
				}
				n.stuff(peers...)
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				used := n.budget.Used()
				eventually(t, "much waits for each", func() bool {
					for range 100 {
						if err := n.do(delivery.Target{}, delivery.Send{Op: ws.OpBinary, Data: make([]byte, 70), TTL: ttl}); err != nil && err != delivery.ErrFull {
							t.Fatal(err)
						}
					}
					heavy := 0
					n.each(func(c *client) {
						if c.Queued() > 64<<10 {
							heavy++
						}
					})
					return heavy == stalled
				})
				n.each(func(*client) {}) // all that was posted is delivered
				runtime.GC()
				runtime.ReadMemStats(&after)
				heap, seen := int64(after.HeapAlloc)-int64(before.HeapAlloc), n.budget.Used()-used
				if heap > seen*5/4+4<<20 {
					t.Errorf("%d bytes of the heap, and the budget sees %d", heap, seen)
				}
				p := n.dial()
				p.send(text("me"))
				p.want(ws.OpText, "me")
				for _, p := range append(peers, p) {
					p.Close()
				}
				n.settled()
			})
		}
	}
}
