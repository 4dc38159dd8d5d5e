package transporttest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"

	"sluice/netpoll"
)

// wire is a connection in memory. Each end is a [net.Conn], and can be asked without waiting, as a loop asks its sockets.
type wire struct {
	mu      sync.Mutex
	changed sync.Cond
	stirred chan struct{} // something has changed since it was looked at
}

// end is one end of a wire.
type end struct {
	*wire
	in, out  *way
	deadline struct{ read, write time.Time }
	closed   bool
	reads    int // by a loop
}

// way is one direction of a wire.
type way struct {
	bytes []byte
	room  int // for bytes
	most  int // that one read gives
	over  bool
}

// newWire returns the two ends of a wire.
func newWire() (server, client *end) {
	w := &wire{stirred: make(chan struct{}, 1)}
	w.changed.L = &w.mu
	up, down := &way{room: 1 << 20, most: 1 << 20}, &way{room: 1 << 20, most: 1 << 20}
	return &end{wire: w, in: up, out: down}, &end{wire: w, in: down, out: up}
}

func (w *wire) stir() {
	w.changed.Broadcast()
	select {
	case w.stirred <- struct{}{}:
	default:
	}
}

// set changes the wire.
func (w *wire) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.stir()
}

// tryRead and tryWrite do not wait. The caller holds the lock.
func (e *end) tryRead(p []byte) (int, error) {
	switch {
	case e.closed:
		return 0, net.ErrClosed
	case len(e.in.bytes) > 0:
		n := copy(p[:min(len(p), e.in.most)], e.in.bytes)
		e.in.bytes = e.in.bytes[n:]
		e.stir()
		return n, nil
	case e.in.over:
		return 0, io.EOF
	}
	return 0, netpoll.ErrWouldBlock
}

func (e *end) tryWrite(p []byte) (int, error) {
	if e.closed || e.out.over {
		return 0, net.ErrClosed
	}
	n := min(len(p), e.out.room-len(e.out.bytes))
	if n <= 0 {
		return 0, netpoll.ErrWouldBlock
	}
	e.out.bytes = append(e.out.bytes, p[:n]...)
	e.stir()
	return n, nil
}

// socket is an end as a loop sees it.
type socket struct{ *end }

func (s socket) Read(_ netpoll.Conn, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.tryRead(p)
}

func (s socket) Write(_ netpoll.Conn, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tryWrite(p)
}

func (e *end) Read(p []byte) (n int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for n, err = e.tryRead(p); err == netpoll.ErrWouldBlock; n, err = e.tryRead(p) {
		if due(e.deadline.read) {
			return 0, os.ErrDeadlineExceeded
		}
		e.changed.Wait()
	}
	return n, err
}

func (e *end) Write(p []byte) (n int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for n < len(p) {
		m, err := e.tryWrite(p[n:])
		n += m
		switch {
		case err == nil:
		case err != netpoll.ErrWouldBlock:
			return n, err
		case due(e.deadline.write):
			return n, os.ErrDeadlineExceeded
		default:
			e.changed.Wait()
		}
	}
	return n, nil
}

func due(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (e *end) CloseWrite() error {
	e.set(func() { e.out.over = true })
	return nil
}

func (e *end) Close() error {
	e.set(func() { e.closed, e.out.over = true, true })
	return nil
}

func (e *end) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *end) SetReadDeadline(t time.Time) error  { return e.expire(&e.deadline.read, t) }
func (e *end) SetWriteDeadline(t time.Time) error { return e.expire(&e.deadline.write, t) }

func (e *end) expire(which *time.Time, t time.Time) error {
	e.set(func() { *which = t })
	if d := time.Until(t); !t.IsZero() && d > 0 {
		time.AfterFunc(d, func() { e.set(func() {}) })
	}
	return nil
}

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "memory" }

func (e *end) LocalAddr() net.Addr  { return address{} }
func (e *end) RemoteAddr() net.Addr { return address{} }
