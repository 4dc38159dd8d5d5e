package engine

import (
	"net/netip"

	"sluice/metrics"
	"sluice/session"
)

// Dial begins to connect a stream of a class to a server. The owner hears of it
// with Dialled, and sends the head of its request with Ask; what the server
// answers comes with Head, as a newcomer's request does, and Accept makes a session
// of it, in the client's role. Whoever is not reached is Gone, having come as far as
// Dialling. The error is that of [netpoll.Connect].
func (e *Engine) Dial(to netip.AddrPort, c *Class) (*Stream, error) {
	conn, err := e.sys.Connect(to)
	if err != nil {
		return nil, err
	}
	s := e.slab.take(e)
	s.conn, s.class = conn, c
	s.state = Dialling
	s.set(dialled, true)
	e.wheel.Arm(&s.timer, e.now+1+s.limits().HeadTime)
	e.owner.Came(s)
	e.register(s)
	return s, nil
}

// reached goes on with a stream whose connection is there, or has failed.
func (e *Engine) reached(s *Stream) {
	if e.sys.Failure(s.conn) != nil {
		e.Drop(s, metrics.ReasonReset)
		return
	}
	e.pend(s, Heading)
	e.sys.Mod(s.conn.FD(), s.interest())
	e.owner.Dialled(s)
}

// Ask sends the head of a request to the server that s has reached.
func (e *Engine) Ask(s *Stream, head []byte) {
	e.out = append(e.out[:0], head...)
	e.Flush(s)
}

// Role is the side that s plays.
func (s *Stream) Role() session.Role {
	if s.is(dialled) {
		return session.Client
	}
	return session.Server
}

// masks reports whether what s says is masked: it is a session, in the client's
// role (RFC 6455 §5.3).
func (s *Stream) masks() bool { return s.flags&(dialled|upgraded) == dialled|upgraded }

// mask returns the frames in p as a client sends them, in a buffer of the engine's.
func (e *Engine) mask(p []byte) []byte {
	e.masked = session.AppendAllMasked(e.masked[:0], p, e.key)
	return e.masked
}

// key returns a masking key that nobody can foresee.
func (e *Engine) key() [4]byte {
	k := e.keys.Uint64()
	return [4]byte{byte(k), byte(k >> 8), byte(k >> 16), byte(k >> 24)}
}
