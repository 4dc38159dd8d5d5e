package netpoll

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrWouldBlock reports that a call has nothing to do now. It is returned bare: compare with ==.
var ErrWouldBlock = errors.New("netpoll: operation would block")

// ErrNoDescriptors reports that a connection waits but cannot be accepted, because the process or the system has run out of
// descriptors or memory. The error that carries it wraps the errno too; [Errno] names it.
var ErrNoDescriptors = errors.New("netpoll: out of descriptors")

// Errno returns the symbolic name of the errno inside err, such as "EMFILE", or "other" where there is none.
// The names are few and fixed: they may label a metric.
func Errno(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		if name := unix.ErrnoName(errno); name != "" {
			return name
		}
	}
	return "other"
}

// call makes one system call that cannot block, and is the one place that knows EINTR and EAGAIN.
//
// It is a raw call: the scheduler is not told, which saves its bookkeeping on the way in and out, and would stop the whole
// process at the next garbage collection if the call ever slept. So only calls on non-blocking descriptors come here, and
// those on connections say MSG_DONTWAIT besides, since O_NONBLOCK belongs to the open file and whoever shares it may clear it.
func call(op string, trap uintptr, fd int, p unsafe.Pointer, a, b uintptr) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(trap, uintptr(fd), uintptr(p), a, b, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, ErrWouldBlock
		default:
			return 0, os.NewSyscallError(op, errno)
		}
	}
}
