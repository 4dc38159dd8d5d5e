package netpolltest

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"sluice/netpoll"
)

// direction is the bytes that go one way over a connection: some on their way, some arrived and not read.
type direction struct {
	world   *World
	room    int // for all of them
	flight  []byte
	arrived []byte
	to      *end // who reads it

	finSent    bool // nothing follows flight but the end
	finArrived bool
	rstSent    bool // and whatever is in flight is lost
	place      int  // in world.flying, plus one; 0: nothing is on its way
}

// end is one side of a connection: the gateway's, which has a descriptor, or a peer's, which has none.
type end struct {
	world *World
	out   *direction // what it writes
	in    *direction // what it reads
	other *end
	list  []*entry

	failed     error // what the next call is told, once: ECONNRESET
	dead       bool  // it was reset, or has reset
	closed     bool
	wantRoom   bool // a write did not find all the room that it wanted
	connecting bool // its SYN is not answered
	vanished   bool // nothing reaches it any more, nor comes from it
	heard      func()
}

// connect returns the two ends of a new connection.
func (w *World) connect() (a, b *end) {
	a, b = &end{world: w}, &end{world: w}
	a.other, b.other = b, a
	a.out = &direction{world: w, room: w.Room, to: b}
	b.out = &direction{world: w, room: w.Room, to: a}
	a.in, b.in = b.out, a.out
	return a, b
}

func (e *end) watchers() *[]*entry { return &e.list }

// ready is what epoll reports of the socket (tcp_poll in the kernel).
func (e *end) ready() (ev netpoll.Event) {
	if e.connecting {
		return 0
	}
	if len(e.in.arrived) > 0 || e.in.finArrived || e.dead {
		ev |= netpoll.In
	}
	if e.in.finArrived || e.dead {
		ev |= netpoll.ReadHup
	}
	if e.in.finArrived && e.out.finSent || e.dead {
		ev |= netpoll.Hup
	}
	if e.failed != nil {
		ev |= netpoll.Err
	}
	if e.free() > 0 || e.dead || e.out.finSent {
		ev |= netpoll.Out
	}
	return ev
}

// free is how much may be written now.
func (e *end) free() int { return e.out.room - len(e.out.flight) - len(e.out.arrived) }

// read is recv(2).
func (e *end) read(p []byte) (int, error) {
	if n := copy(p, e.in.arrived); n > 0 {
		e.in.arrived = e.in.arrived[n:]
		e.other.relax()
		return n, nil
	}
	switch {
	case e.in.finArrived: // the end that was told stays, whatever came later (SOCK_DONE in the kernel)
		return 0, io.EOF
	case e.failed != nil:
		err := e.failed
		e.failed = nil
		return 0, os.NewSyscallError("recvfrom", err)
	case e.dead:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	return 0, netpoll.ErrWouldBlock
}

// relax tells a writer of room, once a third is free, as the kernel does.
func (e *end) relax() {
	if e.wantRoom && e.free() >= (e.out.room+2)/3 {
		e.wantRoom = false
		e.stir(netpoll.Out)
	}
}

// write is send(2).
func (e *end) write(p []byte) (int, error) {
	switch {
	case e.failed != nil:
		err := e.failed
		e.failed = nil
		return 0, os.NewSyscallError("sendto", err)
	case e.dead || e.out.finSent:
		return 0, os.NewSyscallError("sendto", unix.EPIPE)
	case len(p) == 0:
		return 0, nil
	}
	n := min(len(p), e.free())
	if n < len(p) {
		e.wantRoom = true
	}
	if n <= 0 {
		return 0, netpoll.ErrWouldBlock
	}
	e.out.flight = append(e.out.flight, p[:n]...)
	e.out.fly()
	return n, nil
}

// over reports whether both directions have come to their end.
func (e *end) over() bool { return e.in.finArrived && e.out.finArrived }

// closeWrite is shutdown(2) of the writing side.
func (e *end) closeWrite() error {
	defer e.stir(anything) // the kernel wakes whoever polls, whatever has changed
	if e.dead || e.over() {
		return os.NewSyscallError("shutdown", unix.ENOTCONN)
	}
	if !e.out.finSent {
		e.out.finSent = true
		e.out.fly()
	}
	return nil
}

// close is close(2): a reset where something is unread, the end where nothing is.
func (e *end) close() {
	if e.closed {
		return
	}
	if len(e.in.arrived) > 0 {
		e.reset()
		return
	}
	e.closed = true
	if !e.dead && !e.out.finSent {
		e.out.finSent = true
		e.out.fly()
	}
}

// reset ends the connection. What is on its way from here arrives before the reset, or is lost to it.
func (e *end) reset() {
	e.closed = true
	if e.dead || e.over() { // nobody is left to be told
		return
	}
	e.dead = true
	e.out.rst()
}

func (d *direction) rst() {
	d.rstSent = true
	if d.world.random.IntN(2) == 0 {
		d.flight = nil
	}
	d.fly()
}

// anything is the key of a change that concerns every poller, whatever it asks for.
const anything netpoll.Event = 0

// stir makes whoever asks for key look at the socket again.
func (e *end) stir(key netpoll.Event) {
	e.world.stir(e, key)
	if e.heard != nil && !e.closed {
		e.heard()
	}
}

// fly puts d among what can arrive. What a vanished side sends is lost.
func (d *direction) fly() {
	if d.place != 0 || d.to.vanished || d.to.other.vanished {
		return
	}
	d.world.flying = append(d.world.flying, d)
	d.place = len(d.world.flying)
}

// land takes d out of what can arrive.
func (d *direction) land() {
	w := d.world
	last := len(w.flying) - 1
	w.flying[d.place-1] = w.flying[last]
	w.flying[d.place-1].place = d.place
	w.flying[last] = nil
	w.flying = w.flying[:last]
	d.place = 0
}

// arrive lets a segment arrive: some of what is on its way, and perhaps the end with the last of it.
func (d *direction) arrive() {
	w, to := d.world, d.to
	switch {
	case to.closed:
		d.arriveNowhere()
		return
	case d.rstSent && len(d.flight) == 0:
		d.land()
		w.trace("a reset arrives")
		if to.in.finArrived && !to.out.finSent { // CLOSE-WAIT (tcp_reset in the kernel)
			to.abort(unix.EPIPE)
		} else {
			to.abort(unix.ECONNRESET)
		}
		return
	}
	n := len(d.flight)
	if n > 1 && w.random.IntN(2) == 0 {
		n = 1 + w.random.IntN(n)
	}
	d.arrived = append(d.arrived, d.flight[:n]...)
	d.flight = d.flight[n:]
	if len(d.flight) == 0 {
		d.finArrived = d.finSent && (n == 0 || w.random.IntN(2) == 0)
		if !d.rstSent && (d.finArrived || !d.finSent) {
			d.land()
		}
	}
	w.trace("%d bytes arrive, end %t", n, d.finArrived)
	if d.finArrived {
		to.stir(anything)
	} else {
		to.stir(netpoll.In)
	}
}

// arriveNowhere is what becomes of segments to a side that has closed: data is answered with a reset, the end is not.
func (d *direction) arriveNowhere() {
	to, data := d.to, len(d.flight) > 0
	d.flight, d.finArrived = nil, d.finSent && !data
	d.land()
	if data && !to.dead {
		to.dead = true
		to.out.rst()
	}
}

// abort ends the connection from outside; the next call says why.
func (e *end) abort(why error) {
	if e.closed || e.dead {
		return
	}
	e.dead, e.failed = true, why
	e.out.flight = nil
	e.stir(anything)
}
