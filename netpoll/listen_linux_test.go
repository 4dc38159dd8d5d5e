package netpoll

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestASecondListenOnTheSameAddressFails(t *testing.T) {
	for _, n := range []int{1, 3} {
		l := mustListen(t, "127.0.0.1:0", n, Options{})[0]
		for _, m := range []int{1, 3} {
			before := openDescriptors(t)
			listeners, err := Listen(l.Addr().String(), m, Options{})
			if !errors.Is(err, unix.EADDRINUSE) || listeners != nil {
				t.Errorf("%d listeners beside %d: %v, %v; want EADDRINUSE", m, n, listeners, err)
			}
			if err != nil && !strings.Contains(err.Error(), l.Addr().String()) {
				t.Errorf("%q does not name the address", err)
			}
			if after := openDescriptors(t); after != before {
				t.Errorf("%d descriptors after the failure, %d before", after, before)
			}
		}
	}
}

func TestOfListensAtTheSameMomentOneWins(t *testing.T) {
	free := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	for round := range 50 {
		var group sync.WaitGroup
		won := make(chan []*Listener, 4)
		for range cap(won) {
			group.Go(func() {
				listeners, err := Listen(addr, 2, Options{})
				switch {
				case err == nil:
					won <- listeners
				case !errors.Is(err, unix.EADDRINUSE):
					t.Error(err)
				}
			})
		}
		group.Wait()
		close(won)
		winners := 0
		for listeners := range won {
			winners++
			for _, l := range listeners {
				l.Close()
			}
		}
		if winners != 1 {
			t.Fatalf("round %d: %d listen on one address", round, winners)
		}
	}
}

func TestAnAddressIsFreeAgainAfterClose(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0", 2, Options{})
	addr := l[0].Addr().String()
	client := dial(t, l[0])
	for _, l := range l { // resets the client, or leaves the connection in TIME_WAIT: neither is in the way
		for range 2 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if l.FD() != -1 {
			t.Errorf("FD %d after Close", l.FD())
		}
	}
	client.Close()
	mustListen(t, addr, 2, Options{})
}

func TestListenersShareTheLoad(t *testing.T) {
	const n, clients = 4, 400
	listeners := mustListen(t, "127.0.0.1:0", n, Options{})
	port := listeners[0].Addr().Port()
	for range clients {
		dial(t, listeners[0])
	}
	total := 0
	for i, l := range listeners {
		if l.Addr().Port() != port || port == 0 {
			t.Errorf("listener %d on %v, the first on port %d", i, l.Addr(), port)
		}
		accepted := 0
		for {
			c, err := l.Accept()
			if err == ErrWouldBlock {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			accepted++
			c.Close()
		}
		if accepted < clients/n/4 {
			t.Errorf("listener %d got %d of %d connections", i, accepted, clients)
		}
		total += accepted
	}
	if total != clients {
		t.Errorf("%d of %d connections accepted", total, clients)
	}
}

func TestOptionsReachTheAcceptedConnections(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0", 2, Options{
		KeepAliveIdle:     70 * time.Second,
		KeepAliveInterval: 1500 * time.Millisecond, // the kernel counts seconds: rounded up
		KeepAliveCount:    3,
		UserTimeout:       12345 * time.Millisecond,
	})
	for range 8 { // with luck on both listeners
		dial(t, l[0])
	}
	for _, l := range l {
		for pollReady(l.FD(), unix.POLLIN, 0) {
			c := accept(t, l)
			for _, want := range []struct {
				name              string
				level, opt, value int
			}{
				{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
				{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
				{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 70},
				{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 2},
				{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
				{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 12345},
			} {
				if value, err := unix.GetsockoptInt(c.FD(), want.level, want.opt); value != want.value || err != nil {
					t.Errorf("%s: %d, %v; want %d", want.name, value, err, want.value)
				}
			}
			status, err := unix.FcntlInt(uintptr(c.FD()), unix.F_GETFL, 0)
			if err != nil || status&unix.O_NONBLOCK == 0 {
				t.Errorf("status flags %#x, %v; want O_NONBLOCK", status, err)
			}
			flags, err := unix.FcntlInt(uintptr(c.FD()), unix.F_GETFD, 0)
			if err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor flags %#x, %v; want FD_CLOEXEC", flags, err)
			}
		}
	}
}

func TestZeroOptionsLeaveTheKernelsDefaults(t *testing.T) {
	server, _ := connect(t)
	for _, want := range []struct {
		name              string
		level, opt, value int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 0},
	} {
		if value, err := unix.GetsockoptInt(server.FD(), want.level, want.opt); value != want.value || err != nil {
			t.Errorf("%s: %d, %v; want %d", want.name, value, err, want.value)
		}
	}
}

// deferAccept has a listener tell of connections only when the client has sent
// something, or after about that time (TCP_DEFER_ACCEPT, tcp(7)).
func deferAccept(l *Listener, d time.Duration) error {
	return unix.SetsockoptInt(l.FD(), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, ceil(d, time.Second))
}

// mustListenDeferred opens a listener with [deferAccept].
func mustListenDeferred(t *testing.T, addr string, d time.Duration) *Listener {
	t.Helper()
	l := mustListen(t, addr, 1, Options{})[0]
	if err := deferAccept(l, d); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTheQueueIsAsLongAsTheKernelGrants(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
	info, err := unix.GetsockoptTCPInfo(l.FD(), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		t.Fatal(err)
	}
	// For a listening socket this field is the length of the queue that was granted.
	if info.Sacked < 128 {
		t.Errorf("the queue holds %d", info.Sacked)
	}
}

func TestListenAddresses(t *testing.T) {
	tests := []struct {
		addr    string
		bound   string   // the address, without the port
		reached []string // hosts at which it answers
	}{
		{"127.0.0.1:0", "127.0.0.1", []string{"127.0.0.1"}},
		{"localhost:0", "127.0.0.1", []string{"127.0.0.1"}},
		{"0.0.0.0:0", "0.0.0.0", []string{"127.0.0.1", "127.0.0.2"}},
		{"[::ffff:127.0.0.1]:0", "127.0.0.1", []string{"127.0.0.1"}},
		{"[::1]:0", "::1", []string{"::1"}},
		{"[::1%lo]:0", "::1", []string{"::1"}},
		{"[::1%1]:0", "::1", []string{"::1"}},
		{"[::]:0", "::", []string{"::1", "127.0.0.1"}},
		{":0", "::", []string{"::1", "127.0.0.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.addr, func(t *testing.T) {
			l := mustListen(t, tt.addr, 1, Options{})[0]
			if got := l.Addr().Addr().String(); got != tt.bound {
				t.Errorf("bound to %v, want %v", got, tt.bound)
			}
			for _, host := range tt.reached {
				at := netip.AddrPortFrom(netip.MustParseAddr(host), l.Addr().Port())
				client := dial(t, &Listener{addr: at})
				server := accept(t, l)
				if server.LocalAddr() != at {
					t.Errorf("reached at %v, the server sees %v", at, server.LocalAddr())
				}
				if peer := netip.MustParseAddrPort(client.LocalAddr().String()); server.RemoteAddr() != peer {
					t.Errorf("the client is %v, the server sees %v", peer, server.RemoteAddr())
				}
			}
		})
	}
}

func TestListenRefusesWhatItCannotMean(t *testing.T) {
	for _, addr := range []string{
		"", "8080", "127.0.0.1", "example.com:80", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1", "[::1]", "[fe80::1%nosuchif0]:0",
	} {
		if listeners, err := Listen(addr, 1, Options{}); err == nil {
			t.Errorf("Listen(%q) succeeded", addr)
			listeners[0].Close()
		}
	}
	for _, n := range []int{0, -1} {
		if _, err := Listen("127.0.0.1:0", n, Options{}); err == nil {
			t.Errorf("%d listeners: no error", n)
		}
	}
}

func TestOneListenerServesTwoPollers(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
	const clients = 50
	accepted := make(chan Conn, clients)
	for range 2 {
		p := mustPoller(t)
		mustAdd(t, p, l.FD(), In|Exclusive, func(Event) {
			for {
				c, err := l.Accept()
				if err != nil {
					if err != ErrWouldBlock {
						t.Error(err)
					}
					return
				}
				accepted <- c
			}
		})
	}
	for range clients {
		dial(t, l)
	}
	for range clients {
		c := await(t, accepted, "the next connection")
		c.Close()
	}
}

func TestAcceptOnAClosedListenerFails(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, unix.EBADF) {
		t.Errorf("%v, want EBADF", err)
	}
}

func TestErrnoNamesTheErrno(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{unix.EMFILE, "EMFILE"},
		{errors.Join(ErrNoDescriptors, unix.ENFILE), "ENFILE"},
		{ErrNoDescriptors, "other"},
		{nil, "other"},
		{unix.Errno(4000), "other"},
	} {
		if got := Errno(tt.err); got != tt.want {
			t.Errorf("Errno(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
}
