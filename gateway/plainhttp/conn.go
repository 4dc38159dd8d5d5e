package plainhttp

import (
	"container/list"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"sluice/gateway/handshake"
)

// conn is a connection of the HTTP server. It knows where each request ends,
// and net/http reads of it only what [handshake.Parse] and [handshake.Body] have
// let pass: the parser that sees the first head of a connection sees them all.
//
// What has to be answered otherwise, because it is malformed or an upgrade, must
// wait until the requests before it are answered. So net/http is given a request
// in its place that no client can send, and whose handler is turn.
type conn struct {
	Conn
	server  *Server
	socket  Socket
	place   *list.Element // server.mu's; nil: it has none any more
	trusted bool          // server.mu's: it has shown a valid key

	// Who reads changes, but there is only one at a time: the server, which
	// waits for a read of its own in the background before it goes on.
	buf      []byte // read and not passed on yet
	framed   int    // of buf, what may be passed on
	seen     int    // of buf, what was searched for the end of a head
	stage    stage
	body     handshake.Body
	bodyDue  time.Time        // when the body must have come so far
	closing  bool             // the rest of the body is thrown away, and bodyDue stands
	refusal  *handshake.Error // of what comes next; nil: it is an upgrade
	bodiless bool             // and no answer to it has a body
	upgrade  []byte           // its head, and what came behind it

	times sync.Mutex
	asked time.Time // the read deadline that the server wants
	due   time.Time // and the one that we want
}

// stage is what a conn reads next.
type stage uint8

const (
	inHead stage = iota
	inBody
	inTurn  // turn has the connection
	inError // the body was malformed
)

// Read returns octets of the request at hand, or of the next one when its head
// is complete and well-formed.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for c.framed == 0 {
		switch c.stage {
		case inBody:
			return c.readBody(p) // all that was in buf of it is passed on
		case inTurn:
			return 0, io.EOF
		case inError:
			return 0, handshake.ErrChunk
		}
		if c.takeHead() {
			continue
		}
		// Into p, so that nobody who waits has a buffer.
		n, err := c.Conn.Read(p)
		c.buf = append(c.buf, p[:n]...)
		if err != nil && n == 0 && !c.tooSlow(err) {
			return 0, err
		}
	}
	n := copy(p, c.buf[:c.framed])
	c.buf, c.framed = c.buf[n:], c.framed-n
	if len(c.buf) == 0 {
		c.buf = nil
	}
	return n, nil
}

// takeHead looks for the end of a head in buf. It is false if there is none yet.
func (c *conn) takeHead() bool {
	limits := c.server.o.Limits()
	end := handshake.End(c.buf, c.seen)
	switch {
	case end > limits.Head || end < 0 && len(c.buf) >= limits.Head:
		c.refuse(handshake.TooLarge(c.buf[:limits.Head]))
	case end >= 0:
		c.begin(end, limits.Fields)
	default:
		if err := handshake.CheckPrefix(c.buf, c.seen); err != nil {
			c.refuse(err)
			return true
		}
		if len(handshake.SkipEmptyLine(c.buf)) > 0 {
			if c.seen == 0 { // it has begun
				c.expect(time.Now().Add(limits.HeadTime))
			}
			c.seen = len(c.buf)
		}
		return false
	}
	return true
}

// begin begins the request whose head ends there.
func (c *conn) begin(end, maxFields int) {
	c.expect(time.Time{})
	c.seen = 0
	var h handshake.Head
	if err := handshake.Parse(c.buf[:end], maxFields, &h); err != nil {
		c.refuse(err)
		return
	}
	if h.Upgrade() {
		c.upgrade = c.buf
		c.await()
		return
	}
	head := handshake.SkipEmptyLine(c.buf[:end]) // net/http takes no empty line
	c.buf = c.buf[end-len(head):]
	c.body, c.bodyDue = h.Body(), time.Time{}
	n, done, err := c.body.Next(c.buf[len(head):])
	c.framed = len(head) + n
	c.enter(done, err)
}

// enter goes on after some of a body.
func (c *conn) enter(done bool, err error) {
	switch {
	case err != nil:
		c.stage = inError
	case done:
		c.stage = inHead
		c.expect(time.Time{})
	default:
		c.stage = inBody
	}
}

// readBody reads the rest of a body, which has to make progress.
func (c *conn) readBody(p []byte) (int, error) {
	if c.bodyDue.IsZero() {
		c.bodyDue = time.Now().Add(c.server.Times.Body)
	}
	c.expect(c.bodyDue)
	read, err := c.Conn.Read(p)
	if read == 0 {
		return 0, err
	}
	n, done, bad := c.body.Next(p[:read])
	c.buf = append(c.buf, p[n:read]...)
	if !c.closing {
		c.bodyDue = c.bodyDue.Add(time.Duration(n) * time.Second / bodyRate)
	}
	c.enter(done, bad)
	if n == 0 {
		return 0, bad
	}
	return n, nil
}

// abandonBody makes the rest of a body, if it has not come, end the connection
// soon. It reports whether it does. It is the handler's, before the body has
// ended.
func (c *conn) abandonBody() bool {
	if c.stage == inHead {
		return false
	}
	c.closing = true
	c.bodyDue = time.Now().Add(c.server.Times.Linger)
	return true
}

// refuse has an error answered when it is the turn of what is in buf.
func (c *conn) refuse(err error) {
	if !errors.As(err, &c.refusal) {
		c.refusal = &handshake.Error{Status: http.StatusBadRequest, Reason: "bad request"}
	}
	c.bodiless = handshake.AsksForHead(c.buf)
	c.await()
}

// await lets turn have the connection when it is the turn of what is in buf.
func (c *conn) await() {
	c.stage = inTurn
	c.buf, c.framed = []byte(turnHead), len(turnHead)
	c.expect(time.Time{})
}

// tooSlow refuses a head that has not come in time, and is false if err means
// anything else.
func (c *conn) tooSlow(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || !c.overdue() {
		return false
	}
	c.refuse(handshake.ErrHeadTooSlow)
	return true
}

// overdue reports whether it is our own deadline that has passed.
func (c *conn) overdue() bool {
	c.times.Lock()
	defer c.times.Unlock()
	now := time.Now()
	return !c.due.IsZero() && !now.Before(c.due) && (c.asked.IsZero() || now.Before(c.asked))
}

// expect sets our own deadline for what is read; the zero time lifts it.
func (c *conn) expect(t time.Time) {
	c.times.Lock()
	defer c.times.Unlock()
	if !c.due.Equal(t) {
		c.due = t
		c.setReadDeadline()
	}
}

// SetReadDeadline sets the server's deadline, which ours does not lift.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.times.Lock()
	defer c.times.Unlock()
	c.asked = t
	return c.setReadDeadline()
}

// setReadDeadline puts the earlier of the two into force.
func (c *conn) setReadDeadline() error {
	if c.asked.IsZero() || !c.due.IsZero() && c.due.Before(c.asked) {
		return c.Conn.SetReadDeadline(c.due)
	}
	return c.Conn.SetReadDeadline(c.asked)
}

// SetDeadline is what the server lifts all deadlines with.
func (c *conn) SetDeadline(t time.Time) error {
	c.Conn.SetWriteDeadline(t)
	return c.SetReadDeadline(t)
}

// Write writes all of p within the time that a peer has for reading it.
func (c *conn) Write(p []byte) (int, error) {
	c.Conn.SetWriteDeadline(time.Now().Add(c.server.Times.Write))
	return c.Conn.Write(p)
}

func (c *conn) Close() error {
	c.server.vacate(c)
	return c.Conn.Close()
}

// bodyRate is how many bytes of a body buy it a second.
const bodyRate = 16 << 10
