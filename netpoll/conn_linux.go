package netpoll

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a connected, non-blocking stream socket: four bytes, and the zero Conn is closed. It may be copied, but exactly
// one copy owns the descriptor: the one that is closed, after its last user. No method may run beside Close.
type Conn struct {
	fd1 int32 // the descriptor plus one
}

// ConnOf returns the connection that descriptor fd is, for a [System] of one's own.
func ConnOf(fd int) Conn { return Conn{int32(fd) + 1} }

// FD returns the descriptor for [Poller.Add], or -1 when c is closed.
func (c Conn) FD() int { return int(c.fd1) - 1 }

// Open reports whether c holds a descriptor.
func (c Conn) Open() bool { return c.fd1 != 0 }

// Read reads what is there, at most len(p) bytes. It returns [io.EOF] at the end of the stream, [ErrWouldBlock] when
// nothing is there, and otherwise an [os.SyscallError].
func (c Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := call("recvfrom", unix.SYS_RECVFROM, c.FD(), unsafe.Pointer(unsafe.SliceData(p)), uintptr(len(p)), unix.MSG_DONTWAIT)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// sendFlags ask for EPIPE alone when the peer is gone, without the SIGPIPE that the runtime would receive only to ignore it.
const sendFlags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL

// Write writes what the socket takes now. Unlike an [io.Writer] it may write less than len(p) without an error;
// [ErrWouldBlock] says that it took nothing.
func (c Conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return call("sendto", unix.SYS_SENDTO, c.FD(), unsafe.Pointer(unsafe.SliceData(p)), uintptr(len(p)), sendFlags)
}

// CloseWrite ends the stream to the peer. Reading goes on.
func (c Conn) CloseWrite() error {
	return os.NewSyscallError("shutdown", unix.Shutdown(c.FD(), unix.SHUT_WR))
}

// Close frees the descriptor. When bytes of the peer are unread, the peer is reset instead of told the end (RFC 1122,
// section 4.2.2.13). Close is idempotent.
func (c *Conn) Close() error {
	if !c.Open() {
		return nil
	}
	fd := c.FD()
	*c = Conn{}
	return closeFD(fd)
}

// Reset closes c so that the peer sees a reset and nothing unsent lingers. It is idempotent too.
func (c *Conn) Reset() error {
	if !c.Open() {
		return nil
	}
	err := unix.SetsockoptLinger(c.FD(), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	return errors.Join(os.NewSyscallError("setsockopt SO_LINGER", err), c.Close())
}

// closeFD closes fd. On Linux the descriptor is gone even after EINTR (close(2)): repeating would close somebody else's.
func closeFD(fd int) error {
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return os.NewSyscallError("close", err)
	}
	return nil
}

// RemoteAddr returns the peer's address, or the zero AddrPort when c is closed or the peer is gone.
// IPv4 peers of a dual-stack listener have IPv4 addresses.
func (c Conn) RemoteAddr() netip.AddrPort { return socketAddr(unix.SYS_GETPEERNAME, c.FD()) }

// LocalAddr returns the address that the peer connected to, or the zero AddrPort when c is closed.
func (c Conn) LocalAddr() netip.AddrPort { return socketAddr(unix.SYS_GETSOCKNAME, c.FD()) }
