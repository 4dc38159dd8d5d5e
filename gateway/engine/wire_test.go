package engine

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/engine/transport/transporttest"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// What an engine does it does over a transport as well.
func TestOverATransport(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"a whole visit":         TestOwnerHearsOfAWholeVisit,
		"heads that are none":   TestHeadsThatAreNoHeadsAreTheOwnersToRefuse,
		"kept waiting":          TestWhoWaitsIsServedAfterwards,
		"holds":                 TestAHoldStopsMessagesUntilItIsReleased,
		"not read":              TestWhoDoesNotReadIsHeldAndThenClosed,
		"deadlines":             TestDeadlinesOfTheEngineAndOfItsOwner,
		"panic":                 TestPanicEndsOneStream,
		"our close":             TestOurCloseIsAnswered,
		"silent ones":           TestSilentStreamsPastTheBoundGo,
		"no room":               TestWithoutRoomWhoWaitsLongestGoes,
		"the socket comes back": TestSocketIsTakenAndComesBack,
		"no buffer":             TestWhoFindsNoBufferWaits,
		"moves":                 TestSocketMovesToASessionThatIsThere,
		"cannot move":           TestSocketsThatCannotMoveStay,
		"held goes along":       TestHeldInputGoesAlong,
		"dead":                  TestPlugOfADeadSocket,
	} {
		t.Run(name, test)
	}
}

// openOver is open where streams have a transport, of which change makes something
// special.
func openOver(t *testing.T, change func(*transporttest.Scrambler)) *inn {
	m := &transporttest.Scrambler{Seed: 1}
	if change != nil {
		change(m)
	}
	return openWith(t, 1, m, nil)
}

// A record that has come in part is charged, and ages, as a part of a message does.
func TestPartOfARecordIsChargedAndAges(t *testing.T) {
	o := openOver(t, nil)
	g, other := o.enter(0), o.enter(0)
	s := o.engines[0].At(0)
	o.heard()
	record := g.seal(text("never whole"))
	g.put(record[:10])
	o.pass(15 * Tick)
	if burden, used := int64(s.Burden()), o.set.Budget.Used(); burden == 0 || used != burden {
		t.Errorf("the stream holds %d bytes, and %d are charged", burden, used)
	}
	g.put(record[10:11]) // it is the same record still
	o.pass(4 * Tick)
	o.wantHeard("")
	o.pass(3 * Tick)
	other.say(text("meanwhile"))
	other.want(frame(ws.OpText, "meanwhile"))
	g.wantEnd(goodbye(1008, "message not complete in time"))
	o.pass(6 * Tick)
	o.wantHeard("ending, socket false; gone from leaving: message_age")
	if used := o.set.Budget.Used(); used != 0 {
		t.Errorf("%d bytes are charged still", used)
	}
}

// While messages of a stream wait, the rest of a record cannot come, and does not
// age.
func TestPartOfARecordDoesNotAgeWhileNothingIsRead(t *testing.T) {
	o := openOver(t, nil)
	g := o.enter(0)
	s := o.engines[0].At(0)
	held, record := g.seal(text("hold")+text("one")), g.seal(text("two"))
	g.put(append(held, record[:8]...))
	o.pass(50 * Tick)
	g.want("")
	g.put(record[8:])
	o.pass(0)
	s.Release(HoldEvent)
	o.engines[0].Resume(s)
	g.want(frame(ws.OpText, "one") + frame(ws.OpText, "two"))
}

// A peer that provokes answers and does not read them is not read either, and
// nobody else has to wait.
func TestWhoProvokesAndDoesNotReadIsNotRead(t *testing.T) {
	for _, when := range []string{"with the head", "between messages", "within a message"} {
		t.Run(when, func(t *testing.T) {
			early := when == "with the head"
			o := openOver(t, nil)
			o.world.Room = 1000
			e := o.engines[0]
			var g *guest
			if early {
				g = o.connect(0)
			} else {
				g = o.enter(0)
			}
			other := o.enter(0)
			s := e.At(0)
			var unsent []byte
			long := text(strings.Repeat("a long message", 100))
			want, whole := "", frame(ws.OpText, strings.Repeat("a long message", 100))
			for i := range 100 {
				g.scramble.Renew(10_000)
				p := text(fmt.Sprint("message ", i))
				want += frame(ws.OpText, fmt.Sprint("message ", i))
				if early && i == 0 {
					p, want = request("/in")+p, welcome+want
				}
				if when == "within a message" {
					p, long = long[:len(long)/(100-i)], long[len(long)/(100-i):]
					want = whole
				}
				unsent = append(unsent, g.seal(p)...)
			}
			for {
				n := g.Write(unsent)
				unsent = unsent[n:]
				o.pass(0)
				if n == 0 {
					break
				}
			}
			if len(unsent) == 0 || s.Queued() < highWater || s.Queued() > 2*highWater {
				t.Fatalf("%d bytes are unsent, and %d wait to be sent back", len(unsent), s.Queued())
			}
			other.say(text("meanwhile"))
			other.want(frame(ws.OpText, "meanwhile"))
			got := ""
			for ticks := 0; len(got) < len(want) && ticks < 10_000; ticks++ {
				p, err := g.hear()
				if got += p; err != nil {
					t.Fatal(err)
				}
				unsent = unsent[g.Write(unsent):]
				o.pass(0)
			}
			if got != want {
				t.Fatalf("got %d bytes, want %d", len(got), len(want))
			}
			if used := o.set.Budget.Used(); used != 0 || s.Queued() != 0 {
				t.Errorf("%d bytes are charged, %d wait", used, s.Queued())
			}
		})
	}
}

// Of a peer that is not read the rest is not read either, when its socket is about
// to be closed: whoever asks for it does so until there is an error.
func TestOfWhoIsNotReadThereIsNoRest(t *testing.T) {
	o := openOver(t, nil)
	o.world.Room = 100_000
	g := o.enter(0)
	o.world.Room = 1000
	e, s := o.engines[0], o.engines[0].At(0)
	for range 20 {
		g.scramble.Renew(10_000)
		g.Write(g.seal(text("hello")))
		o.pass(0)
	}
	if !s.choked() {
		t.Fatalf("it is read, with %d bytes that wait", s.Queued())
	}
	if p, err := e.ReadRest(s); err != netpoll.ErrWouldBlock {
		t.Errorf("%d bytes, %v", len(p), err)
	}
}

// What a peer provokes counts for how long it may take to read.
func TestWhatWasProvokedIsAsOldAsWhatIsQueued(t *testing.T) {
	o := openOver(t, nil)
	o.world.Room = 1000
	g := o.enter(0)
	o.heard()
	g.scramble.Renew(5000)
	g.say(text("hello"))
	if s := o.engines[0].At(0); s.Queued() < 3000 {
		t.Fatalf("%d bytes wait", s.Queued())
	}
	o.pass(32 * Tick)
	o.wantHeard("ending, socket false")
	if got := g.rest(); got != goodbye(1013, "too slow") { // the answer was not sealed yet
		t.Errorf("got %q", got)
	}
	o.pass(0)
	o.wantHeard("")
	g.Close()
	o.pass(0)
	o.wantHeard("gone from leaving: slow_consumer_age")
}

// rest is all that comes until the end, behind a farewell.
func (g *guest) rest() (s string) {
	g.o.t.Helper()
	for range 1000 {
		p, err := g.hear()
		s += p
		if err == io.EOF {
			return s
		}
		if err != nil {
			g.o.t.Fatalf("behind %d bytes: %v", len(s), err)
		}
		g.o.pass(0)
	}
	g.o.t.Fatal("no end")
	return s
}

// A queue is cut, and expires, in what is not sealed: who reads again finds whole
// records, of whole frames.
func TestOnlyWhatIsNotSealedIsCut(t *testing.T) {
	o := openOver(t, nil)
	o.world.Room = 1000
	g := o.enter(0)
	e, s := o.engines[0], o.engines[0].At(0)
	o.heard()
	push := func(i int) string { return fmt.Sprintf("%04d", i) + strings.Repeat("x", 7000) }
	for i := range 100 {
		if s.State() == Open {
			e.Write(s, ws.OpText, []byte(push(i)))
			e.Flush(s)
		}
	}
	o.wantHeard("ending, socket false")
	want, got := "", g.rest()
	for i := range 4 { // the first did not wait, the second record has two and a part
		want += frame(ws.OpText, push(i))
		if got == want+goodbye(1013, "too slow") {
			return
		}
	}
	t.Errorf("got %d bytes: %q…", len(got), got[:min(len(got), 20)])
}

func TestOnlyWhatIsNotSealedExpires(t *testing.T) {
	o := openOver(t, nil)
	o.world.Room = 1000
	g := o.enter(0)
	e, s := o.engines[0], o.engines[0].At(0)
	first, gone, last := strings.Repeat("a", 10_000), strings.Repeat("b", 10_000), strings.Repeat("c", 10_000)
	for _, push := range []string{first, gone} {
		f := session.NewShared([]byte(frame(ws.OpText, push)), nil)
		e.SendShared(s, f, 5)
		f.Release()
	}
	e.Write(s, ws.OpText, []byte(last))
	e.Flush(s)
	o.pass(10 * Tick)
	e.Close(s, ws.StatusNormalClosure, metrics.ReasonBackend, "")
	e.Flush(s)
	var got string
	for range 100 {
		p, _ := g.hear()
		got += p
		o.pass(0)
	}
	if want := frame(ws.OpText, first) + frame(ws.OpText, last) + goodbye(1000, ""); got != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

// A record that is no record ends the stream: the peer is told by the transport,
// and of its session nothing more is said.
func TestBadRecordEndsTheStream(t *testing.T) {
	o := openOver(t, nil)
	g, other := o.enter(0), o.enter(0)
	o.heard()
	record := g.seal(text("hello"))
	record[len(record)-1] ^= 1
	g.put(append(record, g.seal(text("not heard"))...))
	o.pass(0)
	if got, err := g.hear(); got != "" || err != transporttest.ErrAccused {
		t.Errorf("got %q, %v", got, err)
	}
	o.wantHeard("ending, socket false")
	g.Close()
	o.pass(0)
	o.wantHeard("gone from leaving: protocol_error")
	other.say(text("meanwhile"))
	other.want(frame(ws.OpText, "meanwhile"))
}

// Who does not get its transport up is refused in the transport's own form.
func TestWithoutATransportThereIsNoHead(t *testing.T) {
	for name, c := range map[string]struct {
		say  string
		wait time.Duration
		want string
	}{
		"nothing comes":         {"", 11 * Tick, "came; bad head: 408, 0 bytes"},
		"a part comes":          {"\x01\x00\x08", 11 * Tick, "came; bad head: 408, 0 bytes"},
		"something else comes":  {request("/in"), 0, "came; bad head: 400, 0 bytes"},
		"something early comes": {"\x03\x00\x00\x00\x00\x00\x00", 0, "came; bad head: 400, 0 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			o := openOver(t, nil)
			p, err := o.world.Dial(o.doors[0])
			if err != nil {
				t.Fatal(err)
			}
			g := &guest{Peer: p, o: o}
			g.scramble, _ = transporttest.NewClient(nil, 2)
			g.put([]byte(c.say))
			o.pass(c.wait)
			o.wantHeard(c.want)
			if got, err := g.hear(); got != "" || err != transporttest.ErrRefused && err != transporttest.ErrAccused {
				t.Errorf("got %q, %v", got, err)
			}
			if got := o.engines[0].Counts().Departing; got != 1 {
				t.Errorf("%d depart", got)
			}
			g.Close()
			o.pass(0)
			if used := o.set.Budget.Used(); used != 0 || o.engines[0].Used() != 0 {
				t.Errorf("%d bytes are charged, %d slots used", used, o.engines[0].Used())
			}
		})
	}
}

// A handshake may be worked on beside the engine, which reads nothing of that
// stream meanwhile, and serves the others.
func TestTransportMayWorkBesideTheEngine(t *testing.T) {
	var work []func()
	o := openOver(t, func(m *transporttest.Scrambler) { m.Beside = func(f func()) { work = append(work, f) } })
	do := func() {
		for _, f := range work {
			f()
		}
		work = nil
		o.pass(0)
	}
	slow := o.connect(0)
	slow.put([]byte{2, 0, 0}) // the beginning of what comes next
	o.pass(0)
	if slow.up || len(work) != 1 {
		t.Fatalf("up %t, %d at work", slow.up, len(work))
	}
	late := work
	work = nil
	g := o.connect(0)
	do()
	g.hear() // the server's hello; its answer follows
	g.say(request("/in"))
	g.want(welcome)
	gone := o.connect(0)
	gone.Close()
	o.pass(0)
	o.heard()
	do() // nobody is there
	o.pass(11 * Tick)
	o.wantHeard("gone from heading: eof; bad head: 408, 0 bytes")
	slow.wantRefused(408)
	late[0]() // too late
	o.pass(0)
	g.say(text("still here"))
	g.want(frame(ws.OpText, "still here"))
	last := o.connect(0)
	for _, e := range o.engines {
		e.All(func(s *Stream) { e.Drop(s, metrics.ReasonShutdown) })
		e.Stop()
	}
	for _, f := range work {
		f() // the engine has stopped
	}
	last.Close()
}

// Without a buffer for the rest of a record a stream cannot go on.
func TestWithoutABufferForARecordTheStreamIsDropped(t *testing.T) {
	o := openOver(t, nil)
	o.world.Room = 1000
	o.enter(0)
	other := o.enter(0)
	e, s := o.engines[0], o.engines[0].At(0)
	o.heard()
	o.set.Budget.Take(int(o.set.Budget.Limit()))
	for o.set.Budget.TakeReserved(256) {
	}
	e.Write(s, ws.OpText, make([]byte, 5000))
	e.Flush(s)
	o.wantHeard("ending, socket true; gone from open: memory")
	other.say(text("meanwhile"))
	other.want(frame(ws.OpText, "meanwhile"))
}

// A socket is taken away and comes back with a record in part both ways.
func TestTransportGoesAlongWithItsSocket(t *testing.T) {
	o := openOver(t, nil)
	o.world.Room = 1000
	g := o.connect(0)
	g.scramble.Renew(3000) // the answer does not fit
	away, next, two := g.seal(request("/away")), g.seal(request("/in")+text("one")), g.seal(text("two"))
	g.put(append(away, next[:20]...))
	o.pass(0)
	o.wantHeard("came; head of /away")
	if s := o.over; s == nil || len(s.Raw) != 20 || len(s.Sealed) == 0 || !s.Up {
		t.Fatalf("what has gone along: %+v", s)
	}
	if c := o.engines[0].Counts(); c != (Counts{}) {
		t.Errorf("%+v are left", c)
	}
	o.balanced()
	g.put(append(next[20:], two...))
	o.engines[0].TakeOver(o.taken, nil, o.over)
	want, got := welcome+frame(ws.OpText, "one")+frame(ws.OpText, "two"), ""
	for range 100 {
		o.pass(0)
		p, err := g.hear()
		if got += p; err != nil {
			t.Fatal(err)
		}
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	o.wantHeard("came; head of /in")
}

// Streams that are plain have nothing to do with any of this.
func TestPlainStreamsHaveNoLines(t *testing.T) {
	o := open(t, 1, nil)
	o.enter(0).say(text("hello"))
	if e := o.engines[0]; e.wires != nil || e.At(0).is(wired) {
		t.Error("there are lines")
	}
}
