package netpoll

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTheStreamSurvivesHandoverAndBack(t *testing.T) {
	server, client := connect(t)
	before := openDescriptors(t)
	remote := server.RemoteAddr()
	mustWrite(t, client, "unread before the handover;")

	nc, err := server.NetConn()
	if err != nil {
		t.Fatal(err)
	}
	if server.Open() {
		t.Error("the Conn is open after NetConn")
	}
	mustWrite(t, client, "after it;")
	expect(t, nc, "unread before the handover;after it;")
	mustWrite(t, nc, "from net;")
	expect(t, client, "from net;")
	mustWrite(t, client, "unread before the way back;")

	back, err := Detach(nc.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if _, err := nc.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the net.Conn after Detach: %v, want net.ErrClosed", err)
	}
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors after the round trip, %d before", after, before)
	}
	if back.RemoteAddr() != remote {
		t.Errorf("peer %v, before %v", back.RemoteAddr(), remote)
	}
	buf := make([]byte, 64)
	awaitReady(t, back.FD(), unix.POLLIN)
	if n, err := back.Read(buf); string(buf[:n]) != "unread before the way back;" || err != nil {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	if _, err := back.Read(buf); err != ErrWouldBlock {
		t.Errorf("then %v, want ErrWouldBlock", err)
	}
	if _, err := back.Write([]byte("raw again")); err != nil {
		t.Fatal(err)
	}
	expect(t, client, "raw again")
}

func expect(t *testing.T, r net.Conn, want string) {
	t.Helper()
	if err := r.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func TestDetachMakesTheSocketNonBlockingAgain(t *testing.T) {
	_, client := connect(t)
	file, err := client.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.SetNonblock(int(file.Fd()), false); err != nil { // of the shared open file
		t.Fatal(err)
	}
	c, err := Detach(client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	flags, err := unix.FcntlInt(uintptr(c.FD()), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, %v; want O_NONBLOCK", flags, err)
	}
	flags, err = unix.FcntlInt(uintptr(c.FD()), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v; want FD_CLOEXEC", flags, err)
	}
}

func TestAFailedHandoverClosesTheDescriptor(t *testing.T) {
	before := openDescriptors(t)
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK) // no socket: the net package refuses it
	if err != nil {
		t.Fatal(err)
	}
	c := ConnOf(fd)
	if nc, err := c.NetConn(); err == nil {
		nc.Close()
		t.Error("NetConn of an eventfd succeeded")
	}
	if after := openDescriptors(t); c.Open() || after != before {
		t.Errorf("open %v, %d descriptors, %d before", c.Open(), after, before)
	}
}

func TestHandoverOfAClosedConnectionFails(t *testing.T) {
	_, client := connect(t)
	client.Close()
	if _, err := Detach(client); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Detach: %v, want net.ErrClosed", err)
	}
	var c Conn
	if _, err := c.NetConn(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("NetConn: %v, want net.ErrClosed", err)
	}
}
