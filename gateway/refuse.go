package gateway

import (
	"errors"
	"net/http"

	"sluice/gateway/engine"
	"sluice/gateway/handshake"
	"sluice/metrics"
)

// Answers to request heads that are well-formed and still not welcome.
var (
	errDraining     = &handshake.Error{Status: http.StatusServiceUnavailable, Reason: "going away"}
	errOrigin       = &handshake.Error{Status: http.StatusForbidden, Reason: "origin not allowed"}
	errUnauthorized = &handshake.Error{
		Status: http.StatusUnauthorized,
		Reason: "this hub does not accept anonymous clients",
		Header: "WWW-Authenticate: Bearer\r\n", // RFC 9110 §11.6.1 wants one
	}
	errNoVerdict  = &handshake.Error{Status: http.StatusServiceUnavailable, Reason: "the upstream cannot decide now"}
	errBadVerdict = &handshake.Error{Status: http.StatusBadGateway, Reason: "the upstream has failed"}
	errNoKeySet   = &handshake.Error{Status: http.StatusServiceUnavailable, Reason: "the key set of the token's issuer cannot be had now"}
	errGroups     = &handshake.Error{Status: http.StatusForbidden, Reason: "too many groups"}
)

// refuse answers a request head with an error and lets the client go.
func (l *loop) refuse(c *client, err error) {
	var e *handshake.Error
	if !errors.As(err, &e) {
		e = &handshake.Error{Status: http.StatusBadRequest, Reason: "bad request"}
	}
	l.refuseAs(c, e, result(e))
}

// refuseAs is refuse with a result to be counted as.
func (l *loop) refuseAs(c *client, e *handshake.Error, as metrics.Result) {
	l.handshaken(c, as)
	again := 0
	if e.Status == http.StatusServiceUnavailable {
		again = engine.RetryAfter
	}
	if c.placed {
		c.placed = false
		l.g.givePlace(c.hub)
	}
	delete(l.petitions, c)
	l.Refuse(c.Stream, handshake.AppendResponse(l.Out(), e, handshake.Answer{RetryAfter: again, Date: l.g.kernel.wall(), Bodiless: l.bodiless}))
}

// result is how an error answer is counted.
func result(e *handshake.Error) metrics.Result {
	switch e.Status {
	case http.StatusRequestHeaderFieldsTooLarge, http.StatusRequestURITooLong:
		return metrics.ResultHeadTooLarge
	case http.StatusRequestTimeout:
		return metrics.ResultTimeout
	case http.StatusForbidden:
		if e != errOrigin {
			return metrics.ResultForbidden
		}
		return metrics.ResultOrigin
	case http.StatusNotFound:
		return metrics.ResultNotFound
	case http.StatusUpgradeRequired:
		return metrics.ResultVersion
	case http.StatusUnauthorized:
		return metrics.ResultUnauthorized
	case http.StatusBadGateway:
		return metrics.ResultUpstream
	case http.StatusServiceUnavailable:
		switch e {
		case errDraining:
			return metrics.ResultUnavailable
		case errNoVerdict:
			return metrics.ResultUpstream
		case errNoKeySet:
			return metrics.ResultKeySet
		}
		return metrics.ResultOverloaded
	}
	return metrics.ResultBadRequest
}

// refuseAccepted refuses a client that the upstream has let in, and tells the
// upstream that it is gone.
func (l *loop) refuseAccepted(c *client, err error) {
	l.strike(c)
	l.unreached(c)
	l.refuse(c, err)
}
