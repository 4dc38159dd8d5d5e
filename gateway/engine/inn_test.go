package engine

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/engine/transport"
	"sluice/gateway/engine/transport/transporttest"
	"sluice/gateway/handshake"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/netpoll/netpolltest"
	"sluice/session"
)

// inn is an owner for tests. What it does with a client stands in the request:
// /in lets it in, /wait keeps it waiting, /no refuses it, and /away takes its
// socket. It echoes messages, but does what they say: "hold", "close", "panic".
type inn struct {
	t       *testing.T
	world   *netpolltest.World
	engines []*Engine
	set     *Set
	guests  Class
	doors   []*netpolltest.Listener

	full    bool     // no newcomer has room
	told    []string // what the owner has heard, but for messages
	rest    []byte   // what came behind the last head
	taken   netpoll.Conn
	over    *transport.State // that of taken
	maker   transport.Maker  // nil: streams are plain
	due     session.Tick     // an owner's deadline, if not 0
	pressed func()
	kept    map[*Stream]bool
	panics  map[string]int // how often callbacks panic, by name
	drops   string         // the callback that drops its stream
	runs    map[int]bool   // engines that let newcomers in
}

func open(t *testing.T, loops int, change func(*Limits)) *inn {
	var m transport.Maker
	if strings.HasPrefix(t.Name(), "TestOverATransport/") {
		m = &transporttest.Scrambler{Seed: 1}
	}
	return openWith(t, loops, m, change)
}

func openWith(t *testing.T, loops int, m transport.Maker, change func(*Limits)) *inn {
	o := &inn{t: t, world: netpolltest.New(1), maker: m, kept: make(map[*Stream]bool), runs: make(map[int]bool)}
	o.set = &Set{
		Engines: loops,
		Budget:  session.NewBudget(8 << 20),
		Metrics: metrics.New(metrics.Options{Loops: loops}),
		Log:     slog.New(slog.DiscardHandler),
		Reserve: o.world.Reserve(),
	}
	o.set.Waiting.Store(100)
	l := &Limits{
		Head: 4 << 10, HeadTime: 10,
		Message: session.Limits{Message: 128 << 10, Fragments: 100}, MessageAge: 20,
		Read:     ReadSize,
		Interval: 100, Timeout: 20,
		Control: session.NewRate(100, 100),
		Queue:   256 << 10, QueueAge: 30, CloseTime: 5,
	}
	if change != nil {
		change(l)
	}
	o.set.Newcomers.Set(l)
	o.guests.Set(l)
	o.guests.Counts = o.set.Metrics.Hub("guests")
	for i := range loops {
		door, err := o.world.Listen()
		if err != nil {
			t.Fatal(err)
		}
		e, err := New(o.set, i, o.world.System(), Over([]Listener{door}, o.maker), 1, &room{o, i})
		if err != nil {
			t.Fatal(err)
		}
		o.engines, o.doors = append(o.engines, e), append(o.doors, door)
		e.Wake()
	}
	o.pass(Tick)
	t.Cleanup(o.sound)
	return o
}

// sound holds what must be true of engines at rest.
func (o *inn) sound() {
	o.t.Helper()
	for i, e := range o.engines {
		if err := errors.Join(e.Idle(), e.Check()); err != nil {
			o.t.Errorf("engine %d: %v", i, err)
		}
	}
}

// pass lets d go by.
func (o *inn) pass(d time.Duration) {
	o.t.Helper()
	if !o.world.Pass(d, 100_000) {
		o.t.Fatal("the world does not come to rest")
	}
	o.sound()
}

func (o *inn) tell(format string, args ...any) { o.told = append(o.told, fmt.Sprintf(format, args...)) }

// heard is what the owner was told since it was asked last.
func (o *inn) heard() string {
	s := strings.Join(o.told, "; ")
	o.told = nil
	return s
}

// falls panics if the callback is to, and reports whether it has dropped s.
func (r *room) falls(callback string, s *Stream) bool {
	o := r.inn
	if o.drops == callback {
		o.drops = ""
		r.engine().Drop(s, metrics.ReasonBackend)
		return true
	}
	if o.panics[callback] > 0 {
		o.panics[callback]--
		panic(callback + " panics")
	}
	return false
}

// room is the owner of one engine.
type room struct {
	*inn
	index int
}

func (r *room) engine() *Engine { return r.engines[r.index] }

func (r *room) Room() bool { return !r.full }
func (r *room) Came(s *Stream) {
	r.tell("came")
	r.falls("Came", s)
}
func (r *room) Woken() {
	if r.runs[r.index] { // it was a transport that woke the engine
		return
	}
	r.runs[r.index] = true
	if err := r.engine().Run(); err != nil {
		r.t.Error(err)
	}
}
func (r *room) Ticked() {}
func (r *room) Pressed() {
	if r.pressed != nil {
		r.pressed()
	}
}

func (r *room) Head(s *Stream, head, rest []byte) {
	if r.falls("Head", s) {
		return
	}
	r.rest = bytes.Clone(rest)
	if s.Role() == session.Client {
		line, _, _ := strings.Cut(string(head), "\r\n")
		r.tell("answer %s", line)
		if !strings.HasPrefix(line, "HTTP/1.1 101 ") {
			r.engine().Drop(s, metrics.ReasonReset)
			return
		}
		kept := r.engine().Accept(s, nil, false, 0)
		r.engine().Write(s, ws.OpText, []byte("hello"))
		if len(rest) > 0 {
			r.engine().Take(s, rest)
		}
		r.engine().Flush(s)
		r.engine().GiveBack(kept)
		return
	}
	_, target, _ := strings.Cut(string(head), " ")
	target, _, _ = strings.Cut(target, " ")
	r.tell("head of %s", target)
	switch target {
	case "/in":
		r.let(s, rest)
	case "/wait":
		if !r.engine().Keep(s, head, rest) {
			r.refuse(s, ErrBusy)
		}
		r.kept[s] = true
	case "/away":
		r.taken, r.over = r.engine().Detach(s)
		r.engine().Free(s)
	default:
		r.refuse(s, &handshake.Error{Status: http.StatusForbidden, Reason: "no"})
	}
}

const welcome = "HTTP/1.1 101 Welcome\r\n\r\n"

func (r *room) let(s *Stream, rest []byte) {
	e := r.engine()
	s.Enter(&r.guests)
	kept := e.Accept(s, append(e.Out(), welcome...), false, 0)
	if len(rest) > 0 {
		e.Take(s, rest)
	}
	e.Flush(s)
	e.GiveBack(kept)
}

func (r *room) refuse(s *Stream, e *handshake.Error) {
	r.engine().Refuse(s, handshake.AppendResponse(r.engine().Out(), e, handshake.Answer{}))
}

func (r *room) Dialled(s *Stream) {
	r.tell("dialled")
	r.engine().Ask(s, []byte(request("/")))
}

func (r *room) BadHead(s *Stream, got []byte, err error) {
	if r.falls("BadHead", s) {
		return
	}
	var e *handshake.Error
	if !errors.As(err, &e) {
		r.t.Errorf("a head is refused with %v", err)
		return
	}
	r.tell("bad head: %d, %d bytes", e.Status, len(got))
	if s.Role() == session.Client {
		r.engine().Drop(s, metrics.ReasonReset)
		return
	}
	r.refuse(s, e)
}

func (r *room) Message(s *Stream, op ws.OpCode, payload []byte) {
	if r.falls("Message", s) {
		return
	}
	e := r.engine()
	switch string(payload) {
	case "hold":
		s.Hold(HoldEvent)
	case "close":
		e.Close(s, ws.StatusNormalClosure, metrics.ReasonBackend, "bye")
	case "panic":
		panic("as it was told to")
	default:
		e.Write(s, op, payload)
	}
}

func (r *room) Due(s *Stream) (session.Tick, bool) {
	if r.falls("Due", s) {
		return 0, false
	}
	if r.due == 0 {
		return 0, false
	}
	if !r.engine().Now().Before(r.due) {
		r.due = 0
		r.tell("due")
		return 0, false
	}
	return r.due, true
}

func (r *room) Ending(s *Stream, socket bool) {
	r.falls("Ending", s)
	r.tell("ending, socket %t", socket)
}

func (r *room) Gone(s *Stream, from State) {
	r.falls("Gone", s)
	r.tell("gone from %v: %v", from, s.Reason())
	r.engine().Free(s)
}

func (r *room) Broken(s *Stream) {
	r.falls("Broken", s)
	r.tell("broken")
	if s.State() == Gone {
		r.engine().Free(s)
		return
	}
	r.engine().Cut(s, metrics.ReasonPanic)
}

// connect connects to the engine of that index.
func (o *inn) connect(index int) *guest {
	o.t.Helper()
	p, err := o.world.Dial(o.doors[index])
	if err != nil {
		o.t.Fatal(err)
	}
	g := &guest{Peer: p, o: o}
	if o.maker != nil {
		g.shakeHands()
	}
	return g
}

// enter connects and is let in.
func (o *inn) enter(index int) *guest {
	o.t.Helper()
	g := o.connect(index)
	g.say(request("/in"))
	g.want(welcome)
	return g
}

func request(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func text(s string) string {
	return string(session.AppendMasked(nil, ws.OpText, []byte(s), [4]byte{1, 2, 3, 4}))
}

func control(op ws.OpCode, s string) string {
	return string(session.AppendMasked(nil, op, []byte(s), [4]byte{1, 2, 3, 4}))
}

func frame(op ws.OpCode, s string) string { return string(session.AppendFrame(nil, op, []byte(s))) }

func goodbye(code ws.StatusCode, reason string) string {
	return string(session.AppendClose(nil, code, reason))
}

func (o *inn) wantHeard(s string) {
	o.t.Helper()
	if got := o.heard(); got != s {
		o.t.Fatalf("the owner heard %q, want %q", got, s)
	}
}
