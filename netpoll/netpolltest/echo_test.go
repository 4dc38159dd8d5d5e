package netpolltest_test

import (
	"fmt"
	"hash/fnv"
	"io"
	"testing"
	"time"

	"sluice/netpoll"
	"sluice/netpoll/netpolltest"
)

// echo is a server that keeps to the rules of the edge, and to nothing else: what it reads it writes.
type echo struct {
	t        *testing.T
	system   netpoll.System
	listener *netpolltest.Listener
	conns    map[*echoed]bool
	forget   string // a rule that it breaks
}

type echoed struct {
	conn    netpoll.Conn
	waiting []byte
	ended   bool
	missed  netpoll.Event
	polled  netpoll.Event
}

func (s *echo) accept(netpoll.Event) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		e := &echoed{conn: c}
		e.polled = interest(e)
		s.conns[e] = true
		if err := s.system.Add(c.FD(), interest(e), func(ev netpoll.Event) { s.handle(e, ev) }); err != nil {
			s.t.Fatal(err)
		}
	}
}

func interest(e *echoed) netpoll.Event {
	ev := netpoll.In | netpoll.ReadHup | netpoll.Edge
	if len(e.waiting) > 0 {
		ev |= netpoll.Out
	}
	return ev
}

func (s *echo) handle(e *echoed, ev netpoll.Event) {
	if !e.conn.Open() { // a stale event
		return
	}
	if len(e.waiting) > 0 {
		e.missed |= ev
		if !s.write(e) {
			return
		}
		ev, e.missed = ev|e.missed, 0
	}
	var p [64]byte
	for e.conn.Open() && !e.ended {
		n, err := s.system.Read(e.conn, p[:])
		switch {
		case err == netpoll.ErrWouldBlock:
			return
		case err == io.EOF:
			e.ended = true
			s.write(e)
			return
		case err != nil:
			s.drop(e)
			return
		}
		e.waiting = append(e.waiting, p[:n]...)
		if !s.write(e) {
			e.missed |= ev | netpoll.In
			return
		}
		if n < len(p) && (ev&(netpoll.ReadHup|netpoll.Hup|netpoll.Err) == 0 || s.forget == "the end behind a short read") {
			return
		}
	}
}

// write reports whether nothing waits any more.
func (s *echo) write(e *echoed) bool {
	for len(e.waiting) > 0 {
		n, err := s.system.Write(e.conn, e.waiting)
		if err != nil && err != netpoll.ErrWouldBlock {
			s.drop(e)
			return false
		}
		e.waiting = e.waiting[n:]
		if err == netpoll.ErrWouldBlock {
			s.poll(e)
			return false
		}
	}
	if e.ended {
		s.drop(e)
		return false
	}
	s.poll(e)
	return true
}

// poll asks for what is of interest now. Mod reports what is ready once more, so it must not be called for nothing.
func (s *echo) poll(e *echoed) {
	if ev := interest(e); ev != e.polled && s.forget != "Mod" {
		e.polled = ev
		s.system.Mod(e.conn.FD(), ev)
	}
}

func (s *echo) drop(e *echoed) {
	delete(s.conns, e)
	if s.forget != "Del" {
		s.system.Del(e.conn.FD())
	}
	s.system.Close(&e.conn)
}

// outcome is what became of one seed's run.
type outcome struct {
	trace   uint64
	missing int // peers that ended in peace and lack some of their echo
	left    int // connections that the servers still have
	open    int // descriptors
	resets  int
}

// play lets peers talk to echo servers on so many loops.
func play(t *testing.T, seed uint64, loops int, forget string) (o outcome) {
	w := netpolltest.New(seed)
	w.Room = 1 + w.Rand().IntN(200)
	trace := fnv.New64a()
	w.Trace = func(format string, args ...any) { fmt.Fprintf(trace, format+"\n", args...) }
	var servers []*echo
	var listeners []*netpolltest.Listener
	for range loops {
		l, err := w.Listen()
		if err != nil {
			t.Fatal(err)
		}
		s := &echo{t: t, system: w.System(), listener: l, conns: make(map[*echoed]bool), forget: forget}
		if err := s.system.Add(l.FD(), netpoll.In, s.accept); err != nil {
			t.Fatal(err)
		}
		servers, listeners = append(servers, s), append(listeners, l)
	}
	var talkers []*talker
	for range 8 {
		p, err := w.Dial(listeners...)
		if err != nil {
			t.Fatal(err)
		}
		k := &talker{world: w, peer: p, want: 1 + w.Rand().IntN(500), rude: w.Rand().IntN(4) == 0}
		talkers = append(talkers, k)
		w.After(0, k.act)
	}
	w.Pass(time.Second, 100_000)
	for _, k := range talkers {
		switch {
		case k.rude:
			o.resets++
		case k.got != k.want || !k.ended:
			o.missing++
		}
	}
	for _, s := range servers {
		o.left += len(s.conns)
	}
	o.open, o.trace = w.Open()-loops, trace.Sum64()
	return o
}

// talker is a peer that sends, reads what comes back, and leaves, some of them by a reset.
type talker struct {
	world           *netpolltest.World
	peer            *netpolltest.Peer
	sent, got, want int
	rude, ended     bool
}

func (k *talker) act() {
	r := k.world.Rand()
	if k.sent < k.want {
		n := 1 + r.IntN(k.want-k.sent)
		k.sent += k.peer.Write(make([]byte, n))
		if k.sent == k.want {
			k.peer.CloseWrite()
		}
	}
	if k.rude && r.IntN(8) == 0 {
		k.peer.Reset()
		return
	}
	b, err := k.peer.Read(1 + r.IntN(100))
	k.got += len(b)
	if err == io.EOF {
		k.ended = true
		k.peer.Close()
		return
	}
	if !k.peer.Gone() {
		k.world.After(time.Duration(r.IntN(1000))*time.Microsecond, k.act)
	}
}

func TestAServerThatKeepsTheRulesLosesNothing(t *testing.T) {
	for _, loops := range []int{1, 4} {
		for seed := range uint64(300) {
			if o := play(t, seed, loops, ""); o.missing+o.left+o.open > 0 {
				t.Fatalf("seed %d, %d loops: %+v", seed, loops, o)
			}
		}
	}
}

func TestASeedRepeatsItself(t *testing.T) {
	for seed := range uint64(20) {
		if a, b := play(t, seed, 4, ""), play(t, seed, 4, ""); a != b {
			t.Fatalf("seed %d: %+v, and then %+v", seed, a, b)
		}
	}
	if play(t, 1, 4, "").trace == play(t, 2, 4, "").trace {
		t.Error("two seeds have the same trace")
	}
}

func TestAServerThatBreaksARuleIsFoundOut(t *testing.T) {
	for _, rule := range []string{"Mod", "the end behind a short read", "Del"} {
		const most = 300
		seed := uint64(0)
		for ; seed < most && !foundOut(t, seed, rule); seed++ {
		}
		if seed == most {
			t.Errorf("no seed finds out who forgets %s", rule)
			continue
		}
		t.Logf("seed %d finds out who forgets %s", seed, rule)
	}
}

// foundOut reports whether a run with the seed goes wrong for a server that forgets a rule.
func foundOut(t *testing.T, seed uint64, rule string) (wrong bool) {
	defer func() {
		if v := recover(); v != nil {
			wrong = true // the kernel would have done it to a stranger's descriptor
		}
	}()
	o := play(t, seed, 1, rule)
	return o.missing+o.left+o.open > 0
}
