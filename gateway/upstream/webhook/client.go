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
	trust   *trust
	trial   trial
}

func newClient(t target, c config.Upstream) *client {
	cl := &client{address: t.address, limit: int(c.Response), trust: newTrust(time.Duration(c.Idle))}
	cl.trial.trust = cl.trust
	cl.dialer.KeepAlive = -1 // nothing rests for long, and what waits has a deadline
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
		Dial: func(string) (net.Conn, error) { return &conn{trust: cl.trust}, nil },
		// One more than there are events, for the question of consent.
		MaxConns:            c.InFlight + 1,
		MaxIdleConnDuration: max(time.Duration(c.Idle), time.Millisecond), // 0 would be fasthttp's own
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
		if cl.rest(c) {
			cl.pool.ReleaseConn(place)
		} else {
			cl.pool.CloseConn(place)
		}
	}()
	return cl.exchange(ctx, c, r, resp)
}

// rest lets c rest if it can be used again, and reports whether it may be. If
// there is something to learn from it, it goes on trial instead.
func (cl *client) rest(c *conn) bool {
	if !c.keep || cl.trust.limit == 0 {
		return false
	}
	c.rested = time.Now()
	announced := c.announced
	if !cl.trust.complete(announced) && cl.trial.take(c) {
		return false
	}
	if cl.trust.allows(announced) > 0 {
		return true
	}
	c.rested = time.Time{}
	return false
}

// exchange makes c ready and sends r over it. A kept connection that turns out
// to have ended before the backend can have looked at r is replaced, once.
func (cl *client) exchange(ctx context.Context, c *conn, r *request, resp *fasthttp.Response) error {
	kept := c.usable()
	c.rested = time.Time{}
	for {
		if !kept {
			if err := c.connect(ctx, cl); err != nil {
				return unsent(err)
			}
		}
		err := c.roundTrip(ctx, cl, r, resp)
		stale := err != nil && kept && c.got == 0 && c.broken() && ctx.Err() == nil
		if stale {
			cl.trust.ended(c.rest, time.Now())
		}
		switch {
		case err == nil:
			return nil
		case stale && !c.untouched():
			f := c.failure(ctx, err)
			f.Stale = true
			return f
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
	errTooMuch   = errors.New("there is more around the body of the answer than in it may be")
	errMalformed = errors.New("the answer is not HTTP/1.1")
)

// flaw says what is wrong with an answer that arrived.
func flaw(err error) error {
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge), errors.Is(err, errTooMuch):
		return upstream.ErrTooLong
	case errors.As(err, new(*fasthttp.ErrSmallBuffer)):
		return errHead
	}
	return errMalformed
}
