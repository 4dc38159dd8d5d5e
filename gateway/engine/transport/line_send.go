package transport

import (
	"sluice/netpoll"
	"sluice/session"
)

// Send seals one record of the bytes in pieces and writes it. It returns how many bytes were sealed, which are as good as
// sent; if sealed bytes wait now, the caller goes on with the rest after Flush. since is when the first of the bytes began to
// wait. While sealed bytes wait, nothing is sealed.
//
// Before the transport is up, and after the farewell, the bytes are thrown away: nobody can be told.
//
// An error is of the socket, or [session.ErrQueueBudget]: no buffer for the rest of a record. The stream ends with either.
func (l *Line) Send(x *IO, c netpoll.Conn, pieces [][]byte, since session.Tick) (n int, err error) {
	if l.torn != nil {
		return 0, l.torn
	}
	if !l.Speaks() {
		for _, p := range pieces {
			n += len(p)
		}
		return n, nil
	}
	if l.Waiting() > 0 {
		return 0, nil
	}
	record, n := l.t.Seal(x.scratch[:0], pieces)
	err = l.push(x, c, record, since)
	x.keep(record)
	return n, err
}

// SendBytes is Send of a head and p, as many records as the socket takes.
func (l *Line) SendBytes(x *IO, c netpoll.Conn, head, p []byte, since session.Tick) (n int, err error) {
	for n < len(head)+len(p) && err == nil && l.Waiting() == 0 {
		h := min(n, len(head))
		x.pieces[0], x.pieces[1] = head[h:], p[n-h:]
		var m int
		m, err = l.Send(x, c, x.pieces[:], since)
		n += m
	}
	x.pieces = [2][]byte{}
	return n, err
}

// Farewell seals the farewell, once. What waits then is the last that is sent.
func (l *Line) Farewell(x *IO, c netpoll.Conn, now session.Tick) error {
	if l.over {
		return nil
	}
	l.over = true
	out := l.t.End(x.scratch[:0])
	err := l.push(x, c, out, now)
	x.keep(out)
	return err
}

// Flush writes what is sealed, as far as the socket takes it.
func (l *Line) Flush(x *IO, c netpoll.Conn) error {
	if l.torn != nil || l.Waiting() == 0 {
		return l.torn
	}
	n, err := x.Socket.Write(c, l.sealed[l.sent:])
	if l.sent += n; l.Waiting() == 0 {
		x.Pool.Put(l.sealed)
		l.sealed, l.sent = nil, 0
	}
	return blocked(err)
}

// push writes out, behind what waits, and keeps what the socket does not take. After
// an error nothing more can be sent: there is a gap.
func (l *Line) push(x *IO, c netpoll.Conn, out []byte, since session.Tick) (err error) {
	if len(out) == 0 {
		return nil
	}
	if l.torn != nil {
		return l.torn
	}
	defer func() { l.torn = err }()
	if l.Waiting() == 0 {
		n, err := x.Socket.Write(c, out)
		if err = blocked(err); err != nil {
			return err
		}
		if n == len(out) {
			return nil
		}
		if l.sealed = x.get(len(out) - n); l.sealed == nil {
			return errBudget
		}
		l.sealed, l.sent, l.since = append(l.sealed, out[n:]...), 0, since
		return nil
	}
	need := len(l.sealed) + len(out)
	grown := x.Pool.Grow(l.sealed, need)
	if grown == nil {
		x.Pool.Reserved(func() { grown = x.Pool.Grow(l.sealed, need) })
	}
	if grown == nil {
		return errBudget
	}
	l.sealed = append(grown, out...)
	return nil
}

// blocked is nil for a socket that takes nothing now.
func blocked(err error) error {
	if err == netpoll.ErrWouldBlock {
		return nil
	}
	return err
}
