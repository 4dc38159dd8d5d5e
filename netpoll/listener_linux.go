package netpoll

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Listener is a listening socket. Its descriptor goes into a [Poller] level-triggered (In), so that what one callback leaves
// in the queue is reported again. Accept may run on several goroutines, but not beside Close.
type Listener struct {
	fd        int
	addr      netip.AddrPort
	name      string
	inherited bool
	deaf      atomic.Bool // connections inherit a demand that Accept must lift: see ignoreSYNs
}

// FD returns the descriptor for [Poller.Add], or -1 after Close.
func (l *Listener) FD() int { return l.fd }

// Addr returns the address that l is bound to, with the port that the kernel picked where 0 was asked for.
func (l *Listener) Addr() netip.AddrPort { return l.addr }

// Inherited reports whether the socket was handed in, and so outlives this process in the service manager.
func (l *Listener) Inherited() bool { return l.inherited }

// Name returns the name that the service manager gave an inherited listener (FileDescriptorName=), else "".
func (l *Listener) Name() string { return l.name }

// Accept takes one connection from the queue. It returns [ErrWouldBlock] when the queue is empty. With [ErrNoDescriptors] the
// connection stays in the queue and the descriptor stays ready: the caller must pause, or it spins.
func (l *Listener) Accept() (Conn, error) {
	for {
		fd, err := call("accept4", unix.SYS_ACCEPT4, l.fd, nil, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == nil {
			return l.welcome(fd)
		}
		var errno unix.Errno
		if !errors.As(err, &errno) {
			return Conn{}, err
		}
		switch errno {
		case unix.ECONNABORTED, unix.EPROTO, unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET,
			unix.EHOSTUNREACH, unix.ENETUNREACH:
			// The fate of the connection that was taken from the queue, not of the listener: on to the next (accept(2)).
			continue
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			return Conn{}, fmt.Errorf("%w: %w", ErrNoDescriptors, err)
		default:
			return Conn{}, err
		}
	}
}

func (l *Listener) welcome(fd int) (Conn, error) {
	c := ConnOf(fd)
	if !l.deaf.Load() {
		return c, nil
	}
	if err := l.demandHopLimit(fd, 0); err != nil {
		_ = c.Close()
		return Conn{}, os.NewSyscallError("setsockopt", err)
	}
	return c, nil
}

// Close frees the descriptor. Unless l is inherited, connections that still wait in its queue are reset. Close is idempotent.
func (l *Listener) Close() error {
	if l.fd < 0 {
		return nil
	}
	fd := l.fd
	l.fd = -1
	return closeFD(fd)
}
