package engine

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway/gatewaytest"
	"sluice/metrics"
	"sluice/netpoll/netpolltest"
)

// A session without a socket keeps what it is sent, up to the bound of its class.
func TestSeatedSessionKeepsWhatItIsSent(t *testing.T) {
	o := open(t, 1, nil)
	e := o.engines[0]
	s := e.Seat(&o.guests)
	e.Write(s, ws.OpText, []byte("hello"))
	e.Flush(s)
	if s.QueuedMessages() != 1 || s.Connected() || s.State() != Open {
		t.Fatalf("%d messages are queued", s.QueuedMessages())
	}
	o.pass(25 * Tick) // longer than any heartbeat
	if s.State() != Open {
		t.Fatal("it has ended")
	}
	e.Drop(s, metrics.ReasonBackend)
	o.wantHeard("came; ending, socket false; gone from open: backend")
	full := e.Seat(&o.guests)
	o.heard()
	for range 1000 {
		if full.State() != Open {
			break
		}
		e.Write(full, ws.OpText, make([]byte, 1000))
		e.Flush(full)
	}
	o.wantHeard("ending, socket false; gone from leaving: slow_consumer_bytes")
	if used := o.set.Budget.Used(); used != 0 {
		t.Errorf("%d bytes of the budget are lost", used)
	}
}

// waiting is the stream that the owner keeps waiting.
func (o *inn) waiting() *Stream {
	o.t.Helper()
	for s := range o.kept {
		delete(o.kept, s)
		return s
	}
	o.t.Fatal("nobody waits")
	return nil
}

// knock connects to the first engine, and takes the socket there, whose head is read.
func (o *inn) knock() (g *guest, k Socket) {
	o.t.Helper()
	g = o.connect(0)
	g.say(request("/wait"))
	s := o.waiting()
	k, ok := o.engines[0].Unplug(s)
	if !ok {
		o.t.Fatal("the socket stays")
	}
	o.engines[0].Free(s)
	k.Skip(len(k.Read()))
	return g, k
}

// The socket of a client that comes back moves to the session that it had, on the
// engine that has it: what was queued meanwhile follows the answer, and then what
// was said behind the head is served.
func TestSocketMovesToASessionThatIsThere(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		o := open(t, loops, nil)
		home, door := o.engines[loops-1], o.engines[0]
		s := home.Seat(&o.guests)
		ref := s.Ref()
		home.Write(s, ws.OpText, []byte("meanwhile"))
		home.Flush(s)
		g := o.connect(0)
		g.say(request("/wait") + text("again") + text("cut")[:3])
		newcomer := o.waiting()
		k, ok := door.Unplug(newcomer)
		if !ok {
			t.Fatal("the socket stays")
		}
		door.Free(newcomer)
		if got, want := string(k.Read()), request("/wait")+text("again")+text("cut")[:3]; got != want {
			t.Errorf("read was %q, want %q", got, want)
		}
		k.Skip(len(request("/wait")))
		if !home.Plug(s, k, []byte(welcome), false, 0) {
			t.Fatal("it is not taken")
		}
		g.want(welcome + frame(ws.OpText, "meanwhile") + frame(ws.OpText, "again"))
		g.say(text("cut")[3:] + control(ws.OpPing, "?"))
		g.want(frame(ws.OpText, "cut") + frame(ws.OpPong, "?"))
		if s.Ref() != ref || home.Find(ref) != s {
			t.Error("the session is another")
		}
		if home.Plug(s, k, nil, false, 0) {
			t.Error("a session has two sockets")
		}
		if n := o.set.Pending.Load(); n != 0 {
			t.Errorf("%d are pending", n)
		}
		o.heard()
		g.say(control(ws.OpClose, "\x03\xe8"))
		o.wantHeard("ending, socket false; gone from leaving: client_close")
	})
}

// A session goes on when its socket is taken, and gets another: messages that had
// not begun to leave are kept, the one that had is lost and counted.
func TestSessionOutlivesItsSocket(t *testing.T) {
	o := open(t, 1, nil)
	o.world.Room = 1000
	g, e := o.enter(0), o.engines[0]
	s := e.At(0)
	for range 5 {
		e.Write(s, ws.OpText, []byte(strings.Repeat("x", 400)))
	}
	e.Flush(s)
	before := s.QueuedMessages()
	old, ok := e.Unplug(s)
	if !ok || s.Connected() || s.State() != Open || s.Registered() {
		t.Fatalf("%v, connected %t", s.State(), s.Connected())
	}
	if after := s.QueuedMessages(); after != before-1 {
		t.Errorf("%d messages are queued, %d were", after, before)
	}
	if e.Plug(e.Seat(&o.guests), old, nil, false, 0) {
		t.Error("a socket whose peer has half a frame is another's")
	}
	e.DiscardSocket(old)
	for range 100 {
		if _, err := g.hear(); err != nil {
			break
		}
		o.pass(0)
	}
	if !g.Gone() {
		if _, err := g.hear(); err == nil {
			t.Error("the old socket is not closed")
		}
	}
	o.pass(10 * Tick)
	again, k := o.knock()
	if !e.Plug(s, k, []byte(welcome), false, 0) {
		t.Fatal("it is not taken")
	}
	var got string
	for range 100 {
		more, _ := again.hear()
		got += more
		o.pass(0)
	}
	whole := frame(ws.OpText, strings.Repeat("x", 400))
	if want := welcome + strings.Repeat(whole, before-1); got != want {
		t.Errorf("%d bytes have come, want %d", len(got), len(want))
	}
	again.say(text("here"))
	again.want(frame(ws.OpText, "here"))
	if c := e.Counts(); c.Used != 2 || c.Stalled != 0 {
		t.Errorf("%+v", c)
	}
}

// What cannot be parted stays: a socket of which half a message was read, one that
// is being closed, and none.
func TestSocketsThatCannotMoveStay(t *testing.T) {
	o := open(t, 1, nil)
	e, g := o.engines[0], o.enter(0)
	s := e.At(0)
	g.say(text("a message")[:8])
	if _, ok := e.Unplug(s); ok {
		t.Error("half a message is lost")
	}
	g.say(text("a message")[8:] + text("close"))
	g.want(frame(ws.OpText, "a message") + goodbye(1000, "bye"))
	if _, ok := e.Unplug(s); ok {
		t.Error("a close handshake is lost")
	}
	if _, ok := e.Unplug(e.Seat(&o.guests)); ok {
		t.Error("there was a socket")
	}
}

// What was compressed for one socket leaves by another that has agreed on it, or by
// none; what was not, by any.
func TestQueuedFramesLeaveOnlyAsAgreedOn(t *testing.T) {
	for name, c := range map[string]struct {
		had      uint8 // window bits of the former socket
		deflate  bool
		bits     uint8
		want     bool
		withNone bool // nothing is queued
	}{
		"plain to plain":          {0, false, 0, true, false},
		"plain to compressed":     {0, true, 15, true, false},
		"compressed to the same":  {12, true, 12, true, false},
		"compressed to a larger":  {12, true, 15, true, false},
		"compressed to a smaller": {12, true, 9, false, false},
		"compressed to plain":     {12, false, 15, false, false},
		"nothing to plain":        {12, false, 0, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, 1, nil)
			e := o.engines[0]
			s := e.Seat(&o.guests)
			s.windowBits = c.had
			if !c.withNone {
				e.Write(s, ws.OpText, []byte(strings.Repeat("x", 100)))
				e.Flush(s)
			}
			_, k := o.knock()
			if got := e.Plug(s, k, []byte(welcome), c.deflate, c.bits); got != c.want {
				t.Fatalf("plugged in: %t", got)
			}
			if !c.want {
				e.DiscardSocket(k)
				return
			}
			if want := c.bits; !c.deflate && s.WindowBits() != 0 || c.deflate && s.WindowBits() != want {
				t.Errorf("window bits %d", s.WindowBits())
			}
		})
	}
}

// A session that waits for an answer can be moved with what it has said.
func TestHeldInputGoesAlong(t *testing.T) {
	o := open(t, 4, nil)
	g, e := o.enter(1), o.engines[1]
	g.say(text("hold") + text("one") + text("two"))
	s := e.At(0)
	k, ok := e.Unplug(s)
	if !ok {
		t.Fatal("it stays")
	}
	other := o.engines[2].Seat(&o.guests)
	if !o.engines[2].Plug(other, k, nil, false, 0) {
		t.Fatal("it is not taken")
	}
	g.want(frame(ws.OpText, "one") + frame(ws.OpText, "two"))
	e.Drop(s, metrics.ReasonBackend)
	g.say(text("three"))
	g.want(frame(ws.OpText, "three"))
}

// A socket that is dead when it is plugged in ends the session, and what was queued
// is given back.
func TestPlugOfADeadSocket(t *testing.T) {
	o := open(t, 1, nil)
	e := o.engines[0]
	s := e.Seat(&o.guests)
	e.Write(s, ws.OpText, make([]byte, 1000))
	e.Flush(s)
	g := o.connect(0)
	g.say(request("/wait"))
	newcomer := o.waiting()
	k, _ := e.Unplug(newcomer)
	e.Free(newcomer)
	g.Reset()
	o.pass(0)
	o.heard()
	if !e.Plug(s, k, []byte(welcome), false, 0) {
		t.Fatal("it is not taken")
	}
	o.pass(0)
	o.wantHeard("ending, socket true; gone from open: reset")
	if used := o.set.Budget.Used(); used != 0 {
		t.Errorf("%d bytes of the budget are lost", used)
	}
	if n := o.world.Open(); n != 1 {
		t.Errorf("%d descriptors are open, want the listener's", n)
	}
}

// A dialled socket is a client's wherever it is.
func TestDialledSocketMoves(t *testing.T) {
	o := open(t, 4, nil)
	var server *guest
	o.world.Service = func(_ netip.AddrPort, p *netpolltest.Peer) bool {
		server = &guest{Peer: p, o: o}
		return true
	}
	s, err := o.engines[0].Dial(netip.MustParseAddrPort("192.0.2.1:80"), &o.guests)
	if err != nil {
		t.Fatal(err)
	}
	o.pass(Tick)
	server.hear()
	server.say(welcome)
	heard := newListener(t, server)
	heard.all()
	k, ok := o.engines[0].Unplug(s)
	if !ok {
		t.Fatal("it stays")
	}
	other := o.engines[3].Seat(&o.guests)
	o.engines[3].Plug(other, k, nil, false, 0)
	server.say(frame(ws.OpText, "moved?"))
	if got := strings.Join(heard.all(), ", "); got != "moved?" {
		t.Errorf("the server heard %q", got)
	}
}
