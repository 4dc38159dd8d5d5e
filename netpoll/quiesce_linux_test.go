package netpoll

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What Quiesce is there to prevent.
func TestCloseResetsWhatWaitsInTheQueue(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
	client := dial(t, l)
	awaitReady(t, l.FD(), unix.POLLIN)
	l.Close()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the client sees %v, want ECONNRESET", err)
	}
}

// eachWay runs a test with Quiesce, and with each of the two things that it can do, depending on kernel and privilege.
func eachWay(t *testing.T, test func(t *testing.T, quiesce func(*Listener) error)) {
	for way, quiesce := range map[string]func(*Listener) error{
		"Quiesce":   (*Listener).Quiesce,
		"filter":    (*Listener).filterSYNs,
		"hop limit": (*Listener).ignoreSYNs,
	} {
		t.Run(way, func(t *testing.T) {
			probe := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
			if err := quiesce(probe); err == unix.EPERM && way == "filter" {
				t.Skip("this kernel wants CAP_NET_ADMIN for the filter")
			}
			test(t, quiesce)
		})
	}
}

func TestUnderLoadQuiesceEmptyAndCloseResetsNobody(t *testing.T) {
	eachWay(t, func(t *testing.T, quiesce func(*Listener) error) {
		for _, host := range []string{"127.0.0.1", "::1"} {
			t.Run(host, func(t *testing.T) { quiesceUnderLoad(t, quiesce, host) })
		}
	})
}

// quiesceUnderLoad shuts two listeners down while clients connect as fast as they can. Each client must be served, or turned
// away before it is connected.
func quiesceUnderLoad(t *testing.T, quiesce func(*Listener) error, host string) {
	listeners := mustListen(t, ":0", 2, Options{}) // both families
	addr := net.JoinHostPort(host, strconv.Itoa(int(listeners[0].Addr().Port())))

	var quiesced atomic.Bool
	var accepted, served, turnedAway atomic.Int64
	enough := make(chan struct{})
	var servers, clients sync.WaitGroup
	for _, l := range listeners {
		servers.Go(func() {
			serveUntilQuiet(t, l, &quiesced, func() {
				if accepted.Add(1) == 500 {
					close(enough)
				}
			})
		})
	}
	for range 8 {
		clients.Go(func() {
			for {
				nc, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
				if err != nil {
					if !quiesced.Load() {
						t.Errorf("turned away before Quiesce: %v", err)
					}
					if !errors.Is(err, unix.ECONNREFUSED) && !timedOut(err) {
						t.Errorf("turned away with %v, want a refusal or silence", err)
					}
					turnedAway.Add(1)
					return
				}
				_ = nc.SetDeadline(time.Now().Add(patience))
				if greeting, err := io.ReadAll(nc); string(greeting) != "hello" || err != nil {
					t.Errorf("connected, then read %q, %v", greeting, err)
				}
				nc.Close()
				served.Add(1)
			}
		})
	}
	await(t, enough, "enough load")
	quiesced.Store(true)
	for _, l := range listeners {
		if err := quiesce(l); err != nil {
			t.Fatal(err)
		}
	}
	servers.Wait()
	for _, l := range listeners {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	clients.Wait()
	if accepted.Load() != served.Load() || turnedAway.Load() != 8 {
		t.Errorf("%d accepted, %d served; %d of 8 turned away", accepted.Load(), served.Load(), turnedAway.Load())
	}
}

func timedOut(err error) bool {
	var failed net.Error
	return errors.As(err, &failed) && failed.Timeout()
}

// serveUntilQuiet greets every client until, after quiesced, the queue has stayed empty for a moment.
func serveUntilQuiet(t *testing.T, l *Listener, quiesced *atomic.Bool, accepted func()) {
	for {
		last := quiesced.Load()
		if !pollReady(l.FD(), unix.POLLIN, 50*time.Millisecond) {
			if last {
				return
			}
			continue
		}
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		accepted()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestQuiesceTurnsNewcomersAwayAndKeepsWhoIsIn(t *testing.T) {
	eachWay(t, func(t *testing.T, quiesce func(*Listener) error) {
		l := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
		early := dial(t, l)
		if err := quiesce(l); err != nil {
			t.Fatal(err)
		}
		if nc, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond); !timedOut(err) {
			if err == nil {
				nc.Close()
			}
			t.Fatalf("a newcomer: %v, want silence", err)
		}
		server := accept(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		mustConverse(t, *server, early)
	})
}

// mustConverse exchanges words over a connection and ends it in order.
func mustConverse(t *testing.T, server Conn, client *net.TCPConn) {
	t.Helper()
	mustWrite(t, client, "ping")
	buf := make([]byte, 8)
	awaitReady(t, server.FD(), unix.POLLIN)
	if n, err := server.Read(buf); string(buf[:n]) != "ping" || err != nil {
		t.Fatalf("the server read %q, %v", buf[:n], err)
	}
	if _, err := server.Write([]byte("pong")); err != nil {
		t.Fatal(err)
	}
	if err := server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); string(got) != "pong" || err != nil {
		t.Fatalf("the client read %q, %v", got, err)
	}
}

// Held back by TCP_DEFER_ACCEPT, a handshake is under way for as long as the test needs.
func TestQuiesceLetsHandshakesUnderWayFinish(t *testing.T) {
	eachWay(t, func(t *testing.T, quiesce func(*Listener) error) {
		for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
			l := mustListenDeferred(t, addr, time.Minute)
			client := dial(t, l)
			if _, err := l.Accept(); err != ErrWouldBlock {
				t.Fatalf("before the client has spoken: %v, want ErrWouldBlock", err)
			}
			if err := quiesce(l); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, client, "first words;")
			mustWrite(t, client, "and more")
			server := accept(t, l)
			got := make([]byte, 0, 64)
			for len(got) < len("first words;and more") {
				awaitReady(t, server.FD(), unix.POLLIN)
				n, err := server.Read(got[len(got):cap(got)])
				if err != nil {
					t.Fatal(err)
				}
				got = got[:len(got)+n]
			}
			if string(got) != "first words;and more" {
				t.Errorf("the server read %q", got)
			}
			mustConverse(t, *server, client)
		}
	})
}

func TestQuiesceAdmitsTheSilentToo(t *testing.T) {
	l := mustListenDeferred(t, "127.0.0.1:0", time.Minute)
	client := dial(t, l)
	if _, err := l.Accept(); err != ErrWouldBlock {
		t.Fatalf("before the client has spoken: %v, want ErrWouldBlock", err)
	}
	if err := l.Quiesce(); err != nil {
		t.Fatal(err)
	}
	mustConverse(t, *accept(t, l), client) // when the kernel repeats its SYN-ACK, after a second
}

func TestQuiesceNeedsNoPrivilege(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
	early := dial(t, l)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // capabilities belong to a thread; this one ends with the goroutine
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			done <- err
			return
		}
		done <- l.Quiesce()
	}()
	if err := await(t, done, "the goroutine"); err != nil {
		t.Fatal(err)
	}
	if nc, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond); !timedOut(err) {
		if err == nil {
			nc.Close()
		}
		t.Errorf("a newcomer: %v, want silence", err)
	}
	mustConverse(t, *accept(t, l), early)
}

func TestQuiesceLeavesAnInheritedListenerAlone(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
	inherited := &Listener{fd: l.FD(), inherited: true}
	if err := inherited.Quiesce(); err != nil {
		t.Fatal(err)
	}
	dial(t, l)
	accept(t, l)
}
