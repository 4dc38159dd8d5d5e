package engine

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/gatewaytest"
	"sluice/metrics"
)

func TestOwnerHearsOfAWholeVisit(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		o := open(t, loops, nil)
		g := o.connect(loops - 1)
		g.say(request("/in")[:20])
		o.wantHeard("came")
		g.say(request("/in")[20:] + text("at once"))
		o.wantHeard("head of /in")
		if want := text("at once"); string(o.rest) != want {
			t.Errorf("behind the head came %q, want %q", o.rest, want)
		}
		g.want(welcome + frame(ws.OpText, "at once"))
		g.say(text("one") + text("two") + control(ws.OpPing, "?"))
		g.want(frame(ws.OpText, "one") + frame(ws.OpText, "two") + frame(ws.OpPong, "?"))
		g.say(control(ws.OpClose, "\x03\xe8"))
		g.wantEnd(goodbye(1000, ""))
		o.wantHeard("ending, socket false; gone from leaving: client_close")
		for _, e := range o.engines {
			if c := e.Counts(); c != (Counts{}) {
				t.Errorf("%+v are left", c)
			}
		}
		if n := o.set.Pending.Load(); n != 0 {
			t.Errorf("%d are pending", n)
		}
	})
}

func TestHeadsThatAreNoHeadsAreTheOwnersToRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		say  string
		wait time.Duration
		want string
	}{
		"malformed": {"\x16\x03\x01\x02\x00", 0, "came; bad head: 400, 5 bytes"},
		"too long":  {"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 5<<10), 0, "came; bad head: 431, 4096 bytes"},
		"too slow":  {"GET / HTTP/1.1\r\nX: ", 11 * Tick, "came; bad head: 408, 19 bytes"},
		"never":     {"", 11 * Tick, "came; bad head: 408, 0 bytes"},
		"refused":   {request("/no"), 0, "came; head of /no"},
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, 1, nil)
			g := o.connect(0)
			g.say(c.say)
			o.pass(c.wait)
			o.wantHeard(c.want)
			if got, err := g.hear(); !strings.HasPrefix(got, "HTTP/1.1 4") || err != io.EOF {
				t.Fatalf("got %q, %v", got, err)
			}
			if got := o.engines[0].Counts().Departing; got != 1 {
				t.Errorf("%d depart", got)
			}
			g.Close()
			o.pass(0)
			o.wantHeard("gone from leaving: eof")
		})
	}
}

// Who is kept waiting is not read, and loses nothing.
func TestWhoWaitsIsServedAfterwards(t *testing.T) {
	o := open(t, 1, nil)
	g := o.connect(0)
	g.say(request("/wait") + text("one"))
	g.say(text("two"))
	o.pass(100 * Tick) // somebody else has the deadline
	g.want("")
	for s := range o.kept {
		_, rest := s.Kept()
		(&room{o, 0}).let(s, rest)
		o.engines[0].Resume(s)
	}
	g.want(welcome + frame(ws.OpText, "one") + frame(ws.OpText, "two"))
	o.wantHeard("came; head of /wait")
}

func TestAHoldStopsMessagesUntilItIsReleased(t *testing.T) {
	o := open(t, 1, nil)
	g, other := o.enter(0), o.enter(0)
	g.say(text("hold") + text("one") + control(ws.OpPing, "?"))
	g.want("")
	g.say(text("two"))
	g.want("")
	other.say(text("meanwhile"))
	other.want(frame(ws.OpText, "meanwhile"))
	s := o.engines[0].At(0)
	if !s.Holding() || !s.Parked() || !s.Held(HoldEvent) || s.Held(HoldOwner) {
		t.Error("it is not held")
	}
	s.Hold(HoldOwner)
	s.Release(HoldEvent)
	o.engines[0].Resume(s)
	g.want("") // one reason is left
	s.Release(HoldOwner)
	o.engines[0].Resume(s)
	g.want(frame(ws.OpText, "one") + frame(ws.OpPong, "?") + frame(ws.OpText, "two"))
}

// Who does not read is not answered beyond high water, and closed beyond the
// bound of its class, which a reload swaps.
func TestWhoDoesNotReadIsHeldAndThenClosed(t *testing.T) {
	o := open(t, 1, nil)
	o.world.Room = 1000
	g, other := o.enter(0), o.enter(0)
	s, chunk := o.engines[0].At(0), strings.Repeat("x", 500)
	for range 2000 {
		if s.Held(HoldQueue) {
			break
		}
		g.say(text(chunk))
	}
	if !s.Held(HoldQueue) || s.Queued() < highWater {
		t.Fatalf("not held, with %d bytes queued", s.Queued())
	}
	if c := o.engines[0].Counts(); c.Stalled != 1 {
		t.Errorf("%+v", c)
	}
	other.say(text("meanwhile"))
	other.want(frame(ws.OpText, "meanwhile"))
	l := *o.guests.Limits()
	l.Queue = 10 << 10
	o.guests.Set(&l)
	o.engines[0].Write(s, ws.OpText, []byte("a push"))
	o.engines[0].Flush(s)
	o.heard()
	for !g.Gone() && o.heard() == "" {
		if _, err := g.hear(); err != nil {
			break
		}
		o.pass(0)
	}
	g.Close()
	o.pass(0)
	if s.State() != Vacant {
		t.Errorf("it is in state %d", s.State())
	}
	other.say(text("afterwards"))
	other.want(frame(ws.OpText, "afterwards"))
}

func TestDeadlinesOfTheEngineAndOfItsOwner(t *testing.T) {
	o := open(t, 1, nil)
	g := o.enter(0)
	o.heard()
	o.due = o.engines[0].Now() + 7
	o.engines[0].Hasten(o.engines[0].At(0), o.due)
	o.pass(6 * Tick)
	o.wantHeard("")
	o.pass(2 * Tick)
	o.wantHeard("due")
	for range 2 {
		for ticks := 0; g.Waiting() == 0; ticks++ {
			if ticks > 105 {
				t.Fatal("no ping has come")
			}
			o.pass(Tick)
		}
		g.want(frame(ws.OpPing, ""))
		g.say(control(ws.OpPong, ""))
	}
	o.pass(130 * Tick)
	o.wantHeard("ending, socket true; gone from open: heartbeat")
	if !g.Gone() {
		g.hear()
	}
	part := o.enter(0)
	o.heard()
	part.say(text("never whole")[:5])
	o.pass(22 * Tick)
	part.wantEnd(goodbye(1008, "message not complete in time"))
	o.pass(6 * Tick)
	o.wantHeard("ending, socket false; gone from leaving: message_age")
}

func TestPanicEndsOneStream(t *testing.T) {
	o := open(t, 1, nil)
	g, other := o.enter(0), o.enter(0)
	o.heard()
	g.say(text("before") + text("panic"))
	o.wantHeard("broken; gone from closing: panic")
	other.say(text("after"))
	other.want(frame(ws.OpText, "after"))
	if n := o.engines[0].Used(); n != 1 {
		t.Errorf("%d slots are used", n)
	}
}

func TestOurCloseIsAnswered(t *testing.T) {
	o := open(t, 1, nil)
	g := o.enter(0)
	o.heard()
	g.say(text("close") + text("too late"))
	g.want(goodbye(1000, "bye"))
	o.wantHeard("")
	g.say(control(ws.OpClose, "\x03\xe8"))
	g.wantEnd("")
	o.wantHeard("ending, socket false; gone from leaving: backend")
	silent := o.enter(0)
	o.heard()
	silent.say(text("close"))
	silent.want(goodbye(1000, "bye"))
	o.pass(7 * Tick)
	o.wantHeard("gone from closing: close_timeout")
}

// The bound of the silent is the engine's; the one that has been silent for
// longest goes.
func TestSilentStreamsPastTheBoundGo(t *testing.T) {
	o := open(t, 1, nil)
	o.set.Waiting.Store(3)
	var guests []*guest
	for range 5 {
		guests = append(guests, o.connect(0))
		o.pass(0)
	}
	if c := o.engines[0].Counts(); c.Silent != 3 || c.Used != 3 {
		t.Fatalf("%+v", c)
	}
	for i, g := range guests {
		_, err := g.hear()
		if went := err != nil; went != (i < 2) {
			t.Errorf("guest %d: %v", i, err)
		}
	}
	last := guests[4]
	last.say(request("/in"))
	last.want(welcome)
}

func TestWithoutRoomWhoWaitsLongestGoes(t *testing.T) {
	o := open(t, 1, nil)
	session, silent := o.enter(0), o.connect(0)
	o.pass(0)
	o.full = true
	newcomer := o.connect(0)
	o.pass(0)
	newcomer.wantRefused(503)
	silent.wantRefused(503)
	session.say(text("still here"))
	session.want(frame(ws.OpText, "still here"))
}

// A socket that is taken away has a slot no more, and can come back, to another
// engine too, with what was read of it.
func TestSocketIsTakenAndComesBack(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		o := open(t, loops, nil)
		g := o.connect(0)
		g.say(request("/away"))
		o.wantHeard("came; head of /away")
		if n := o.engines[0].Used(); n != 0 || o.set.Pending.Load() != 0 {
			t.Errorf("%d slots are used", n)
		}
		o.engines[loops-1].TakeOver(o.taken, []byte(request("/in")+text("hello")), o.over)
		g.want(welcome + frame(ws.OpText, "hello"))
		o.wantHeard("came; head of /in")
		if n := o.engines[loops-1].Used(); n != 1 {
			t.Errorf("%d slots are used", n)
		}
	})
}

// Who finds no buffer waits, and goes on when there is one.
func TestWhoFindsNoBufferWaits(t *testing.T) {
	o := open(t, 1, nil)
	g := o.enter(0)
	e, pressed := o.engines[0], 0
	o.pressed = func() { pressed++ }
	others := o.set.Budget.Limit() - 100
	o.set.Budget.Take(int(others))
	long := text(strings.Repeat("x", 2000))
	g.say(long[:1500])
	s := e.At(0)
	if pressed == 0 || !s.Held(HoldPressure) || !e.Thirsty() {
		t.Fatalf("pressed %d times, held %t", pressed, s.Held(HoldPressure))
	}
	o.set.Budget.Give(int(others))
	var q Quench
	for !q.Run(e, time.Millisecond) {
	}
	g.say(long[1500:])
	g.want(frame(ws.OpText, strings.Repeat("x", 2000)))
	if s.Held(HoldPressure) {
		t.Error("it is held still")
	}
}

// Whose input was taken waits for no buffer any more.
func TestWhoseInputWasTakenIsNotThirsty(t *testing.T) {
	o := open(t, 1, nil)
	g := o.enter(0)
	e := o.engines[0]
	others := o.set.Budget.Limit() - 100
	o.set.Budget.Take(int(others))
	g.say(text(strings.Repeat("x", 2000))[:1500])
	s := e.At(0)
	if !s.Held(HoldPressure) {
		t.Fatal("it has found a buffer")
	}
	h, r := e.TakeInput(s)
	if s.Held(HoldPressure) || e.Thirsty() {
		t.Error("it is thirsty still")
	}
	e.GiveBack(h)
	e.ReleaseReader(&r)
	e.Drop(s, metrics.ReasonBackend)
	o.set.Budget.Give(int(others))
	if used := o.set.Budget.Used(); used != 0 {
		t.Errorf("%d bytes are charged", used)
	}
}
