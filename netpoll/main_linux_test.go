package netpoll

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// childRole names what a re-executed test binary does instead of testing: some things need a process of their own.
const childRole = "NETPOLL_TEST_CHILD"

// patience bounds every wait: longer means that the awaited thing does not happen.
const patience = 10 * time.Second

func TestMain(m *testing.M) {
	roles := map[string]func() error{
		"inherited": inheritedChild,
		"reserve":   reserveChild,
	}
	if role, ok := roles[os.Getenv(childRole)]; ok {
		if err := role(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child prepares this test binary to run again in a role.
func child(t *testing.T, role string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childRole+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// awaitReady waits until poll(2) reports one of the events.
func awaitReady(t testing.TB, fd int, events int16) {
	t.Helper()
	if !pollReady(fd, events, patience) {
		t.Fatalf("descriptor %d: no event of %#x came", fd, events)
	}
}

func pollReady(fd int, events int16, timeout time.Duration) bool {
	end := time.Now().Add(timeout)
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(fds, int(max(0, time.Until(end)).Milliseconds()))
		if err != unix.EINTR {
			return err == nil && n == 1
		}
	}
}

func mustListen(t testing.TB, addr string, n int, o Options) []*Listener {
	t.Helper()
	listeners, err := Listen(addr, n, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, l := range listeners {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return listeners
}

func dial(t testing.TB, l *Listener) *net.TCPConn {
	t.Helper()
	nc, err := net.DialTimeout("tcp", l.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return nc.(*net.TCPConn)
}

func accept(t testing.TB, l *Listener) *Conn {
	t.Helper()
	awaitReady(t, l.FD(), unix.POLLIN)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &c
}

// connect returns both ends of a loopback connection.
func connect(t testing.TB) (server *Conn, client *net.TCPConn) {
	t.Helper()
	l := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
	client = dial(t, l)
	return accept(t, l), client
}

func mustWrite(t testing.TB, nc net.Conn, s string) {
	t.Helper()
	if _, err := nc.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	n, err := OpenDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	return n
}
