package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/upstream"
	"sluice/netpoll"
)

// conn is a place in a client's pool and the connection in it, if any. It
// notes what came of an exchange, so that a failure can be told apart. One
// goroutine uses it at a time.
type conn struct {
	net.Conn                    // to speak HTTP over: the socket, or TLS over it; nil without one
	socket    *netpoll.Outbound // what is below
	trust     *trust
	made      time.Time
	rested    time.Time     // since when it rests in the pool; zero: it is in use
	announced time.Duration // how long the backend says that it may rest; 0: it does not
	cut       func()        // ends an exchange from another goroutine
	gate      *gate         // between TLS and the socket; nil without TLS

	// Of the exchange under way, or the last one:
	rest  time.Duration // how long the connection had rested before
	got   int           // bytes of the answer that were read
	most  int           // bytes that may be
	ended error         // what the last read failed with
	keep  bool          // the connection can be used again
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
		c.gate = &gate{Conn: c.socket}
		secured := tls.Client(c.gate, cl.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			c.Close()
			return fmt.Errorf("TLS with %s: %w", cl.address, err)
		}
		c.Conn = secured
	}
	c.made, c.announced = time.Now(), 0
	c.cut = func() { below.SetDeadline(time.Unix(1, 0)) }
	return nil
}

// usable reports whether the place has a connection that may be used again.
func (c *conn) usable() bool {
	if c.Conn == nil {
		return false
	}
	now := time.Now()
	c.rest = now.Sub(c.rested)
	return c.look(now) && c.rest < c.trust.allows(c.announced) && now.Sub(c.made) < lifetime
}

// look reports whether the connection, which rests, is open and nothing has come
// in, and learns from that.
func (c *conn) look(now time.Time) bool {
	if !c.socket.Quiet() {
		if ago, ended := c.socket.Ended(); ended {
			rest := max(now.Sub(c.rested)-ago, 0)
			if c.announced == 0 || rest < c.announced-announceMargin {
				c.trust.ended(rest, now)
			}
		}
		return false
	}
	c.trust.lasted(now.Sub(c.rested), c.announced, now)
	return c.gate == nil || c.gate.empty(c.Conn)
}

// gate is what TLS reads from. While it is shut, only what has been read can be
// had.
type gate struct {
	net.Conn
	shut  bool
	glass [1]byte
}

func (g *gate) Read(p []byte) (int, error) {
	if g.shut {
		return 0, os.ErrDeadlineExceeded // which TLS does not take for the end
	}
	return g.Conn.Read(p)
}

// empty reports whether nothing is left in secured, which reads from g.
func (g *gate) empty(secured net.Conn) bool {
	g.shut = true
	n, err := secured.Read(g.glass[:])
	g.shut = false
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// roundTrip writes r and reads the answer. It ends when ctx does.
func (c *conn) roundTrip(ctx context.Context, cl *client, r *request, resp *fasthttp.Response) error {
	c.socket.Sent, c.ended = 0, nil
	c.got, c.most = 0, headLimit+cl.limit+cl.limit/2+framing
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
			resp.StatusCode() != fasthttp.StatusSwitchingProtocols && c.heed(resp)
		return nil
	case writeErr != nil:
		return writeErr
	}
	return readErr
}

// framing is what may be around the body of an answer, in bytes, besides half as
// much as may be in it: chunk sizes and extensions, interim answers, trailers.
const framing = 64 << 10

// heed notes what the backend says of how long the connection may rest, and
// reports whether it may at all (RFC 2068, section 19.7.1.1).
func (c *conn) heed(resp *fasthttp.Response) bool {
	text := resp.Header.Peek("Keep-Alive")
	if len(text) == 0 {
		return true // as announced before, if it was
	}
	for one := range bytes.SplitSeq(text, []byte(",")) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(one), []byte("="))
		n, err := strconv.Atoi(string(bytes.Trim(value, `" `)))
		switch {
		case err != nil || n < 0:
		case bytes.EqualFold(bytes.TrimSpace(name), []byte("timeout")):
			c.announced = time.Duration(min(n, 3600)) * time.Second
			if c.announced <= announceMargin {
				return false
			}
		case bytes.EqualFold(bytes.TrimSpace(name), []byte("max")) && n == 0:
			return false
		}
	}
	return true
}

// broken reports whether the last exchange was ended by the other side.
func (c *conn) broken() bool {
	return errors.Is(c.ended, io.EOF) || errors.Is(c.ended, syscall.ECONNRESET) || errors.Is(c.ended, syscall.EPIPE)
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
func (c *conn) failure(ctx context.Context, err error) *upstream.Failure {
	switch {
	case c.ended == nil, c.ended == errTooMuch:
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
	if c.got >= c.most {
		c.ended = errTooMuch
		return 0, errTooMuch
	}
	n, err := c.Conn.Read(p)
	c.got += n
	c.ended = err
	return n, err
}

// Close closes the connection, if there is one. It does not wait for the
// other side.
func (c *conn) Close() error {
	if c.socket == nil {
		return nil
	}
	if !c.rested.IsZero() {
		c.look(time.Now())
		c.rested = time.Time{}
	}
	err := c.socket.Close()
	c.Conn, c.socket, c.gate = nil, nil, nil
	return err
}
