package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/config"
	"sluice/gateway/upstream"
)

const (
	// idleTime is how long an unused connection is kept. Servers close theirs,
	// too, node after 5 s: who closes first is never surprised.
	idleTime = 4 * time.Second
	// lifetime is how long any connection is kept, so that a backend whose
	// name has moved is noticed.
	lifetime = 5 * time.Minute
	// headLimit bounds the head of an answer: the state has 4 KiB of it.
	headLimit = 16 << 10
)

// client speaks HTTP/1.1 to one host over connections that it keeps. They are
// counted and kept, and answers parsed, by fasthttp. The exchange itself is not
// left to [fasthttp.HostClient.Do]: that cannot say whether any of a request
// has left, cannot be cancelled, and repeats no POST.
type client struct {
	pool    fasthttp.HostClient
	dialer  net.Dialer
	address string
	tls     *tls.Config // nil for http
	limit   int         // of the body of an answer
}

func newClient(t target, c config.Upstream) *client {
	cl := &client{address: t.address, limit: int(c.Response)}
	if !c.PrivateAddresses {
		cl.dialer.Control = refusePrivate
	}
	if t.secure {
		cl.tls = &tls.Config{
			ServerName:         t.name,
			NextProtos:         []string{"http/1.1"},
			MinVersion:         tls.VersionTLS12,
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		}
	}
	cl.pool = fasthttp.HostClient{
		Addr: t.address,
		// A place for a connection, not the connection: that is made when the
		// place is used, by somebody who can be cancelled.
		Dial: func(string) (net.Conn, error) { return new(conn), nil },
		// One more than there are events, for the question of consent.
		MaxConns:            c.InFlight + 1,
		MaxIdleConnDuration: idleTime,
		// The one used last, so that the others become idle.
		ConnPoolStrategy: fasthttp.LIFO,
		ReadBufferSize:   headLimit,
	}
	return cl
}

// do sends r and reads the answer into resp. It returns when ctx ends. An error
// is always an *upstream.Failure.
func (cl *client) do(ctx context.Context, r *request, resp *fasthttp.Response) error {
	place, err := cl.pool.AcquireConn(0, false)
	if err != nil {
		return unsent(err)
	}
	c := place.Conn().(*conn)
	c.keep = false
	defer func() {
		if c.keep {
			cl.pool.ReleaseConn(place)
		} else {
			cl.pool.CloseConn(place)
		}
	}()
	return cl.exchange(ctx, c, r, resp)
}

// exchange makes c ready and sends r over it. A kept connection that turns out
// to have ended before the backend can have looked at r is replaced, once.
func (cl *client) exchange(ctx context.Context, c *conn, r *request, resp *fasthttp.Response) error {
	kept := c.usable()
	for {
		if !kept {
			if err := c.connect(ctx, cl); err != nil {
				return unsent(err)
			}
		}
		err := c.roundTrip(ctx, cl, r, resp)
		switch {
		case err == nil:
			return nil
		case !c.untouched():
			return c.failure(ctx, err)
		case !kept:
			return unsent(ending(ctx, err))
		}
		kept = false
	}
}

// ending returns why an exchange was broken off: ctx, or else err.
func ending(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// The errors of an answer that is none. What it says instead is not repeated:
// it could be anything.
var (
	errHead      = errors.New("the head of the answer is longer than 16 KiB")
	errMalformed = errors.New("the answer is not HTTP/1.1")
)

// flaw says what is wrong with an answer that arrived.
func flaw(err error) error {
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return upstream.ErrTooLong
	case errors.As(err, new(*fasthttp.ErrSmallBuffer)):
		return errHead
	}
	return errMalformed
}
