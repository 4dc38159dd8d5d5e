package engine

import (
	"errors"
	"net/netip"
)

// Dial begins to connect a stream of a class to a server. The owner hears of it
// with Dialled, and sends the head of its request with Ask; what the server
// answers comes with Head, as a newcomer's request does, and Accept makes a session
// of it, in the client's role. Whoever is not reached is Gone, having come as far as
// Dialling. The error is that of [netpoll.Connect], or says that the owner has heard
// of the end of s already, which cannot be polled.
func (e *Engine) Dial(to netip.AddrPort, c *Class) (*Stream, error) {
	conn, err := e.sys.Connect(to)
	if err != nil {
		return nil, err
	}
	s := e.vacant()
	s.conn, s.class = conn, c
	s.state = Dialling
	s.set(dialled, true)
	e.wheel.Arm(&s.timer, e.now+1+s.limits().HeadTime)
	e.owner.Came(s)
	if e.register(s); s.state != Dialling {
		return nil, errNotPolled
	}
	return s, nil
}

var errNotPolled = errors.New("connection cannot be polled")

// Ask sends the head of a request to the server that s has reached.
func (e *Engine) Ask(s *Stream, head []byte) {
	e.out, e.answered = append(e.out[:0], head...), len(head)
	e.Flush(s)
}
