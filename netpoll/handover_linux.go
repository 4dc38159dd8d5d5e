package netpoll

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// NetConn gives the connection to the Go runtime's poller, for code that wants a [net.Conn]. c must be out of its own poller
// and is closed afterwards, also on an error; the stream goes on in the result. What was already read is the caller's to pass on.
//
// The net package turns on its own keep-alive (15 s) in place of the listener's.
func (c *Conn) NetConn() (net.Conn, error) {
	if !c.Open() {
		return nil, net.ErrClosed
	}
	file := os.NewFile(uintptr(c.FD()), "")
	*c = Conn{}
	defer file.Close()
	nc, err := net.FileConn(file) // a duplicate
	if err != nil {
		return nil, fmt.Errorf("hand over to net: %w", err)
	}
	return nc, nil
}

// Detach takes the connection back from the Go runtime's poller. No Read or Write may be under way on nc, which is closed
// afterwards, also on an error. Bytes that somebody buffered above nc are the caller's to pass on.
func Detach(nc *net.TCPConn) (Conn, error) {
	raw, err := nc.SyscallConn()
	if err != nil {
		return Conn{}, fmt.Errorf("detach from net: %w", err)
	}
	var (
		c      Conn
		dupErr error
	)
	err = raw.Control(func(fd uintptr) { c, dupErr = duplicate(int(fd)) })
	if err := errors.Join(err, dupErr, nc.Close()); err != nil {
		_ = c.Close()
		return Conn{}, fmt.Errorf("detach from net: %w", err)
	}
	return c, nil
}

// duplicate returns a second descriptor of fd's open file. [net.TCPConn.File] may have put that file into blocking mode.
func duplicate(fd int) (Conn, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return Conn{}, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	c := ConnOf(dup)
	if err := unix.SetNonblock(dup, true); err != nil {
		_ = c.Close()
		return Conn{}, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	return c, nil
}
