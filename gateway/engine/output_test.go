package engine

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway/gatewaytest"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// counted is a kernel that counts how often it is asked to write.
type counted struct {
	netpoll.System
	writes int
}

func (k *counted) Write(c netpoll.Conn, p []byte) (int, error) {
	k.writes++
	return k.System.Write(c, p)
}

func (k *counted) Writev(c netpoll.Conn, p [][]byte) (int, error) {
	k.writes++
	return k.System.Writev(c, p)
}

// enveloped is a message in two parts: a head for one receiver, and what all share.
func enveloped(number, body string) (head []byte, rest *session.Shared, whole string) {
	head = session.AppendHeader(nil, ws.OpText, true, false, len(number)+len(body))
	head = append(head, number...)
	return head, session.NewShared([]byte(body), nil), string(head) + body
}

// Each receiver gets what all share behind a head of its own, with one write.
func TestHeadAndSharedRestLeaveWithOneWrite(t *testing.T) {
	o := open(t, 1, nil)
	guests := []*guest{o.enter(0), o.enter(0)}
	e := o.engines[0]
	k := &counted{System: e.sys}
	e.sys = k
	for _, size := range []int{0, 10, 5000} {
		for i, g := range guests {
			head, rest, whole := enveloped(strings.Repeat("7", i+1), strings.Repeat("x", size))
			before := k.writes
			e.SendHeaded(e.At(uint32(i)), head, rest, 0)
			if k.writes != before+1 {
				t.Errorf("%d bytes: %d writes", size, k.writes-before)
			}
			g.want(whole)
		}
	}
	e.sys = void{k.System}
	s, head := e.At(0), session.AppendHeader(nil, ws.OpText, true, false, 100)
	rest := session.NewShared(make([]byte, 100), nil)
	if n := testing.AllocsPerRun(100, func() { e.SendHeaded(s, head, rest, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	e.sys = k.System
}

// void is a kernel that takes everything and sends nothing.
type void struct{ netpoll.System }

func (void) Write(_ netpoll.Conn, p []byte) (int, error) { return len(p), nil }

func (void) Writev(_ netpoll.Conn, pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		n += len(p)
	}
	return n, nil
}

// Wherever a socket stops taking bytes, in the head, between it and the rest, or in
// that, the receiver gets whole frames in their order.
func TestSlowReceiversGetHeadAndRestWhole(t *testing.T) {
	for room := 1; room < 400; room += 7 {
		o := open(t, 1, nil)
		g := o.enter(0)
		e, s := o.engines[0], o.engines[0].At(0)
		k := &narrow{System: e.sys, room: room}
		e.sys = k
		want := ""
		for i := range 5 {
			head, rest, whole := enveloped(strings.Repeat("7", 10+i), strings.Repeat("x", 300))
			want += whole + frame(ws.OpText, "between")
			e.SendHeaded(s, head, rest, 0)
			e.Write(s, ws.OpText, []byte("between"))
			e.Flush(s)
		}
		if s.Queued() != len(want)-room {
			t.Errorf("%d bytes are queued, want %d", s.Queued(), len(want)-room)
		}
		k.room = 1 << 20
		e.drain(s)
		g.want(want)
	}
}

// narrow is a kernel whose sockets take so many bytes more.
type narrow struct {
	netpoll.System
	room int
}

func (k *narrow) Write(c netpoll.Conn, p []byte) (int, error) {
	return k.Writev(c, [][]byte{p})
}

func (k *narrow) Writev(c netpoll.Conn, pieces [][]byte) (n int, err error) {
	if k.room == 0 {
		return 0, netpoll.ErrWouldBlock
	}
	for _, p := range pieces {
		p = p[:min(len(p), k.room-n)]
		n += len(p)
		if _, err := k.System.Write(c, p); err != nil {
			return n, err
		}
	}
	k.room -= n
	return n, nil
}

// What is dropped, cut or lost of a frame with a head is one message.
func TestFrameWithAHeadIsLostAsOneMessage(t *testing.T) {
	for name, c := range map[string]struct {
		ttl  session.Tick
		end  func(o *inn, e *Engine, s *Stream)
		lost float64
	}{
		"expired": {2, func(o *inn, e *Engine, s *Stream) {
			o.pass(3 * Tick)
			e.drain(s)
		}, 1},
		"cut":  {0, func(_ *inn, e *Engine, s *Stream) { e.Slow(s, metrics.ReasonSlowConsumerAge) }, 1},
		"gone": {0, func(_ *inn, e *Engine, s *Stream) { e.Drop(s, metrics.ReasonReset) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, 1, nil)
			o.enter(0)
			e, s := o.engines[0], o.engines[0].At(0)
			k := &narrow{System: e.sys, room: 5}
			e.sys = k
			for range 2 { // the first is begun
				head, rest, _ := enveloped("1", strings.Repeat("x", 300))
				e.SendHeaded(s, head, rest, c.ttl)
			}
			k.room = 0
			c.end(o, e, s)
			e.metrics.Publish()
			all := prometheus.NewRegistry()
			all.MustRegister(o.set.Metrics)
			if got := gatewaytest.Gather(t, all).Sum("sluice_messages_dropped_total"); got != c.lost {
				t.Errorf("%v messages counted as dropped, want %v", got, c.lost)
			}
			k.room = 1 << 20
		})
	}
}

// Messages that leave with the answer to a head are counted where the socket does
// not take them, though the answer is no frame: when they are queued, and when they
// are lost before.
func TestMessagesBehindAnAnswerAreCounted(t *testing.T) {
	o := open(t, 1, nil)
	o.world.Room = 400
	e, body := o.engines[0], []byte(strings.Repeat("x", 200))
	let := func() (g *guest, s *Stream, kept *Held) {
		g = o.connect(0)
		g.say(request("/wait"))
		s = o.waiting()
		s.Enter(&o.guests)
		kept = e.Accept(s, append(e.Out(), welcome...), false, 0)
		for range 5 {
			e.Write(s, ws.OpText, body)
		}
		return g, s, kept
	}
	g, s, kept := let()
	e.Flush(s)
	e.GiveBack(kept)
	if n := s.QueuedMessages(); n != 4 {
		t.Errorf("%d messages are queued, want 4", n)
	}
	var all string
	for range 100 {
		more, _ := g.hear()
		all += more
		o.pass(0)
	}
	if want := welcome + strings.Repeat(frame(ws.OpText, string(body)), 5); all != want {
		t.Errorf("heard %q", all)
	}
	g, s, kept = let()
	g.Reset()
	o.pass(0)
	e.Flush(s)
	e.GiveBack(kept)
	registry := prometheus.NewRegistry()
	registry.MustRegister(o.set.Metrics)
	e.metrics.Publish()
	if n := gatewaytest.Gather(t, registry).Sum("sluice_messages_dropped_total"); n != 5 {
		t.Errorf("%v messages are counted as dropped, want 5", n)
	}
}
