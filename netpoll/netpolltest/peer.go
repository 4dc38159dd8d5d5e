package netpolltest

import "golang.org/x/sys/unix"

// Peer is the other side of a connection, for a test to play. It is never in anybody's poller and waits for nothing: it does
// what it is told to, and hears what has arrived.
type Peer struct {
	end  *end
	name string
}

// Write sends p, as far as there is room, and returns how much that was. A peer that is gone sends nothing.
func (p *Peer) Write(b []byte) int {
	if p.end.closed {
		return 0
	}
	n, err := p.end.write(b)
	if err != nil {
		return 0
	}
	return n
}

// Read takes at most n bytes of what has arrived. It returns [netpoll.ErrWouldBlock] where nothing has, io.EOF at the end, and
// another error after a reset.
func (p *Peer) Read(n int) ([]byte, error) {
	b := make([]byte, min(n, max(1, len(p.end.in.arrived))))
	n, err := p.end.read(b)
	return b[:n], err
}

// Waiting is how many bytes have arrived and were not read.
func (p *Peer) Waiting() int { return len(p.end.in.arrived) }

// CloseWrite ends the peer's direction.
func (p *Peer) CloseWrite() {
	if !p.end.closed {
		_ = p.end.closeWrite()
	}
}

// Close ends the connection: with a reset, if something was not read.
func (p *Peer) Close() { p.end.close() }

// Reset ends the connection with a reset.
func (p *Peer) Reset() {
	if !p.end.closed {
		p.end.reset()
	}
}

// Vanish takes the peer off the net: nothing that it sent arrives any more, and nobody is told.
func (p *Peer) Vanish() {
	p.end.vanished = true
	for _, d := range []*direction{p.end.in, p.end.out} {
		if d.place != 0 {
			d.land()
		}
	}
}

// GiveUp is what the gateway's kernel does about a peer that has vanished, after a while: its socket fails with ETIMEDOUT.
func (p *Peer) GiveUp() { p.end.other.abort(unix.ETIMEDOUT) }

// Gone reports whether the peer has closed, or learnt that the connection is over.
func (p *Peer) Gone() bool { return p.end.closed || p.end.dead }

// OnData has f called whenever something about the connection has changed for the peer, as a part of the step in which it did.
func (p *Peer) OnData(f func()) { p.end.heard = f }
