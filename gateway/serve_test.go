package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

func TestMessagesAreEchoed(t *testing.T) {
	n := start(t, nil)
	p := n.dial()
	p.send(text("hello"))
	p.want(ws.OpText, "hello")
	p.send(session.AppendMasked(nil, ws.OpBinary, []byte{0, 1, 2}, testMask))
	p.want(ws.OpBinary, "\x00\x01\x02")
	p.send(control(ws.OpPing, "are you there"))
	p.want(ws.OpPong, "are you there")
	p.send(closeFrame(ws.StatusNormalClosure))
	p.wantClose(ws.StatusNormalClosure)
	n.closedFor(metrics.ReasonClientClose)
}

func TestBytesBehindTheHeadAreTheFirstFrame(t *testing.T) {
	n := start(t, nil)
	p := n.connect()
	p.say(request("/") + string(text("early")))
	p.wantStatus(http.StatusSwitchingProtocols)
	p.want(ws.OpText, "early")
}

func TestDataAndEndInOneSegmentAreBothServed(t *testing.T) {
	n := start(t, nil)
	p := n.dial()
	p.send(append(text("last words"), text("and more")...))
	p.closeWrite()
	p.want(ws.OpText, "last words")
	p.want(ws.OpText, "and more")
	p.wantEnd()
	n.closedFor(metrics.ReasonEOF)
}

func TestLongMessagesComeBackWhole(t *testing.T) {
	n := start(t, nil)
	p := n.dial()
	long := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB, the limit
	go p.Write(text(long))
	p.want(ws.OpText, long)
	p.send(text("short"))
	p.want(ws.OpText, "short")
	eventually(t, "nothing is buffered", func() bool { return n.budget.Used() == 0 })
}

func TestParkedSessionWaitsForItsAnswer(t *testing.T) {
	late := newLate(upstream.Message | upstream.Connected | upstream.Disconnected)
	n := start(t, withUpstream, late)
	p := n.dial()
	connected := late.next(t, upstream.Connected)
	p.send(text("one"), text("two"), control(ws.OpPing, "parked"))
	if len(late.events) != 0 {
		t.Fatal("a message was sent before the event ahead of it was answered")
	}
	connected.sink.Reply(connected.From, upstream.Reply{})
	one := late.next(t, upstream.Message)
	one.answer()
	p.want(ws.OpText, "one")
	two := late.next(t, upstream.Message)
	p.want(ws.OpPong, "parked")
	two.answer()
	p.want(ws.OpText, "two")

	p.send(text("three"))
	three := late.next(t, upstream.Message)
	p.tcp().SetLinger(0)
	p.Close()
	n.closedFor(metrics.ReasonReset)
	three.answer() // to nobody; only then the upstream hears of the end
	gone := late.next(t, upstream.Disconnected)
	if gone.Reason != "reset" || gone.Code != ws.StatusAbnormalClosure || gone.From != three.From {
		t.Errorf("disconnected: %+v", gone.Event)
	}
	eventually(t, "the slot is free", func() bool { return n.vacant() })
}

// closeWrite ends the peer's direction.
func (p *peer) closeWrite() {
	p.t.Helper()
	if err := p.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		p.t.Fatal(err)
	}
}

// vacant reports whether no loop has a client in any slot.
func (n *node) vacant() bool {
	used := 0
	for _, l := range n.loops {
		l.do(func(l *loop) { used += l.Counts().Used })
	}
	return used == 0
}

func TestAliveSaysWhetherEveryLoopAnswers(t *testing.T) {
	n := start(t, func(cfg *config.Config) { cfg.Loops = 2 })
	if err := n.Alive(t.Context()); err != nil {
		t.Error(err)
	}
	n.frozen(func() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := n.Alive(ctx); err == nil {
			t.Error("a frozen loop is alive")
		}
	})
	n.Close()
	if err := n.Alive(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}
