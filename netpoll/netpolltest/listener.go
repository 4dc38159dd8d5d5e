package netpolltest

import (
	"errors"
	"fmt"
	"net/netip"

	"sluice/netpoll"
)

// Listener is a listening socket of the world.
type Listener struct {
	world  *World
	fd     int
	queue  []*end
	list   []*entry
	deaf   bool
	closed bool
}

// Listen opens a listener.
func (w *World) Listen() (*Listener, error) {
	l := &Listener{world: w}
	fd, err := w.allot(l)
	if err != nil {
		return nil, err
	}
	l.fd = fd
	return l, nil
}

func (l *Listener) watchers() *[]*entry { return &l.list }

func (l *Listener) ready() netpoll.Event {
	if len(l.queue) > 0 {
		return netpoll.In
	}
	return 0
}

// FD returns the descriptor for a poller, or -1 after Close.
func (l *Listener) FD() int {
	if l.closed {
		return -1
	}
	return l.fd
}

// Addr is an address that means nothing.
func (l *Listener) Addr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(1024+l.fd))
}

// Waiting is how many connections nobody has accepted yet.
func (l *Listener) Waiting() int { return len(l.queue) }

// Inherited reports false: nobody handed the listener in.
func (l *Listener) Inherited() bool { return false }

// Quiesce makes l take no new connections. Those that wait in its queue can be accepted.
func (l *Listener) Quiesce() error {
	l.deaf = true
	return nil
}

// Accept takes a connection from the queue. As in the kernel, the descriptor is looked for before the client.
func (l *Listener) Accept() (netpoll.Conn, error) {
	e := &end{}
	fd, err := l.world.allot(e)
	if err != nil {
		return netpoll.Conn{}, err
	}
	if len(l.queue) == 0 {
		l.world.open[fd] = nil
		return netpoll.Conn{}, netpoll.ErrWouldBlock
	}
	l.world.open[fd] = l.queue[0]
	l.queue = l.queue[1:]
	l.world.trace("accepted as descriptor %d", fd)
	if len(l.queue) > 0 {
		l.world.stir(l, netpoll.In)
	}
	return netpoll.ConnOf(fd), nil
}

// Close frees the descriptor, and resets whoever waits in the queue.
func (l *Listener) Close() error {
	if l.closed {
		return nil
	}
	l.closed = true
	for _, e := range l.queue {
		e.reset()
	}
	l.queue = nil
	l.world.free(l.fd)
	return nil
}

// ErrRefused is what a peer is told to whom nobody listens.
var ErrRefused = errors.New("netpolltest: connection refused")

// Dial connects a peer to one of the listeners that share a port.
func (w *World) Dial(among ...*Listener) (*Peer, error) {
	var open []*Listener
	for _, l := range among {
		if !l.closed && !l.deaf {
			open = append(open, l)
		}
	}
	if len(open) == 0 {
		return nil, ErrRefused
	}
	l := open[w.random.IntN(len(open))]
	ours, theirs := w.connect()
	l.queue = append(l.queue, ours)
	w.stir(l, netpoll.In)
	w.peers++
	return &Peer{end: theirs, name: fmt.Sprintf("peer %d", w.peers)}, nil
}
