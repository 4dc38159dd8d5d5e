package netpoll

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Waker is a loop's doorbell: an eventfd(2) in its poller. A goroutine first leaves its message where the loop will look, then
// calls Wake; the loop's callback first calls Clear, then looks. In that order no message is left lying.
type Waker struct {
	fd   int
	rung atomic.Bool
}

// NewWaker opens a doorbell. Its descriptor goes into the poller with In.
func NewWaker() (*Waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd2", err)
	}
	return &Waker{fd: fd}, nil
}

// FD returns the descriptor for [Poller.Add], or -1 after Close.
func (w *Waker) FD() int { return w.fd }

// Wake rings, from any goroutine. Until the loop has called Clear, only the first ring is a system call.
func (w *Waker) Wake() {
	if !w.rung.CompareAndSwap(false, true) {
		return
	}
	// It cannot fail: the counter is far from its end.
	one := binary.NativeEndian.AppendUint64(make([]byte, 0, 8), 1)
	_, _ = call("write", unix.SYS_WRITE, w.fd, unsafe.Pointer(unsafe.SliceData(one)), 8, 0)
}

// Clear makes the bell ring anew; only the loop calls it. The bell is silenced before the flag falls: the other way round, a
// ring in between would be silenced with its flag up, and every later one swallowed.
func (w *Waker) Clear() {
	_, _ = readCounter(w.fd)
	w.rung.Store(false)
}

// Close frees the descriptor. It is idempotent. No Wake may come any more: the number may already be another's.
func (w *Waker) Close() error {
	if w.fd < 0 {
		return nil
	}
	fd := w.fd
	w.fd = -1
	return closeFD(fd)
}

// readCounter reads and resets the counter of an eventfd or a timerfd. Both answer with eight bytes in native order.
func readCounter(fd int) (uint64, error) {
	var b [8]byte
	if _, err := call("read", unix.SYS_READ, fd, unsafe.Pointer(&b), 8, 0); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}
