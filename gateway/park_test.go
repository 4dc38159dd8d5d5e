package gateway

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
)

// A parked session that is sent more and more must not take more and more
// memory: its reading stops and TCP slows the client down.
func TestParkedClientsThatKeepSendingStayWithinTheBudget(t *testing.T) {
	clients := 5000
	if raceEnabled || testing.Short() {
		clients = 1000
	}
	late := newLate(upstream.Message)
	n := start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		cfg.Limits.Buffered = config.Size(clients) * 16 * config.KiB
	}, late)
	message := text("0123456789abcdef0123456789abcdef")
	flood := bytes.Repeat(message, 1<<10) // 38 KiB
	conns := make([]net.Conn, clients)
	var wg sync.WaitGroup
	limit := make(chan struct{}, 64)
	for i := range conns {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			c, err := net.Dial("tcp", n.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			conns[i] = c
			c.SetWriteDeadline(time.Now().Add(patience))
			if _, err := c.Write([]byte(request("/"))); err != nil {
				t.Error(err)
			}
			c.Write(flood)
		})
	}
	wg.Wait()
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	eventually(t, "every client is parked", func() bool {
		return n.metric("sluice_parked_sessions") == float64(clients)
	})
	if used, limit := n.budget.Used(), n.budget.Limit(); used > limit {
		t.Errorf("%d bytes buffered, the budget is %d", used, limit)
	} else if used < int64(clients)*int64(len(message)) {
		t.Errorf("%d bytes buffered: nothing waits, so nothing was tested", used)
	}
	if got := len(late.events); got != clients {
		t.Errorf("%d events are under way, want one for each of %d sessions", got, clients)
	}
	if got := n.metric("sluice_connections_closed_total"); got != 0 {
		t.Errorf("%v sessions were closed", got)
	}
	// Everything that was sent is answered in the end, one by one.
	served := make(chan struct{})
	go func() {
		defer close(served)
		for range 3 * clients {
			late.next(t, upstream.Message).answer()
		}
	}()
	<-served
}

// While one session is parked, others on the loop are served.
func TestParkedSessionHoldsUpNobodyElse(t *testing.T) {
	late := newLate(upstream.Message)
	n := start(t, withUpstream, late)
	a, b := n.dial(), n.dial()
	a.send(text("first"))
	waiting := late.next(t, upstream.Message)
	for range 10 {
		b.send(text("me"))
		late.next(t, upstream.Message).answer()
		b.want(ws.OpText, "me")
	}
	waiting.answer()
	a.want(ws.OpText, "first")
}

// While parked, the edge of what arrives is not lost: everything is read
// when the session resumes, without another byte from the client.
func TestParkedSessionFindsWhatArrivedMeanwhile(t *testing.T) {
	late := newLate(upstream.Message)
	n := start(t, withUpstream, late)
	p := n.dial()
	const messages = 2000 // more than one small read
	for range messages {
		p.send(text("0123456789"))
	}
	p.closeWrite()
	for range messages {
		late.next(t, upstream.Message).answer()
	}
	for range messages {
		p.want(ws.OpText, "0123456789")
	}
	p.wantEnd()
	n.closedFor(metrics.ReasonEOF)
}

func TestUpstreamEndsASession(t *testing.T) {
	for code, reason := range map[ws.StatusCode]metrics.Reason{
		1011: metrics.ReasonUpstreamFailed,
		1013: metrics.ReasonUpstreamOverload,
		4000: metrics.ReasonBackend,
	} {
		late := newLate(upstream.Message)
		n := start(t, withUpstream, late)
		p := n.dial()
		p.send(text("one"), text("two"))
		one := late.next(t, upstream.Message)
		one.sink.Reply(one.From, upstream.Reply{Send: delivery.Send{Op: ws.OpText, Data: []byte("goodbye")}, Close: delivery.Close{Code: code}})
		p.want(ws.OpText, "goodbye")
		f, err := p.frame()
		if got, _ := ws.ParseCloseFrameData(f.Payload); err != nil || got != code {
			t.Fatalf("got %+v, %v, want a Close frame with %d", f, err, code)
		}
		p.send(closeFrame(code))
		p.wantEnd()
		n.closedFor(reason)
		if len(late.events) != 0 {
			t.Error("a message was sent to the upstream behind the end")
		}
	}
}

// The reply of an upstream to a session that is gone reaches nobody else, not
// even the next tenant of the slot.
func TestLateReplyDoesNotReachTheNextTenant(t *testing.T) {
	late := newLate(upstream.Message)
	n := start(t, withUpstream, late)
	p := n.dial()
	p.send(text("secret"))
	ev := late.next(t, upstream.Message)
	ev.answer()
	p.want(ws.OpText, "secret")
	p.Close()
	n.closedFor(metrics.ReasonEOF)
	eventually(t, "the slot is free", n.vacant)
	for range 3 { // past the quarantine of the slot
		tock := n.loops[0].Uptime() + engine.Tick
		eventually(t, "a tick", func() bool { return n.loops[0].Uptime() > tock })
	}
	q := n.dial()
	ev.answer() // a second time, which an upstream must not do
	q.send(text("mine"))
	next := late.next(t, upstream.Message)
	if next.From.Slot != ev.From.Slot || next.From.Generation == ev.From.Generation {
		t.Fatalf("slot %+v follows %+v: nothing was tested", next.From, ev.From)
	}
	ev.answer()
	next.answer()
	q.want(ws.OpText, "mine")
}
