package netpoll

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstInherited is SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstInherited = 3

// Inherited returns the listening TCP sockets that the service manager handed in (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS,
// LISTEN_FDNAMES), or nil when there are none. They get the options of o except the backlog, which is the manager's to choose;
// connections that already wait in a queue do not, so the manager should set what matters (NoDelay= in systemd.socket(5)).
// The environment variables are unset, so that child processes do not take them for theirs.
//
// Another process that shares such a socket must leave it non-blocking. After an error nothing was closed: the process is
// expected to end.
func Inherited(o Options) ([]*Listener, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, key := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(key); err != nil {
			return nil, err
		}
	}
	if pid != strconv.Itoa(os.Getpid()) || count == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("LISTEN_FDS=%q is not a number of descriptors", count)
	}
	listeners := make([]*Listener, 0, n)
	for fd := firstInherited; fd < firstInherited+int(n); fd++ {
		name, rest, _ := strings.Cut(names, ":")
		names = rest
		l, err := adopt(fd, name, o)
		if err != nil {
			return nil, fmt.Errorf("inherited descriptor %d (%s): %w", fd, name, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// adopt makes a Listener of a descriptor that somebody else opened.
func adopt(fd int, name string, o Options) (*Listener, error) {
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt SO_PROTOCOL", err)
	}
	if protocol != unix.IPPROTO_TCP && protocol != unix.IPPROTO_MPTCP {
		return nil, errors.New("not a TCP socket")
	}
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt SO_ACCEPTCONN", err)
	}
	if listening == 0 {
		return nil, errors.New("not a listening socket")
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	if protocol == unix.IPPROTO_MPTCP {
		o.UserTimeout = 0 // the kernel has none for it; Go's net.Listen makes such sockets
	}
	if err := o.set(fd); err != nil {
		return nil, err
	}
	return &Listener{fd: fd, addr: socketAddr(unix.SYS_GETSOCKNAME, fd), name: name, inherited: true}, nil
}
