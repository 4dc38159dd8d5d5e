package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// inOrder is an upstream that answers nothing and notes who spoke.
type inOrder struct{ spoke *[]uint32 }

func (inOrder) Close(context.Context) int { return 0 }

func (u inOrder) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Message, Inline: true}
}

func (u inOrder) Send(ev *upstream.Event, _ upstream.Sink) (upstream.Reply, bool) {
	*u.spoke = append(*u.spoke, ev.From.Slot)
	if string(ev.Data) == "last" {
		return upstream.Reply{Send: delivery.Send{Op: ev.Op, Data: ev.Data}}, true
	}
	return upstream.Reply{}, true
}

// A client whose socket holds a megabyte takes turns with the others.
func TestBurstDoesNotStarveTheOthers(t *testing.T) {
	var spoke []uint32 // by the one loop only
	n := start(t, func(cfg *config.Config) {
		cfg.Loops = 1
		withUpstream(cfg)
	}, inOrder{&spoke})
	greedy, modest := n.dial(), n.dial()

	// Both are to be readable when the loop looks: it is kept from looking.
	block, blocked := make(chan struct{}), make(chan struct{})
	unblock := sync.OnceFunc(func() { close(block) })
	defer unblock()
	go n.loops[0].do(func(l *loop) {
		// Without a larger buffer the kernel holds less than one turn's worth.
		unix.SetsockoptInt(l.at(0).FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
		close(blocked)
		<-block
	})
	<-blocked
	frame := session.AppendMasked(nil, ws.OpBinary, make([]byte, 1000), testMask)
	const frames = 1024
	sent := make(chan error, 1)
	go func() {
		_, err := greedy.Write(append(bytes.Repeat(frame, frames), text("last")...))
		sent <- err
	}()
	modest.send(text("me"))
	arrived(t, n)
	unblock()
	greedy.want(ws.OpText, "last")
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	var first int
	n.loops[0].do(func(l *loop) {
		for first = range spoke {
			if spoke[first] == 1 {
				break
			}
		}
	})
	if limit := 2 * engine.ReadSize / len(frame); first > limit {
		t.Errorf("the modest client had its turn after %d frames of the greedy one, want at most %d", first, limit)
	}
}

// arrived waits until the greedy client's socket holds several reads.
func arrived(t *testing.T, n *node) {
	t.Helper()
	c := n.loops[0].at(0) // the loop is blocked: nobody else looks
	eventually(t, "the socket holds several reads", func() bool {
		waiting, err := unix.IoctlGetInt(c.FD(), unix.SIOCINQ)
		return err == nil && waiting > 2*engine.ReadSize
	})
}

// panicky is an upstream with a bug.
type panicky struct{}

func (panicky) Close(context.Context) int { return 0 }

func (panicky) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Message | upstream.Disconnected, Inline: true}
}

func (panicky) Send(ev *upstream.Event, _ upstream.Sink) (upstream.Reply, bool) {
	if string(ev.Data) == "boom" {
		panic("the upstream has a bug")
	}
	return upstream.Reply{Send: delivery.Send{Op: ev.Op, Data: ev.Data}}, true
}

func TestPanicEndsOneSessionOnly(t *testing.T) {
	n := start(t, withUpstream, panicky{})
	victim, other := n.dial(), n.dial()
	victim.send(text("fine"))
	victim.want(ws.OpText, "fine")
	victim.send(text("boom"))
	if _, err := victim.frame(); err == nil {
		t.Error("the session goes on after the panic")
	}
	n.closedFor(metrics.ReasonPanic)
	other.send(text("still here"))
	other.want(ws.OpText, "still here")
	if got := n.metric("sluice_panics_total"); got != 1 {
		t.Errorf("%v panics counted, want 1", got)
	}
	if got := strings.Count(n.log.String(), "panic in a callback"); got != 1 {
		t.Errorf("the panic was logged %d times", got)
	}
}

// From the read to the write nothing is allocated.
func TestEchoAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	n := start(t, nil)
	p := n.dial()
	for _, size := range []int{0, 125, 128, 4096} {
		message := session.AppendMasked(nil, ws.OpBinary, make([]byte, size), testMask)
		answer := make([]byte, session.HeaderSize(size)+size)
		turn := func() {
			p.Write(message)
			io.ReadFull(p.Conn, answer)
		}
		turn()
		// The ticks of the loop and the runtime beside it allocate nothing
		// either, but testing counts whatever anybody does.
		if allocs := testing.AllocsPerRun(2000, turn); allocs != 0 {
			t.Errorf("%v allocations for an echo of %d bytes", allocs, size)
		}
	}
}

// What a million clients pay a million times.
func TestClientStaysSmall(t *testing.T) {
	if size := unsafe.Sizeof(client{}); size > 40 {
		t.Errorf("what a node knows of a client takes %d bytes beside its stream, want 40", size)
	}
}

func TestPushesArriveInOrderAndBroadcastsReachAHubOnce(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		cfg.Loops = 2
		cfg.Hubs["other"] = config.Hub{Upstream: config.Upstream{URL: "echo:"}, Anonymous: true, Deflate: true}
	})
	var mine []*peer
	for range 50 {
		mine = append(mine, n.dial())
	}
	stranger := n.connect()
	stranger.say(request("/client/hubs/other", "Sec-WebSocket-Extensions: permessage-deflate"))
	stranger.wantStatus(101)
	for i := range 20 {
		if err := n.broadcast(ws.OpText, fmt.Appendf(nil, "news %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for _, l := range n.loops {
		l.do(func(l *loop) {
			l.all(func(c *client) {
				if c.hub.name == "default" {
					ids = append(ids, n.ids.Encode(c.Ref()))
				}
			})
		})
	}
	for _, id := range ids {
		if err := n.push(id, ws.OpBinary, []byte("yours")); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range mine {
		for i := range 20 {
			p.want(ws.OpText, fmt.Sprintf("news %d", i))
		}
		p.want(ws.OpBinary, "yours")
	}
	stranger.send(text("quiet here"))
	stranger.want(ws.OpText, "quiet here") // too short to be deflated, and the first thing it gets
	r, err := n.Do(t.Context(), delivery.Target{Hub: "default", Kind: delivery.Connection, Name: "nobody"}, delivery.Send{Op: ws.OpText})
	if r != (delivery.Result{}) || err != nil {
		t.Errorf("a push to nobody: %+v, %v", r, err)
	}
	if err := n.disconnect(ids[0], ws.StatusNormalClosure, "enough"); err != nil {
		t.Fatal(err)
	}
	n.closedForSoon(t, mine)
}

// closedForSoon waits until one of the peers is told to close, and lets it.
func (n *node) closedForSoon(t *testing.T, peers []*peer) {
	t.Helper()
	told := make(chan *peer, len(peers))
	for _, p := range peers {
		go func() {
			if f, err := p.frame(); err == nil && f.Header.OpCode == ws.OpClose {
				told <- p
			}
		}()
	}
	p := <-told
	p.send(closeFrame(ws.StatusNormalClosure))
	p.wantEnd()
	n.closedFor(metrics.ReasonBackend)
	for _, p := range peers {
		p.Close()
	}
}
