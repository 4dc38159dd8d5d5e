package transport

import (
	"cmp"
	"io"

	"sluice/netpoll"
	"sluice/session"
)

// Read reads at most size bytes of the socket c and returns what they open to, at the front of buf, which has room for
// [MaxSealed] bytes more than size. It returns also how many bytes the socket gave, and whether there may be more to read or
// to be told, so that Read has to be called again. With Holds it must not be called.
//
// The error is the socket's, io.EOF after the peer's farewell, or why the transport has failed. Before any of them comes what
// was opened, with more true.
func (l *Line) Read(x *IO, c netpoll.Conn, buf []byte, size int, now session.Tick) (p []byte, n int, more bool, err error) {
	if l.err != nil {
		return nil, 0, false, l.err
	}
	k := copy(buf, l.raw)
	if more = l.unread; !more {
		size = min(size, len(buf)-k)
		if n, err = x.Socket.Read(c, buf[k:k+size]); err != nil {
			return nil, 0, false, err
		}
		more = n == size
	}
	p, taken, out := l.open(x, buf[:k+n])
	if l.err == nil {
		err = l.keepRaw(x, buf[taken:k+n], taken, now)
	} else {
		x.Pool.Put(l.raw)
		l.raw = nil
	}
	if !l.over { // also after an error: a farewell may follow
		err = cmp.Or(err, l.push(x, c, out, now))
	}
	x.keep(out)
	if err != nil {
		l.err = err
	}
	return p, n, more || l.err != nil || l.unread || l.working, nil
}

// open opens the records at the front of in, one behind the other, and moves what they carry to its front. taken is how many
// bytes of in they were, and out is what that has provoked.
func (l *Line) open(x *IO, in []byte) (p []byte, taken int, out []byte) {
	out = x.scratch[:0]
	l.unread = false
	w := 0
	for taken < len(in) {
		if l.Waiting()+len(out) > x.HighWater {
			l.unread = true
			break
		}
		o, err := l.t.Open(in[taken:], out)
		out = o.Out
		w += copy(in[w:], o.Plain)
		taken += o.Taken
		l.up = l.up || o.Up
		switch {
		case err == ErrWorking:
			l.working = true
			return in[:w], taken, out
		case err != nil:
			l.err, l.failed = err, err != io.EOF
			return in[:w], taken, out
		case o.Taken == 0 && len(in)-taken >= MaxSealed:
			l.err, l.failed = errTooLong, true
			return in[:w], taken, out
		case o.Taken == 0:
			return in[:w], taken, out
		}
	}
	return in[:w], taken, out
}

// keepRaw keeps rest, which was not opened. The bytes before it, as many as taken, were.
func (l *Line) keepRaw(x *IO, rest []byte, taken int, now session.Tick) error {
	if len(rest) == 0 {
		x.Pool.Put(l.raw)
		l.raw = nil
		return nil
	}
	if l.raw == nil || taken > 0 {
		l.rawSince = now
	}
	if cap(l.raw) < len(rest) {
		b := x.get(len(rest))
		if b == nil {
			return errBudget
		}
		x.Pool.Put(l.raw)
		l.raw = b
	}
	l.raw = append(l.raw[:0], rest...)
	return nil
}

// get is a buffer for what must not be lost: it may take of the reserve.
func (x *IO) get(n int) (b []byte) {
	if b = x.Pool.Get(n); b == nil {
		x.Pool.Reserved(func() { b = x.Pool.Get(n) })
	}
	return b
}

// keep has the loop use a scratch that has grown, unless it has grown too much.
func (x *IO) keep(scratch []byte) {
	if cap(scratch) <= 2*MaxSealed {
		x.scratch = scratch[:0]
	}
}

// Discard reads and throws away what the socket has, of a stream whose input means nothing any more.
func (l *Line) Discard(x *IO, c netpoll.Conn, buf []byte) (n int, err error) {
	if l.raw != nil {
		x.Pool.Put(l.raw)
		l.raw = nil
	}
	l.unread, l.working = false, false
	if l.err == nil {
		l.err = io.EOF // nothing can be opened behind a gap
	}
	return x.Socket.Read(c, buf)
}
