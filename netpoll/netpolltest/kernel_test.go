package netpolltest_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/netpoll"
	"sluice/netpoll/netpolltest"
)

// A stage is a connection and its peer, on the kernel or in a world, for a script to play on. What is done there has arrived when
// the call returns.
type stage interface {
	peerWrite(n int)
	peerRead() string // all that has arrived
	peerCloseWrite()
	peerClose()
	peerReset()
	// on does something with the system and the connection on the loop, after all events so far.
	on(f func(netpoll.System, *netpoll.Conn))
	// events are those reported since the last call.
	events() netpoll.Event
	end()
}

// play carries out one step of a script, and says what was to be seen.
func (s step) play(on stage) string {
	seen := ""
	switch s.do {
	case "peer writes":
		on.peerWrite(s.n)
	case "peer reads":
		seen = on.peerRead()
	case "peer ends its direction":
		on.peerCloseWrite()
	case "peer closes":
		on.peerClose()
	case "peer resets":
		on.peerReset()
	case "read":
		on.on(func(sys netpoll.System, c *netpoll.Conn) {
			n, err := sys.Read(*c, make([]byte, s.n))
			seen = result(n, err)
		})
	case "write":
		on.on(func(sys netpoll.System, c *netpoll.Conn) {
			n, err := sys.Write(*c, make([]byte, s.n))
			seen = result(n, err)
		})
	case "end our direction":
		on.on(func(sys netpoll.System, c *netpoll.Conn) { seen = result(0, sys.CloseWrite(*c)) })
	case "ask for writing":
		on.on(func(sys netpoll.System, c *netpoll.Conn) { seen = result(0, sys.Mod(c.FD(), watched|netpoll.Out)) })
	case "ask again":
		on.on(func(sys netpoll.System, c *netpoll.Conn) { seen = result(0, sys.Mod(c.FD(), watched)) })
	}
	ev := on.events()
	if !strings.HasPrefix(s.do, "ask") {
		ev &^= netpoll.Out // an acknowledgement that comes late makes room whenever it likes
	}
	return fmt.Sprintf("%s: %s; events %#x", s, seen, uint32(ev))
}

const watched = netpoll.In | netpoll.ReadHup | netpoll.Edge

type step struct {
	do string
	n  int
}

func (s step) String() string { return fmt.Sprintf("%s %d", s.do, s.n) }

func result(n int, err error) string {
	var no unix.Errno
	switch {
	case err == nil:
		return fmt.Sprint(n)
	case err == io.EOF || err == netpoll.ErrWouldBlock:
		return err.Error()
	case errors.As(err, &no):
		return unix.ErrnoName(no)
	}
	return err.Error()
}

// script is a seeded one. Nothing overfills a socket's buffers: how much those hold is nobody's promise.
func script(seed uint64) []step {
	r := rand.New(rand.NewPCG(seed, 7))
	steps := make([]step, 4+r.IntN(12))
	for i := range steps {
		do := []string{"peer writes", "peer writes", "peer reads", "read", "read", "write", "ask again", "ask for writing",
			"peer ends its direction", "end our direction", "peer closes", "peer resets"}
		steps[i] = step{do[r.IntN(len(do))], 1 + r.IntN(100)}
	}
	return steps
}

// A busy machine may report one thing twice, or a step late. What the world shows must be what the kernel shows when it is not
// disturbed: at one of a few attempts.
func TestTheWorldIsLikeTheKernel(t *testing.T) {
	const attempts = 5
	for seed := range uint64(400) {
		want := perform(newWorldStage(t, seed), seed)
		for attempt := 1; ; attempt++ {
			got := perform(newKernelStage(t), seed)
			if got == want {
				break
			}
			if attempt == attempts {
				t.Fatalf("seed %d, on the kernel:\n%sin the world:\n%s", seed, got, want)
			}
		}
	}
}

// perform plays the script of a seed, and returns what was to be seen.
func perform(on stage, seed uint64) string {
	var story strings.Builder
	for _, s := range script(seed) {
		fmt.Fprintln(&story, s.play(on))
	}
	on.end()
	return story.String()
}

// worldStage plays in a world in which everything has arrived before the next step.
type worldStage struct {
	t      *testing.T
	world  *netpolltest.World
	system netpoll.System
	conn   netpoll.Conn
	peer   *netpolltest.Peer
	seen   netpoll.Event
	closed bool
}

func newWorldStage(t *testing.T, seed uint64) *worldStage {
	w := netpolltest.New(seed)
	s := &worldStage{t: t, world: w, system: w.System()}
	l, err := w.Listen()
	if err != nil {
		t.Fatal(err)
	}
	if s.peer, err = w.Dial(l); err != nil {
		t.Fatal(err)
	}
	if s.conn, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := s.system.Add(s.conn.FD(), watched, func(ev netpoll.Event) { s.seen |= ev }); err != nil {
		t.Fatal(err)
	}
	s.settle()
	return s
}

func (s *worldStage) settle() {
	if !s.world.Settle(1000) {
		s.t.Fatal("the world does not come to rest")
	}
}

func (s *worldStage) peerWrite(n int) { s.peer.Write(make([]byte, n)); s.settle() }
func (s *worldStage) peerCloseWrite() { s.peer.CloseWrite(); s.settle() }
func (s *worldStage) peerClose()      { s.closed = true; s.peer.Close(); s.settle() }
func (s *worldStage) peerReset()      { s.closed = true; s.peer.Reset(); s.settle() }
func (s *worldStage) end()            {}

func (s *worldStage) peerRead() string {
	if s.closed {
		return "closed"
	}
	return readAll(func(p []byte) (int, error) {
		b, err := s.peer.Read(len(p))
		return len(b), err
	})
}

func (s *worldStage) on(f func(netpoll.System, *netpoll.Conn)) {
	f(s.system, &s.conn)
	s.settle()
}

func (s *worldStage) events() netpoll.Event {
	ev := s.seen
	s.seen = 0
	return ev
}

// readAll reads until there is nothing, and says how much there was and how it ended.
func readAll(read func([]byte) (int, error)) string {
	sum, p := 0, make([]byte, 4096)
	for {
		n, err := read(p)
		sum += n
		if err != nil {
			return fmt.Sprint(sum, " ", result(0, err))
		}
	}
}

// kernelStage plays on sockets. Loopback delivers a segment within the call that sends it, and a doorbell that is rung twice
// is answered after every event that was there before.
type kernelStage struct {
	t        *testing.T
	system   netpoll.System
	conn     netpoll.Conn
	peer     *net.TCPConn
	closed   bool
	seen     netpoll.Event
	work     chan func()
	listener *netpoll.Listener
}

func newKernelStage(t *testing.T) *kernelStage {
	ls, err := netpoll.Listen("127.0.0.1:0", 1, netpoll.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &kernelStage{t: t, listener: ls[0], work: make(chan func(), 1)}
	if s.system, err = netpoll.NewSystem(func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	peer, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.peer = peer.(*net.TCPConn)
	if s.conn, err = s.listener.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := s.system.OnWake(func() {
		select {
		case f := <-s.work:
			f()
		default:
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.system.Add(s.conn.FD(), watched, func(ev netpoll.Event) { s.seen |= ev }); err != nil {
		t.Fatal(err)
	}
	return s
}

// inLoop has f run on the loop.
func (s *kernelStage) inLoop(f func()) {
	done := make(chan struct{})
	s.work <- func() {
		defer close(done)
		f()
	}
	s.system.Wake()
	<-done
}

// barrier returns when the loop has heard of everything that was there.
func (s *kernelStage) barrier() {
	for range 2 {
		s.inLoop(func() {})
	}
}

func (s *kernelStage) on(f func(netpoll.System, *netpoll.Conn)) {
	s.inLoop(func() { f(s.system, &s.conn) })
	s.barrier()
}

func (s *kernelStage) events() (ev netpoll.Event) {
	s.barrier()
	s.inLoop(func() { ev, s.seen = s.seen, 0 })
	return ev
}

func (s *kernelStage) peerWrite(n int) {
	if !s.closed {
		s.peer.Write(make([]byte, n))
	}
}

func (s *kernelStage) peerCloseWrite() {
	if !s.closed {
		s.peer.CloseWrite()
	}
}

func (s *kernelStage) peerClose() {
	s.closed = true
	s.peer.Close()
}

func (s *kernelStage) peerReset() {
	if !s.closed {
		s.peer.SetLinger(0)
	}
	s.peerClose()
}

// peerRead looks without waiting.
func (s *kernelStage) peerRead() (seen string) {
	if s.closed {
		return "closed"
	}
	raw, err := s.peer.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		seen = readAll(func(p []byte) (int, error) {
			n, err := unix.Read(int(fd), p)
			switch {
			case err == unix.EAGAIN:
				return 0, netpoll.ErrWouldBlock
			case n == 0 && err == nil:
				return 0, io.EOF
			}
			return max(n, 0), err
		})
	})
	return seen
}

func (s *kernelStage) end() {
	s.inLoop(func() {
		s.system.Del(s.conn.FD())
		s.system.Close(&s.conn)
		s.system.StopTicking()
		s.system.Mute()
	})
	s.system.Shut()
	s.listener.Close()
	if !s.closed {
		s.peer.Close()
	}
}

func TestAnEventOfABatchComesAfterItsDel(t *testing.T) {
	stale := false
	for seed := range uint64(50) {
		w := netpolltest.New(seed)
		sys := w.System()
		l, err := w.Listen()
		if err != nil {
			t.Fatal(err)
		}
		conns := make([]netpoll.Conn, 2)
		for i := range conns {
			p, err := w.Dial(l)
			if err != nil {
				t.Fatal(err)
			}
			if conns[i], err = l.Accept(); err != nil {
				t.Fatal(err)
			}
			p.Write([]byte("x"))
		}
		w.Settle(100)
		for i := range conns {
			other := &conns[1-i]
			if err := sys.Add(conns[i].FD(), watched, func(netpoll.Event) {
				if !conns[i].Open() {
					stale = true
					return
				}
				if other.Open() {
					sys.Del(other.FD())
					sys.Close(other)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		w.Settle(100)
	}
	if !stale {
		t.Error("no seed shows a callback after its Del")
	}
}

func TestDescriptorsRunOut(t *testing.T) {
	w := netpolltest.New(1)
	l, err := w.Listen()
	if err != nil {
		t.Fatal(err)
	}
	w.Limit = 2
	for range 2 {
		if _, err := w.Dial(l); err != nil {
			t.Fatal(err)
		}
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, netpoll.ErrNoDescriptors) || netpoll.Errno(err) != "EMFILE" {
		t.Fatal(err)
	}
	was := c.FD()
	sys := w.System()
	sys.Close(&c)
	if c, err = l.Accept(); err != nil || c.FD() != was {
		t.Fatalf("descriptor %d, %v; want %d again", c.FD(), err, was)
	}
}

func TestAPeerThatVanishedIsGivenUp(t *testing.T) {
	w := netpolltest.New(1)
	w.Room = 100
	l, err := w.Listen()
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Dial(l)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sys := w.System()
	p.Vanish()
	p.Write([]byte("never arrives"))
	if n, err := sys.Write(c, make([]byte, 200)); n != 100 || err != nil {
		t.Fatal(n, err)
	}
	w.Pass(time.Hour, 1000)
	if _, err := sys.Read(c, make([]byte, 10)); err != netpoll.ErrWouldBlock {
		t.Fatal(err)
	}
	p.GiveUp()
	if _, err := sys.Read(c, make([]byte, 10)); !errors.Is(err, unix.ETIMEDOUT) {
		t.Fatal(err)
	}
}
