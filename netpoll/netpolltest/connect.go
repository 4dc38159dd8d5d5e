package netpolltest

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sluice/netpoll"
)

// Service is who answers connections that loops begin: it is asked when the SYN arrives, after a time that the seed decides,
// and takes the peer or refuses, with false. A world without one refuses all.
type Service func(to netip.AddrPort, p *Peer) (takes bool)

// Connect is what [netpoll.Connect] is.
func (s *system) Connect(addr netip.AddrPort) (netpoll.Conn, error) {
	w := s.world
	ours, theirs := w.connect()
	fd, err := w.allot(ours)
	if err != nil {
		return netpoll.Conn{}, err
	}
	ours.connecting = true
	w.peers++
	p := &Peer{end: theirs, name: fmt.Sprintf("peer %d", w.peers)}
	w.After(time.Duration(w.random.IntN(int(w.latest())))+1, func() {
		if ours.closed || ours.dead {
			return
		}
		if w.Service == nil || !w.Service(addr, p) {
			ours.connecting = false
			theirs.closed = true
			ours.abort(unix.ECONNREFUSED)
			return
		}
		ours.connecting = false
		ours.stir(anything)
	})
	return netpoll.ConnOf(fd), nil
}

// latest is the longest that a SYN takes to be answered.
func (w *World) latest() time.Duration { return 50 * time.Millisecond }

// Failure is what [netpoll.Conn.Failure] is.
func (s *system) Failure(c netpoll.Conn) error {
	e := s.socket(c, "getsockopt")
	if e.failed == nil {
		return nil
	}
	err := e.failed
	e.failed = nil
	return os.NewSyscallError("connect", err)
}
