package webhook

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a TCP socket that can be asked what has become of what was sent.
type socket struct {
	*net.TCPConn
	raw   syscall.RawConn
	sent  int // bytes that the kernel has taken; whoever cares sets it back
	look  func(fd uintptr)
	idle  bool // what look saw
	glass [1]byte
}

func newSocket(c *net.TCPConn) (*socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{TCPConn: c, raw: raw}
	s.look = func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), s.glass[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		s.idle = err == unix.EAGAIN
	}
	return s, nil
}

// Write counts what it writes.
func (s *socket) Write(p []byte) (int, error) {
	n, err := s.TCPConn.Write(p)
	s.sent += n
	return n, err
}

// quiet reports whether the connection is open and nothing has come in. What
// comes in between two requests is the end of it, or belongs to no request.
func (s *socket) quiet() bool {
	return s.raw.Control(s.look) == nil && s.idle
}

// unacknowledged returns how many of the bytes written last the other side has
// not acknowledged (tcp(7), SIOCOUTQ), -1 if that is unknown. It can be asked
// after the connection has failed, too.
func (s *socket) unacknowledged() int {
	n := -1
	s.raw.Control(func(fd uintptr) {
		if queued, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = queued
		}
	})
	return n
}
