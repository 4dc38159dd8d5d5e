package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/netpoll"
)

// conn is a place in a client's pool and the connection in it, if any. It
// notes what came of an exchange, so that a failure can be told apart. One
// goroutine uses it at a time.
type conn struct {
	net.Conn                   // to speak HTTP over: the socket, or TLS over it; nil without one
	socket   *netpoll.Outbound // what is below
	made     time.Time
	cut      func() // ends an exchange from another goroutine

	// Of the exchange under way, or the last one:
	ended error // what the last read failed with
	keep  bool  // the connection can be used again
}

// connect makes a new connection in the place of the one there was.
func (c *conn) connect(ctx context.Context, cl *client) error {
	c.Close()
	below, err := cl.dialer.DialContext(ctx, "tcp", cl.address)
	if err != nil {
		return err
	}
	c.socket, err = netpoll.NewOutbound(below.(*net.TCPConn))
	if err != nil {
		below.Close()
		return err
	}
	if c.Conn = c.socket; cl.tls != nil {
		secured := tls.Client(c.socket, cl.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			c.Close()
			return fmt.Errorf("TLS with %s: %w", cl.address, err)
		}
		c.Conn = secured
	}
	c.made = time.Now()
	c.cut = func() { below.SetDeadline(time.Unix(1, 0)) }
	return nil
}

// usable reports whether the place has a connection that may be used again.
func (c *conn) usable() bool {
	return c.Conn != nil && time.Since(c.made) < lifetime && c.socket.Quiet()
}

// roundTrip writes r and reads the answer. It ends when ctx does.
func (c *conn) roundTrip(ctx context.Context, cl *client, r *request, resp *fasthttp.Response) error {
	c.socket.Sent, c.ended = 0, nil
	stop := context.AfterFunc(ctx, c.cut)

	writeErr := r.writeTo(c)
	// Even if the writing failed there can be an answer: that the request is
	// too long, say.
	in := cl.pool.AcquireReader(c)
	resp.Reset()
	resp.Header.SetNoDefaultContentType(true)
	readErr := resp.ReadLimitBody(in, cl.limit)
	rest := in.Buffered()
	cl.pool.ReleaseReader(in)

	undisturbed := stop()
	switch {
	case readErr == nil:
		// An answer with something behind it, which nobody has asked for, is
		// the last one, and so is one that changes the protocol.
		c.keep = writeErr == nil && undisturbed && rest == 0 && !resp.ConnectionClose() &&
			resp.StatusCode() != fasthttp.StatusSwitchingProtocols
		return nil
	case writeErr != nil:
		return writeErr
	}
	return readErr
}

// untouched reports, of an exchange that failed, that the backend cannot have
// looked at any of the request: nothing of it was taken by the kernel, or the
// connection was ended before the request had come to the other side. That is
// known if the stream of answers has a proper end and the FIN that brought it,
// like everything before it, acknowledges nothing of the request: whatever had
// arrived would have been (RFC 9293, section 3.10.7.4). After a reset nothing
// is known.
func (c *conn) untouched() bool {
	return c.socket.Sent == 0 ||
		c.ended == io.EOF && c.socket.Unacknowledged() >= c.socket.Sent
}

// failure returns what is known after an exchange over c that failed with err.
func (c *conn) failure(ctx context.Context, err error) error {
	switch {
	case c.ended == nil:
		f := refused("%w", flaw(err)) // all was read that was wanted
		f.Doubt = true
		return f
	case ctx.Err() != nil:
		return unanswered(context.Cause(ctx))
	case errors.Is(c.ended, io.EOF):
		return unanswered(errors.New("the connection was closed before the answer was complete"))
	}
	return unanswered(c.ended)
}

// Read notes what it returns.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ended = err
	return n, err
}

// Close closes the connection, if there is one. It does not wait for the
// other side.
func (c *conn) Close() error {
	if c.socket == nil {
		return nil
	}
	err := c.socket.Close()
	c.Conn, c.socket = nil, nil
	return err
}
