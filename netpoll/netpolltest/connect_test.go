package netpolltest_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/netpoll"
	"sluice/netpoll/netpolltest"
)

// connected tells what becomes of a connection that a loop begins: the events
// before it is there, whether it failed, and what it reads then.
type connected struct {
	writable bool
	err      string
	read     string
}

// begin connects on the loop of sys, which run keeps going until told is
// closed.
func begin(t *testing.T, sys netpoll.System, to netip.AddrPort, on func(func())) (told chan connected) {
	t.Helper()
	told = make(chan connected, 1)
	on(func() {
		c, err := sys.Connect(to)
		if err != nil {
			told <- connected{err: "at once: " + err.Error()}
			return
		}
		var seen connected
		err = sys.Add(c.FD(), netpoll.In|netpoll.Out|netpoll.ReadHup|netpoll.Edge, func(ev netpoll.Event) {
			if !c.Open() {
				return
			}
			if !seen.writable && seen.err == "" {
				seen.writable = ev&netpoll.Out != 0
				if err := sys.Failure(c); err != nil {
					seen.err = err.Error()
				} else if err := sys.Failure(c); err != nil {
					t.Errorf("it failed afterwards: %v", err)
				}
			}
			if seen.err == "" {
				b := make([]byte, 100)
				n, err := sys.Read(c, b)
				if err == netpoll.ErrWouldBlock {
					return
				}
				seen.read = string(b[:n])
			}
			sys.Del(c.FD())
			sys.Close(&c)
			told <- seen
		})
		if err != nil {
			t.Error(err)
		}
	})
	return told
}

// What a loop sees of a connection that it begins is the same in a world as on
// Linux: where somebody listens and speaks first, and where nobody does.
func TestConnectIsTheSameInAWorld(t *testing.T) {
	refused := connected{writable: true, err: "connect: " + unix.ECONNREFUSED.Error()}
	greeted := connected{writable: true, read: "h"}

	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	there := netip.MustParseAddrPort(l.Addr().String())
	other, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := netip.MustParseAddrPort(other.Addr().String())
	other.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("h"))
		}
	}()
	defer l.Close()

	fatal := func(err error) { t.Error(err) }
	sys, err := netpoll.NewSystem(fatal)
	if err != nil {
		t.Fatal(err)
	}
	work := make(chan func(), 1)
	sys.OnWake(func() { (<-work)() })
	on := func(f func()) {
		work <- f
		sys.Wake()
	}
	for _, c := range []struct {
		to   netip.AddrPort
		want connected
	}{{there, greeted}, {nowhere, refused}} {
		select {
		case got := <-begin(t, sys, c.to, on):
			if got != c.want {
				t.Errorf("on Linux: %+v, want %+v", got, c.want)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("nothing happens")
		}
	}
	stopped := make(chan struct{})
	on(func() {
		sys.Mute()
		close(stopped)
	})
	<-stopped
	if err := sys.Shut(); err != nil && !errors.Is(err, unix.EBADF) {
		t.Error(err)
	}

	for seed := range uint64(20) {
		w := netpolltest.New(seed)
		w.Service = func(to netip.AddrPort, p *netpolltest.Peer) bool {
			if to != there {
				return false
			}
			w.After(time.Millisecond, func() { p.Write([]byte("h")) })
			return true
		}
		sys := w.System()
		for _, c := range []struct {
			to   netip.AddrPort
			want connected
		}{{there, greeted}, {nowhere, refused}} {
			told := begin(t, sys, c.to, func(f func()) { f() })
			w.Pass(time.Second, 1000)
			select {
			case got := <-told:
				if got != c.want {
					t.Errorf("seed %d: %+v, want %+v", seed, got, c.want)
				}
			default:
				t.Errorf("seed %d: nothing happens", seed)
			}
			if n := w.Open(); n != 0 {
				t.Errorf("seed %d: %d descriptors are open", seed, n)
			}
		}
	}
}
