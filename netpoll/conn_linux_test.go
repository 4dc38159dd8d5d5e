package netpoll

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheZeroConnIsClosed(t *testing.T) {
	var c Conn
	if c.Open() || c.FD() != -1 {
		t.Errorf("Open %v, FD %d; want false, -1", c.Open(), c.FD())
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := c.Reset(); err != nil {
		t.Errorf("Reset: %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.EBADF) {
		t.Errorf("Read: %v, want EBADF", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, unix.EBADF) {
		t.Errorf("Write: %v, want EBADF", err)
	}
	if c.RemoteAddr().IsValid() || c.LocalAddr().IsValid() {
		t.Errorf("addresses %v and %v, want none", c.RemoteAddr(), c.LocalAddr())
	}
}

func TestReadSaysWhatIsThere(t *testing.T) {
	server, client := connect(t)
	buf := make([]byte, 8)
	if n, err := server.Read(buf); n != 0 || err != ErrWouldBlock {
		t.Fatalf("nothing sent: %d, %v; want 0, ErrWouldBlock", n, err)
	}
	mustWrite(t, client, "hello")
	awaitReady(t, server.FD(), unix.POLLIN)
	if n, err := server.Read(nil); n != 0 || err != nil {
		t.Fatalf("an empty buffer: %d, %v; want 0, nil", n, err)
	}
	if n, err := server.Read(buf); string(buf[:n]) != "hello" || err != nil {
		t.Fatalf("%q, %v; want hello", buf[:n], err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, server.FD(), unix.POLLRDHUP)
	for range 2 {
		if n, err := server.Read(buf); n != 0 || err != io.EOF {
			t.Fatalf("the end: %d, %v; want 0, EOF", n, err)
		}
	}
}

func TestReadReportsAReset(t *testing.T) {
	server, client := connect(t)
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	client.Close()
	awaitReady(t, server.FD(), unix.POLLIN)
	_, err := server.Read(make([]byte, 8))
	var failed *os.SyscallError
	if !errors.As(err, &failed) || failed.Syscall != "recvfrom" || !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%v, want recvfrom: ECONNRESET", err)
	}
}

func TestWriteTakesWhatFits(t *testing.T) {
	server, client := connect(t)
	payload := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB: more than the socket takes
	sent, err := server.Write(payload)
	if sent == 0 || sent == len(payload) || err != nil {
		t.Fatalf("Write: %d of %d, %v; want a part", sent, len(payload), err)
	}
	for err == nil {
		var n int
		n, err = server.Write(payload[sent:])
		sent += n
	}
	if err != ErrWouldBlock {
		t.Fatalf("a full socket: %v, want ErrWouldBlock", err)
	}
	if err := server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	received, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(received, payload[:sent]) {
		t.Fatalf("the client received %d bytes, %v; want the %d that were taken", len(received), err, sent)
	}
}

func TestWritingNothingIsNoCall(t *testing.T) {
	var closed Conn // any call would fail
	if n, err := closed.Write(nil); n != 0 || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	if n, err := closed.Writev([][]byte{nil, {}}, new(Vector)); n != 0 || err != nil {
		t.Errorf("Writev: %d, %v", n, err)
	}
}

func TestWritingToAGonePeerRaisesNoSignal(t *testing.T) {
	// Signals are handed to the channel in the order of their numbers, so SIGWINCH comes after any SIGPIPE.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGPIPE, unix.SIGWINCH)
	defer signal.Stop(signals)

	server, client := connect(t)
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	client.Close()
	awaitReady(t, server.FD(), unix.POLLERR)
	var vector Vector
	for err := error(nil); !errors.Is(err, unix.EPIPE); { // the first call reports the reset
		_, err = server.Write([]byte("x"))
		if err == nil || err == ErrWouldBlock {
			t.Fatalf("writing to a gone peer: %v", err)
		}
	}
	if _, err := server.Writev([][]byte{[]byte("x")}, &vector); !errors.Is(err, unix.EPIPE) {
		t.Fatalf("Writev to a gone peer: %v, want EPIPE", err)
	}
	if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if got := await(t, signals, "the last signal"); got != unix.SIGWINCH {
		t.Errorf("%v was raised", got)
	}
}

func TestWritevSendsInOrder(t *testing.T) {
	tests := []struct {
		name string
		bufs int // one byte each, with empty ones between
		want int
	}{
		{"one", 1, 1},
		{"some", 10, 10},
		{"the most", maxVector, maxVector},
		{"more than one call takes", maxVector + 7, maxVector},
	}
	var v Vector
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, client := connect(t)
			var bufs [][]byte
			var all []byte
			for i := range tt.bufs {
				bufs = append(bufs, nil, []byte{byte(i)}, []byte{})
				all = append(all, byte(i))
			}
			n, err := server.Writev(bufs, &v)
			if n != tt.want || err != nil {
				t.Fatalf("Writev: %d, %v; want %d", n, err, tt.want)
			}
			if v != (Vector{}) {
				t.Error("the vector keeps buffers alive")
			}
			if err := server.Close(); err != nil {
				t.Fatal(err)
			}
			received, err := io.ReadAll(client)
			if err != nil || !bytes.Equal(received, all[:tt.want]) {
				t.Errorf("received %v, %v; want %v", received, err, all[:tt.want])
			}
		})
	}
}

func TestConnCloseIsIdempotentAndFreesTheDescriptor(t *testing.T) {
	server, client := connect(t)
	before := openDescriptors(t)
	for range 2 {
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if server.Open() {
		t.Error("open after Close")
	}
	if after := openDescriptors(t); after != before-1 {
		t.Errorf("%d descriptors after Close, %d before", after, before)
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client sees %v, want io.EOF", err)
	}
}

func TestResetReachesThePeerAsAReset(t *testing.T) {
	server, client := connect(t)
	if _, err := server.Write(bytes.Repeat([]byte("x"), 16<<20)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := server.Reset(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, client); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the client sees %v, want ECONNRESET", err)
	}
}

func TestAddressesAreThoseOfThePeer(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l := mustListen(t, addr, 1, Options{})[0]
		client := dial(t, l)
		server := accept(t, l)
		local := netip.MustParseAddrPort(client.LocalAddr().String())
		remote := netip.MustParseAddrPort(client.RemoteAddr().String())
		if server.RemoteAddr() != local || server.LocalAddr() != remote {
			t.Errorf("server: %v from %v; client: %v from %v", server.LocalAddr(), server.RemoteAddr(), remote, local)
		}
	}
}

func TestTheHotPathDoesNotAllocate(t *testing.T) {
	one, other := socketPair(t)
	tcp, _ := connect(t)
	w := mustWaker(t)
	ticker := mustTicker(t, 1)
	buf, bufs := make([]byte, 256), [][]byte{make([]byte, 64), make([]byte, 64)}
	var v Vector
	for name, f := range map[string]func(){
		"Write and Read":  func() { transfer(t, other, buf, func() (int, error) { return one.Write(buf[:128]) }) },
		"Writev and Read": func() { transfer(t, other, buf, func() (int, error) { return one.Writev(bufs, &v) }) },
		"would block": func() {
			if _, err := other.Read(buf); err != ErrWouldBlock {
				t.Fatal(err)
			}
		},
		"addresses":   func() { tcp.RemoteAddr(); tcp.LocalAddr() },
		"wake":        func() { w.Wake(); w.Clear() },
		"expirations": func() { ticker.Expirations() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func transfer(t *testing.T, to Conn, buf []byte, send func() (int, error)) {
	if n, err := send(); n != 128 || err != nil {
		t.Fatalf("send: %d, %v", n, err)
	}
	if n, err := to.Read(buf); n != 128 || err != nil {
		t.Fatalf("receive: %d, %v", n, err)
	}
}

// socketPair returns two connected sockets between which bytes arrive at once.
func socketPair(t testing.TB) (one, other Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	one, other = ConnOf(fds[0]), ConnOf(fds[1])
	t.Cleanup(func() { one.Close(); other.Close() })
	return one, other
}
