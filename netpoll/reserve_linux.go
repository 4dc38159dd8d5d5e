package netpoll

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// An Acceptor has connections to be accepted, as a [Listener] has.
type Acceptor interface{ Accept() (Conn, error) }

// Reserve holds a spare descriptor, so that a process that has run out can still take a connection from the queue, answer it
// and let it go, instead of leaving the client to wait. All loops share one; its methods may be called from any goroutine.
type Reserve struct {
	mu     sync.Mutex
	spare  int         // -1 while lost
	filler int         // what a descriptor is replaced with that must not become free
	tight  atomic.Bool // there was no descriptor left when one was wanted last
	buf    [4096]byte
}

// NewReserve opens the spare descriptor.
func NewReserve() (*Reserve, error) {
	filler, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd2", err)
	}
	r := &Reserve{spare: -1, filler: filler}
	if err := r.fill(); err != nil {
		_ = closeFD(filler)
		return nil, err
	}
	return r, nil
}

// Accept is l.Accept for those who share the reserve. Once descriptors have run out it keeps the loops from taking each
// other's spare: a loop that would have to wait for another is told ErrWouldBlock, and its poller reports the client again.
func (r *Reserve) Accept(l Acceptor) (Conn, error) {
	if r.tight.Load() {
		if !r.mu.TryLock() {
			return Conn{}, ErrWouldBlock
		}
		defer r.mu.Unlock()
		if err := r.fill(); err != nil { // the spare comes first
			return Conn{}, err
		}
	}
	c, err := l.Accept()
	if tight := errors.Is(err, ErrNoDescriptors); tight != r.tight.Load() && err != ErrWouldBlock {
		r.tight.Store(tight)
	}
	return c, err
}

// fill opens the spare if it is missing. An eventfd needs no file system.
func (r *Reserve) fill() error {
	if r.spare >= 0 {
		return nil
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("%w: spare: %w", ErrNoDescriptors, os.NewSyscallError("eventfd2", err))
	}
	r.spare = fd
	return nil
}

// Refill opens the spare again if it was lost: while Refuse has it closed, another goroutine may take the descriptor. The
// next Refuse tries too, but by then there may be none; so call Refill now and then, as on a tick. It is cheap and does not
// wait: while another loop uses the spare it does nothing. It returns [ErrNoDescriptors] while there is none to be had.
func (r *Reserve) Refill() error {
	if !r.mu.TryLock() {
		return nil
	}
	defer r.mu.Unlock()
	return r.fill()
}

// Refuse gives up the spare, accepts one connection from l, writes response, ends the stream, and opens the spare again.
// It does not wait for the client: what of the response the socket does not take at once is lost.
//
// It returns nil when a client was answered, [ErrWouldBlock] when none waits, and [ErrNoDescriptors] when the spare is in use by
// another loop or lost; then the caller pauses.
func (r *Reserve) Refuse(l Acceptor, response []byte) error {
	r.tight.Store(true)
	if !r.mu.TryLock() {
		return ErrNoDescriptors
	}
	defer r.mu.Unlock()
	if err := r.fill(); err != nil {
		return err
	}
	if err := r.release(); err != nil {
		return err
	}
	c, err := l.Accept()
	if err != nil {
		_ = r.fill() // a failure shows at the next call
		return err
	}
	_, _ = c.Write(response)
	_ = c.CloseWrite()
	r.drain(c)
	// The connection's descriptor becomes the spare in one step: it is free at no time, so no other goroutine can take it.
	if err := unix.Dup3(r.filler, c.FD(), unix.O_CLOEXEC); err != nil {
		_ = c.Close()
		_ = r.fill()
		return os.NewSyscallError("dup3", err)
	}
	r.spare = c.FD()
	return nil
}

// drain reads what the client has sent, within reason: closing over unread bytes would reset the connection, and the response
// with it.
func (r *Reserve) drain(c Conn) {
	for range 16 {
		if _, err := c.Read(r.buf[:]); err != nil {
			return
		}
	}
}

func (r *Reserve) release() error {
	if r.spare < 0 {
		return nil
	}
	fd := r.spare
	r.spare = -1
	return closeFD(fd)
}

// Close gives the spare back. It is idempotent; Refuse and Refill must not be called afterwards.
func (r *Reserve) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.release()
	if r.filler >= 0 {
		err = errors.Join(err, closeFD(r.filler))
		r.filler = -1
	}
	return err
}
