package transport

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Conn is a [net.Conn] over a transport that is up, for code outside the loops. As with any, several goroutines may use it.
// While it waits for a peer it has no buffer but the reader's.
//
// What reading provokes is sent by the reader, unless somebody is writing, who sends it too: a peer that does not read what it
// provokes is not read. Deadlines are the socket's.
type Conn struct {
	net.Conn

	reading sync.Mutex
	plain   []byte // opened and not read
	raw     []byte // read and not opened
	whole   bool   // raw may hold a whole record
	err     error  // what reading has come to

	mu      sync.Mutex // the transport's, and of what follows
	t       Transport
	pending []byte // sealed, and nobody is sending it yet
	sending bool   // somebody is, and will send what is pending too
	sent    sync.Cond
	over    bool
	broken  error // of sending
}

// pendingMost is how much may be pending before nothing more is opened.
const pendingMost = 64 << 10

// smallRead is for readers of a byte or two, who would need as many reads as a record is long.
const smallRead = 512

// farewellTime is how long a peer may take before it is left without a farewell.
const farewellTime = 5 * time.Millisecond

// NewConn returns a connection over nc that goes on where s has stopped. The socket, and all that is in s, are its own.
func NewConn(nc net.Conn, s State) *Conn {
	c := &Conn{Conn: nc, plain: s.Plain, raw: s.Raw, whole: len(s.Raw) > 0, err: s.Err, t: s.Transport, pending: s.Sealed, over: s.Over, broken: s.Torn}
	c.sent.L = &c.mu
	return c
}

// Detach takes the socket and its transport out of c, of which nobody may be making use.
func (c *Conn) Detach() (net.Conn, State) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := State{Transport: c.t, Plain: c.plain, Raw: c.raw, Sealed: c.pending, Up: true, Over: c.over, Torn: c.broken, Err: c.err}
	c.plain, c.raw, c.pending, c.t = nil, nil, nil, nil
	c.over, c.broken, c.err = true, net.ErrClosed, net.ErrClosed
	return c.Conn, s
}

// Read reads what records carry.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(c.plain) == 0 {
		switch {
		case c.err != nil:
			return 0, c.err
		case c.whole:
			if err := c.open(); err != nil {
				return 0, err
			}
			continue
		}
		if err := c.flush(); err != nil {
			return 0, err
		}
		room := p
		if len(p) < smallRead {
			room = make([]byte, smallRead)
		}
		n, err := c.Conn.Read(room)
		c.raw = append(c.raw, room[:n]...)
		c.whole = n > 0
		switch {
		case n > 0:
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF // it is not the peer that has said so
		case err != nil:
			return 0, err
		}
	}
	n := copy(p, c.plain)
	if c.plain = c.plain[n:]; len(c.plain) == 0 {
		c.plain = nil
	}
	return n, nil
}

// open opens the record at the front of what was read, if it is whole, and sends what that provokes.
func (c *Conn) open() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.sending && len(c.pending) > pendingMost {
		c.sent.Wait()
	}
	had := len(c.pending)
	o, err := c.t.Open(c.raw, c.pending)
	if c.over { // nothing follows the farewell
		c.pending = o.Out[:had]
	} else {
		c.pending = o.Out
	}
	c.plain, c.raw = o.Plain, c.raw[o.Taken:]
	if len(c.plain) == 0 {
		c.plain = nil
	}
	if len(c.raw) == 0 {
		c.raw = nil
	}
	c.whole = c.raw != nil && o.Taken > 0
	switch {
	case err != nil:
		c.err = err
	case o.Taken == 0 && len(c.raw) >= MaxSealed:
		c.err = errTooLong
	}
	if len(c.pending) > 0 && !c.sending {
		return c.send(nil)
	}
	return nil
}

// flush sends what is pending, before a read that may wait for the peer's answer to it.
func (c *Conn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 || c.sending {
		return nil
	}
	return c.send(nil)
}

// Write seals p and sends it.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.sending {
		c.sent.Wait()
	}
	if c.over {
		return 0, net.ErrClosed
	}
	for n < len(p) && err == nil {
		m := 0
		err = c.send(func(out []byte) []byte {
			if c.over {
				return out
			}
			out, m = c.t.Seal(out, [][]byte{p[n:]})
			return out
		})
		if m == 0 && err == nil {
			err = net.ErrClosed
		}
		n += m
	}
	return n, err
}

// send writes what is pending, and what more appends to it, until nothing is. The caller holds mu, and sees that nobody else
// is sending.
func (c *Conn) send(more func([]byte) []byte) error {
	if more != nil {
		c.pending = more(c.pending)
	}
	c.sending = true
	for len(c.pending) > 0 && c.broken == nil {
		out := c.pending
		c.pending = nil
		c.mu.Unlock()
		_, err := c.Conn.Write(out)
		c.mu.Lock()
		if c.broken == nil {
			c.broken = err
		}
	}
	c.sending = false
	c.sent.Broadcast()
	return c.broken
}

// end seals the farewell, if it was not, and sends it. It is false if somebody is sending.
func (c *Conn) end(wait bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.sending {
		if !wait {
			return false
		}
		c.sent.Wait()
	}
	if c.over {
		return true
	}
	c.over = true
	c.send(c.t.End)
	return true
}

// CloseWrite says farewell and ends our direction.
func (c *Conn) CloseWrite() error {
	c.end(true)
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close says farewell, if the socket takes that now, and closes it.
func (c *Conn) Close() error {
	c.Conn.SetWriteDeadline(time.Now().Add(farewellTime))
	c.end(false)
	err := c.Conn.Close() // who reads or writes finds out, and has done with the transport
	c.reading.Lock()
	defer c.reading.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.sending {
		c.sent.Wait()
	}
	if c.t != nil {
		c.t.Close()
		c.plain, c.raw, c.pending, c.t = nil, nil, nil, nil
		c.over, c.broken, c.err = true, net.ErrClosed, net.ErrClosed
	}
	return err
}
