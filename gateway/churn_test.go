package gateway

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/gatewaytest"
	"sluice/netpoll"
	"sluice/session"
)

// Thousands of clients come, go wrong in every way, and leave, while others
// push at whoever is there. Nobody may get what was meant for somebody else,
// and nothing may be left of them.
func TestChurnLeavesNothingBehind(t *testing.T) {
	gatewaytest.EachLoopCount(t, churnOver)
}

func churnOver(t *testing.T, loops int) {
	const seed = 20261122
	clients, workers := 1500, 32
	if testing.Short() {
		clients = 500
	}
	n := start(t, func(cfg *config.Config) {
		cfg.Loops = loops
		cfg.Limits.Handshake = config.Duration(300 * time.Millisecond)
		cfg.Limits.Close = config.Duration(300 * time.Millisecond)
	})
	before, err := netpoll.OpenDescriptors()
	if err != nil {
		t.Fatal(err)
	}

	c := &churn{t: t, n: n}
	stop := make(chan struct{})
	var pushers, wg sync.WaitGroup
	for i := range 2 {
		pushers.Go(func() { c.push(rand.New(rand.NewPCG(seed, uint64(i))), stop) })
	}
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1000+uint64(w)))
			for i := range clients / workers {
				c.live(r, fmt.Sprintf("client %d of worker %d", i, w))
			}
		})
	}
	wg.Wait()
	close(stop)
	pushers.Wait()

	eventually(t, "every slot is vacant", n.vacant)
	eventually(t, "every descriptor is closed", func() bool {
		now, err := netpoll.OpenDescriptors()
		return err == nil && now <= before
	})
	for _, gauge := range []string{
		"sluice_connections", "sluice_handshakes_in_flight", "sluice_send_queue_bytes", "sluice_parked_sessions",
		"sluice_upstream_in_flight", "sluice_drain_remaining_connections", "sluice_buffered_bytes",
	} {
		eventually(t, gauge+" is back at zero", func() bool { return n.metric(gauge) == 0 })
	}
	if n.sessions.Load() != 0 || n.set.Pending.Load() != 0 {
		t.Errorf("%d sessions and %d others counted", n.sessions.Load(), n.set.Pending.Load())
	}
	n.publish() // levels are shown at once, counts at the next tick
	opened, closed := n.metric("sluice_handshakes_total", "result=ok"), n.metric("sluice_connections_closed_total")
	if opened != closed || opened < float64(clients)/3 {
		t.Errorf("%v sessions opened, %v closed, of %d clients", opened, closed, clients)
	}
	if got := n.metric("sluice_panics_total"); got != 0 {
		t.Errorf("%v panics: %s", got, n.log)
	}
	c.ledger()
	t.Logf("%v sessions, %d messages echoed, %d pushes received, %v stale events",
		opened, c.echoed.Load(), c.pushed.Load(), n.metric("sluice_stale_events_total"))
	if c.pushed.Load() == 0 || c.echoed.Load() == 0 {
		t.Error("nothing was pushed or echoed: nothing was tested")
	}
}

// churn is the population of the test.
type churn struct {
	t              *testing.T
	n              *node
	echoed, pushed atomic.Int64
}

// ledger adds up what was counted: nothing begins that does not end in one
// counter, and nobody has heard more than was sent.
func (c *churn) ledger() {
	c.t.Helper()
	c.n.publish()
	accepted, ended := c.n.metric("sluice_connections_accepted_total"), c.n.metric("sluice_handshakes_total")
	if accepted != ended {
		c.t.Errorf("%v connections accepted, and %v handshakes ended", accepted, ended)
	}
	received, sent := c.n.metric("sluice_messages_received_total"), c.n.metric("sluice_messages_sent_total")
	echoed, pushed := float64(c.echoed.Load()), float64(c.pushed.Load())
	// Each message received while a session is open is echoed at once; the rest of
	// what is sent is pushes.
	if received < echoed || sent < received || sent-received < pushed {
		c.t.Errorf("%v messages received and %v sent; clients have heard %v echoes and %v pushes", received, sent, echoed, pushed)
	}
}

// push sends to random sessions and to all, and closes some.
func (c *churn) push(r *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
		ref := session.Ref{
			Node:       c.n.set.Node,
			Loop:       uint16(r.IntN(len(c.n.loops))),
			Slot:       r.Uint32N(64),
			Generation: r.Uint32N(8), // often one that was, or is not yet
		}
		c.n.loops[ref.Loop].do(func(l *loop) {
			if r.IntN(4) > 0 && ref.Slot < l.Slots() {
				ref.Generation = l.at(ref.Slot).Ref().Generation
			}
		})
		id := c.n.ids.Encode(ref)
		switch r.IntN(20) {
		case 0:
			c.n.disconnect(id, ws.StatusPolicyViolation, "churn")
		case 1:
			if err := c.n.broadcast(ws.OpText, []byte("push for all")); err != nil {
				c.t.Error(err)
			}
		default:
			if err := c.n.push(id, ws.OpText, []byte("push for "+id)); err != nil {
				c.t.Error(err)
			}
		}
	}
}

// live is the life of one client.
func (c *churn) live(r *rand.Rand, name string) {
	conn, err := net.Dial("tcp", c.n.Addr().String())
	if err != nil {
		c.t.Error(err)
		return
	}
	defer conn.Close()
	tcp := conn.(*net.TCPConn)
	if r.IntN(4) == 0 {
		tcp.SetLinger(0) // its close is a reset
	}
	conn.SetDeadline(time.Now().Add(patience))
	head := request("/")
	switch r.IntN(10) {
	case 0: // says nothing
		return
	case 1: // goes away in the middle of the head
		io.WriteString(conn, head[:r.IntN(len(head)-1)])
		return
	case 2: // waits to be thrown out
		io.WriteString(conn, head[:r.IntN(len(head)-1)])
		io.Copy(io.Discard, conn)
		return
	}
	io.WriteString(conn, head)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		c.t.Errorf("handshake: %v %v", resp, err)
		return
	}
	id := ""
	for i := range r.IntN(5) {
		message := fmt.Sprintf("%s says %d", name, i)
		conn.Write(text(message))
		if !c.hears(br, message, &id) {
			return // closed by the pusher
		}
	}
	switch r.IntN(5) {
	case 0: // gone
	case 1: // gone in the middle of a frame
		conn.Write(text("half a message")[:r.IntN(10)])
	case 2: // proper close
		conn.Write(closeFrame(ws.StatusNormalClosure))
		for {
			if _, err := readFrame(br); err != nil {
				return
			}
		}
	case 3: // breaks the rules
		conn.Write([]byte{0xff, 0xff})
		io.Copy(io.Discard, br)
	case 4: // says more than it stays for
		for range 50 {
			conn.Write(text(name))
		}
	}
}

// hears reads until the echo of message, and is false if the session ends. What
// is pushed at the client alone must always name the same session, which is id.
func (c *churn) hears(br *bufio.Reader, message string, id *string) bool {
	for {
		f, err := readFrame(br)
		if err != nil || f.Header.OpCode == ws.OpClose {
			return false
		}
		switch got := string(f.Payload); {
		case got == message:
			c.echoed.Add(1)
			return true
		case got == "push for all":
			c.pushed.Add(1)
		case strings.HasPrefix(got, "push for ") && (*id == "" || got == *id):
			*id = got
			c.pushed.Add(1)
		default:
			c.t.Errorf("%q was told %q", message, got)
			return false
		}
	}
}
