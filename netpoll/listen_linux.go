package netpoll

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Options are set once on a listening socket; accepted connections inherit them, so that a connection costs no further call.
// A zero field leaves the kernel's default. Durations are rounded up to what the kernel counts in. TCP_NODELAY is always on.
// See tcp(7) and socket(7).
type Options struct {
	KeepAliveIdle     time.Duration // TCP_KEEPIDLE: keep-alive probes after this silence; 0 for none at all
	KeepAliveInterval time.Duration // TCP_KEEPINTVL
	KeepAliveCount    int           // TCP_KEEPCNT
	UserTimeout       time.Duration // TCP_USER_TIMEOUT: how long sent data may stay unacknowledged
}

// Listen opens n listeners on one address, among which the kernel spreads the connections (SO_REUSEPORT). The host is an
// IP address, "localhost" (127.0.0.1), or empty; an empty one and "[::]" mean every address of both families. With port 0
// the kernel picks a port, the same for all n.
//
// A second Listen on the same address fails with EADDRINUSE, in this process or another: the first of the n binds and
// listens alone, and shares the address only from then on.
func Listen(addr string, n int, o Options) (listeners []*Listener, err error) {
	if n < 1 {
		return nil, fmt.Errorf("listen on %s: %d listeners asked for, at least 1 is needed", addr, n)
	}
	at, err := parseAddress(addr)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		err = fmt.Errorf("listen on %s: %w", addr, err)
		for _, l := range listeners {
			_ = l.Close()
		}
		listeners = nil
	}()

	first, err := listen(at, false, o)
	if errors.Is(err, unix.EAFNOSUPPORT) && at.Addr() == netip.IPv6Unspecified() {
		first, err = listen(netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port()), false, o)
	}
	if err != nil {
		return nil, err
	}
	listeners = append(listeners, first)
	if n == 1 {
		return listeners, nil
	}
	if err := setReusePort(first.fd); err != nil {
		return listeners, err
	}
	for len(listeners) < n {
		l, err := listen(first.addr, true, o)
		if err != nil {
			return listeners, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// listen opens one listener, which shares its address with others only if told so.
func listen(at netip.AddrPort, shared bool, o Options) (_ *Listener, err error) {
	sa, err := sockaddrOf(at)
	if err != nil {
		return nil, err
	}
	domain := unix.AF_INET6
	if at.Addr().Is4() {
		domain = unix.AF_INET
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	l := &Listener{fd: fd}
	defer func() {
		if err != nil {
			_ = l.Close()
		}
	}()
	if err := o.set(fd); err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	if domain == unix.AF_INET6 {
		// [::] is both families, whatever net.ipv6.bindv6only says.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return nil, os.NewSyscallError("setsockopt IPV6_V6ONLY", err)
		}
	}
	if shared {
		if err := setReusePort(fd); err != nil {
			return nil, err
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	// The kernel cuts the queue down to net.core.somaxconn (listen(2)).
	if err := unix.Listen(fd, math.MaxInt32); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	l.addr = socketAddr(unix.SYS_GETSOCKNAME, fd)
	return l, nil
}

func setReusePort(fd int) error {
	return os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

// set applies the options to a listening socket, before or after listen(2).
func (o Options) set(fd int) error {
	keepAlive := 0
	if o.KeepAliveIdle > 0 {
		keepAlive = 1
	}
	for _, opt := range []struct {
		name              string
		level, opt, value int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, keepAlive},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, ceil(o.KeepAliveIdle, time.Second)},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, ceil(o.KeepAliveInterval, time.Second)},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, o.KeepAliveCount},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ceil(o.UserTimeout, time.Millisecond)},
	} {
		if opt.value == 0 {
			continue
		}
		if err := unix.SetsockoptInt(fd, opt.level, opt.opt, opt.value); err != nil {
			return os.NewSyscallError("setsockopt "+opt.name, err)
		}
	}
	return nil
}

// ceil counts units in d, rounded up, so that a small duration is not read as none.
func ceil(d, unit time.Duration) int { return int((d + unit - 1) / unit) }
