package netpoll

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Connect begins to connect to addr, and does not wait for it: the connection reports Out when it is there, or when it has failed,
// which [Conn.Failure] tells apart. Nagle's algorithm is off (TCP_NODELAY), as for connections that are accepted. The error is
// [ErrNoDescriptors] where there is no descriptor, and otherwise an [os.SyscallError].
func Connect(addr netip.AddrPort) (Conn, error) {
	domain, to := unix.AF_INET6, unix.Sockaddr(nil)
	if ip := addr.Addr().Unmap(); ip.Is4() {
		domain, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	} else {
		in6 := &unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16()}
		if zone := ip.Zone(); zone != "" {
			i, err := net.InterfaceByName(zone)
			if err != nil {
				return Conn{}, fmt.Errorf("zone %q: %w", zone, err)
			}
			in6.ZoneId = uint32(i.Index)
		}
		to = in6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	switch err {
	case nil:
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		return Conn{}, fmt.Errorf("%w: %w", ErrNoDescriptors, os.NewSyscallError("socket", err))
	default:
		return Conn{}, os.NewSyscallError("socket", err)
	}
	c := ConnOf(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		_ = c.Close()
		return Conn{}, os.NewSyscallError("setsockopt TCP_NODELAY", err)
	}
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
		_ = c.Close()
		return Conn{}, os.NewSyscallError("connect", err)
	}
	return c, nil
}

// Failure returns why c failed, for instance to connect, and nil if it did not. It is told once (socket(7), SO_ERROR).
func (c Conn) Failure() error {
	errno, err := unix.GetsockoptInt(c.FD(), unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return os.NewSyscallError("getsockopt SO_ERROR", err)
	case errno != 0:
		return os.NewSyscallError("connect", unix.Errno(errno))
	}
	return nil
}
