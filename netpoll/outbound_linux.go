package netpoll

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Outbound is a connection that was dialled, and can be asked what has become
// of what was sent over it. One goroutine at a time.
type Outbound struct {
	*net.TCPConn
	Sent  int // bytes that the kernel has taken; whoever cares sets it back
	raw   syscall.RawConn
	look  func(fd uintptr)
	idle  bool // what look saw
	glass [1]byte
}

// NewOutbound returns the Outbound of c, which it owns from then on.
func NewOutbound(c *net.TCPConn) (*Outbound, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Outbound{TCPConn: c, raw: raw}
	s.look = func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), s.glass[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		s.idle = err == unix.EAGAIN
	}
	return s, nil
}

// Write counts what it writes.
func (s *Outbound) Write(p []byte) (int, error) {
	n, err := s.TCPConn.Write(p)
	s.Sent += n
	return n, err
}

// Quiet reports whether the connection is open and nothing has come in. What
// comes in between two requests is the end of it, or belongs to no request.
func (s *Outbound) Quiet() bool {
	return s.raw.Control(s.look) == nil && s.idle
}

// Ended reports whether the other side has ended the connection, and how long
// ago, 0 if that is unknown: when its FIN came, if nothing has come since.
func (s *Outbound) Ended() (ago time.Duration, ended bool) {
	s.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		switch info.State {
		case unix.BPF_TCP_CLOSE_WAIT:
			ago, ended = time.Duration(info.Last_ack_recv)*time.Millisecond, true
		case unix.BPF_TCP_CLOSE:
			ended = true
		}
	})
	return ago, ended
}

// Unacknowledged returns how many of the bytes written last the other side has
// not acknowledged (tcp(7), SIOCOUTQ), -1 if that is unknown. It can be asked
// after the connection has failed, too.
func (s *Outbound) Unacknowledged() int {
	n := -1
	s.raw.Control(func(fd uintptr) {
		if queued, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = queued
		}
	})
	return n
}
