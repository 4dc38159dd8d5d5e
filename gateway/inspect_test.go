package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// limited changes the default limits.
func limited(edit func(*config.Limits)) func(*config.Config) {
	return func(cfg *config.Config) { edit(&cfg.Limits) }
}

// milliseconds is a duration of the configuration.
func milliseconds(n int) config.Duration { return config.Duration(time.Duration(n) * time.Millisecond) }

// frozen runs f while the loops do nothing, so that what f sends is all there
// when they go on.
func (n *node) frozen(f func()) {
	n.t.Helper()
	thaw := make(chan struct{})
	for _, l := range n.loops {
		stopped := make(chan struct{})
		l.post(letter{run: func(*loop) bool {
			close(stopped)
			<-thaw
			return true
		}})
		<-stopped
	}
	defer close(thaw)
	f()
}

// each calls f on its loop for each client that the node has.
func (n *node) each(f func(*client)) {
	for _, l := range n.loops {
		l.do(func(l *loop) { l.all(f) })
	}
}

// awaits waits until some client is as ok says.
func (n *node) awaits(what string, ok func(*client) bool) {
	n.t.Helper()
	eventually(n.t, what, func() bool {
		found := false
		n.each(func(c *client) { found = found || ok(c) })
		return found
	})
}

// id is the public id of the only session.
func (n *node) id() string {
	n.t.Helper()
	var ids []string
	n.each(func(c *client) { ids = append(ids, n.ids.Encode(c.Ref())) })
	if len(ids) != 1 {
		n.t.Fatalf("%d clients, want one", len(ids))
	}
	return ids[0]
}

// settled waits until no client is left, and nothing of any: no slot, timer or
// byte of the budget, and no gauge above zero.
func (n *node) settled() {
	n.t.Helper()
	left := ""
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if left = n.left(); left == "" {
			break
		}
		if time.Now().After(end) {
			n.t.Fatalf("left behind: %s", left)
		}
	}
	if v := n.metric("sluice_panics_total"); v != 0 {
		n.t.Errorf("%v panics: %s", v, n.log)
	}
}

// publish shows the counts of the loops to the metrics now.
func (n *node) publish() {
	for _, l := range n.loops {
		l.do(func(l *loop) { l.metrics.Publish() })
	}
}

// left says what there is of clients.
func (n *node) left() string {
	var b strings.Builder
	see := func(what string, v float64) {
		if v != 0 {
			fmt.Fprintf(&b, "%s %v; ", what, v)
		}
	}
	n.each(func(c *client) { fmt.Fprintf(&b, "client in state %d; ", c.State()) })
	for _, l := range n.loops {
		l.do(func(l *loop) {
			see("slots", float64(l.Counts().Used))
			see("timers", float64(l.Counts().Timers))
			see("petitions", float64(len(l.petitions)))
			see("closes that wait", float64(len(l.partings)))
			see("replies that wait", float64(len(l.withheld)))
			see("remains", float64(l.remains.Len()+l.Counts().Skimmed))
			see("stalled clients", float64(l.Counts().Stalled))
		})
	}
	see("sessions", float64(n.sessions.Load()))
	see("places", float64(n.places.Load()))
	see("pending", float64(n.set.Pending.Load()))
	n.publish()
	for _, gauge := range []string{
		"sluice_connections", "sluice_handshakes_in_flight", "sluice_send_queue_bytes", "sluice_parked_sessions",
		"sluice_http_connections", "sluice_upstream_in_flight", "sluice_buffered_bytes",
	} {
		see(gauge, n.metric(gauge))
	}
	return b.String()
}

// ended wants that one connection, and no other, has been counted as ended
// with that code, for that reason and by whom the reason says.
func (n *node) ended(code ws.StatusCode, reason metrics.Reason) {
	n.t.Helper()
	eventually(n.t, "a connection closed for "+reason.String(), func() bool {
		n.publish()
		return n.metric("sluice_connections_closed_total", "reason="+reason.String()) > 0
	})
	label := fmt.Sprint(int(code))
	if code >= 3000 {
		label = label[:1] + "xxx"
	}
	labels := []string{"code=" + label, "initiator=" + reason.Initiator(), "reason=" + reason.String()}
	if one, all := n.metric("sluice_connections_closed_total", labels...), n.metric("sluice_connections_closed_total"); one != 1 || all != 1 {
		n.t.Errorf("%v of %v ends counted as %s, want one of one", one, all, labels)
	}
}

// openDescriptors counts what this process has open.
func openDescriptors(t *testing.T) int {
	t.Helper()
	open, err := netpoll.OpenDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	return open
}

// reset ends the connection with a reset.
func (p *peer) reset() {
	p.t.Helper()
	if err := p.tcp().SetLinger(0); err != nil {
		p.t.Fatal(err)
	}
	p.Close()
}

// part is a frame of a fragmented message, or with rsv bits, or of any opcode.
func part(first byte, payload string) []byte {
	f := session.AppendMasked(nil, ws.OpText, []byte(payload), testMask)
	f[0] = first
	return f
}

const (
	fin  = 0x80
	rsv1 = 0x40
)
