package netpoll

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inheritedChild does what a service does that was started with sockets: it tells what it got, and takes one client at each.
func inheritedChild() error {
	if os.Getenv("LISTEN_PID") == "self" { // only the child itself knows its pid
		if err := os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())); err != nil {
			return err
		}
	}
	listeners, err := Inherited(Options{UserTimeout: time.Second})
	if err != nil {
		fmt.Println("error:", err)
		return nil
	}
	for _, key := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if _, set := os.LookupEnv(key); set {
			return fmt.Errorf("%s is still set", key)
		}
	}
	fmt.Println("listeners:", len(listeners))
	for _, l := range listeners {
		fmt.Printf("%s %q %v\n", l.Addr(), l.Name(), l.Inherited())
	}
	for _, l := range listeners {
		if err := answerOne(l); err != nil {
			return err
		}
	}
	return nil
}

func answerOne(l *Listener) error {
	flags, err := unix.FcntlInt(uintptr(l.FD()), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		return fmt.Errorf("descriptor flags %#x, %w; want FD_CLOEXEC", flags, err)
	}
	if !pollReady(l.FD(), unix.POLLIN, patience) {
		return errors.New("nobody came")
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := l.Accept(); err != ErrWouldBlock {
		return fmt.Errorf("an empty queue: %w, want ErrWouldBlock", err)
	}
	if d, err := unix.GetsockoptInt(c.FD(), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); d != 1000 {
		return fmt.Errorf("TCP_USER_TIMEOUT %d, %w", d, err)
	}
	_, err = c.Write([]byte("served"))
	return err
}

// blockingFile returns a duplicate of l's descriptor for a child, in blocking mode as a service manager hands it over.
func blockingFile(t *testing.T, l *Listener) *os.File {
	t.Helper()
	fd, err := unix.Dup(l.FD())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "")
	t.Cleanup(func() { file.Close() })
	return file
}

func TestInheritedTakesWhatTheServiceManagerHandsIn(t *testing.T) {
	one := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
	other := mustListen(t, "[::1]:0", 1, Options{})[0]
	cmd := child(t, "inherited", "LISTEN_PID=self", "LISTEN_FDS=2", "LISTEN_FDNAMES=clients:admin")
	cmd.ExtraFiles = []*os.File{blockingFile(t, one), blockingFile(t, other)}

	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for _, want := range []string{
		"listeners: 2",
		one.Addr().String() + ` "clients" true`,
		other.Addr().String() + ` "admin" true`,
	} {
		if lines.Scan(); lines.Text() != want {
			t.Errorf("the child says %q, want %q", lines.Text(), want)
		}
	}
	for _, l := range []*Listener{one, other} {
		expect(t, dial(t, l), "served")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the child: %v", err)
	}
	// The child has ended; the sockets live on.
	dial(t, one)
	accept(t, one)
}

func TestInheritedRefusesWhatItCannotServe(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0", 1, Options{})[0]
	server, _ := connect(t)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	packets, err := udp.File()
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	plain, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	connected, err := unix.Dup(server.FD())
	if err != nil {
		t.Fatal(err)
	}
	stream := os.NewFile(uintptr(connected), "")
	defer stream.Close()

	for _, tt := range []struct {
		name  string
		env   []string
		files []*os.File
		want  string
	}{
		{"none", nil, nil, "listeners: 0"},
		{"another process's", []string{"LISTEN_PID=1", "LISTEN_FDS=1"}, []*os.File{packets}, "listeners: 0"},
		{"no count", []string{"LISTEN_PID=self"}, nil, "listeners: 0"},
		{"a bad count", []string{"LISTEN_PID=self", "LISTEN_FDS=many"}, nil, `error: LISTEN_FDS="many" is not a number`},
		{"a negative count", []string{"LISTEN_PID=self", "LISTEN_FDS=-1"}, nil, `error: LISTEN_FDS="-1" is not a number`},
		{"a datagram socket", []string{"LISTEN_PID=self", "LISTEN_FDS=1"}, []*os.File{packets}, "error: inherited descriptor 3 (): not a TCP socket"},
		{"a connection", []string{"LISTEN_PID=self", "LISTEN_FDS=1", "LISTEN_FDNAMES=web"}, []*os.File{stream}, "error: inherited descriptor 3 (web): not a listening socket"},
		{"no socket", []string{"LISTEN_PID=self", "LISTEN_FDS=2"}, []*os.File{blockingFile(t, l), plain}, "error: inherited descriptor 4 (): getsockopt SO_PROTOCOL: socket operation on non-socket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := child(t, "inherited", tt.env...)
			cmd.ExtraFiles = tt.files
			if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), tt.want) {
				t.Errorf("the child says %q, %v; want %q", out, err, tt.want)
			}
		})
	}
}
