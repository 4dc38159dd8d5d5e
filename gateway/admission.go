package gateway

import (
	"errors"
	"net/http"
	"net/textproto"

	"sluice/gateway/auth"
	"sluice/gateway/engine"
	"sluice/gateway/handshake"
	"sluice/gateway/route"
	"sluice/gateway/upstream"
	"sluice/metrics"
)

// petition is a handshake that waits: for a token to be verified that needs
// more time than the loop has, or for the upstream's verdict. The head, and
// what came behind it, are held meanwhile.
type petition struct {
	client *auth.Client // nil: anonymous, or not known yet
}

// introduce finds out who a client is that may join hub as far as that does
// not matter. The loop's head is its request, head and rest are the bytes.
func (l *loop) introduce(c *client, hub *hub, hs *hubSettings, head, rest []byte) {
	bearer, known := auth.TokenOf(l.head.Query, l.head.Authorization)
	token := string(bearer)
	switch {
	case !known || hs.anonymous && hs.tokenless:
		if !hs.anonymous && hs.traits.Events&upstream.Connect == 0 {
			l.g.metrics.AuthFailed(metrics.AuthMissing)
			l.refuse(c, errUnauthorized)
			return
		}
		l.present(c, hs, nil, head, rest)
	default:
		way := hs.clients.Way(token)
		if way == auth.AtOnce {
			client, err := hs.clients.Verify(token, string(l.head.Host), l.g.kernel.wall())
			if err != nil {
				l.refuse(c, l.g.untrusted(err))
				return
			}
			l.present(c, hs, client, head, rest)
			return
		}
		if !l.wait(c, nil, head, rest) || !l.verify(c, hs, way, token, string(l.head.Host)) {
			l.refuse(c, engine.ErrBusy)
		}
	}
}

// untrusted counts what is wrong with a token, and is the answer to it.
func (g *Gateway) untrusted(err error) error {
	g.distrusted(err)
	return &handshake.Error{Status: http.StatusUnauthorized, Reason: err.Error(), Header: errUnauthorized.Header}
}

// distrusted counts why a token, or a request to the data plane, is refused.
func (g *Gateway) distrusted(err error) {
	var e *auth.Error
	if errors.As(err, &e) {
		g.metrics.AuthFailed(authFailures[e.Reason])
	}
}

// authFailures is what the reasons of refused tokens are counted as.
var authFailures = map[auth.Reason]metrics.AuthFailure{
	auth.ReasonMissing:   metrics.AuthMissing,
	auth.ReasonMalformed: metrics.AuthMalformed,
	auth.ReasonSignature: metrics.AuthSignature,
	auth.ReasonExpired:   metrics.AuthExpired,
	auth.ReasonAudience:  metrics.AuthAudience,
	auth.ReasonIssuer:    metrics.AuthIssuer,
	auth.ReasonKeys:      metrics.AuthKeys,
	auth.ReasonRole:      metrics.AuthRole,
}

// wait parks a handshake, which takes its place. It is false when there is
// none, or the budget is used up.
func (l *loop) wait(c *client, client *auth.Client, head, rest []byte) bool {
	if c.State() == engine.Asking {
		l.petitions[c] = &petition{client: client}
		return true
	}
	if !l.g.takePlace(l.g.settings.Load(), c.hub, true) {
		return false
	}
	if !l.Keep(c.Stream, head, rest) {
		l.g.givePlace(c.hub)
		return false
	}
	c.placed = true
	l.petitions[c] = &petition{client: client}
	return true
}

// verify has a token verified beside the loop. It is false when too many are.
// Those whose key has to be fetched wait in a list of their issuer, and so are
// not in the way of the others.
func (l *loop) verify(c *client, hs *hubSettings, way auth.Way, token, host string) bool {
	ref := c.Ref()
	then := func(client *auth.Client, err error) {
		l.post(letter{run: func(l *loop) bool {
			if c := l.find(ref); c != nil && c.State() == engine.Asking {
				defer l.Guard(c.Stream)
				l.verified(c, client, err)
				l.Flush(c.Stream)
				if c.State() == engine.Open { // what has come meanwhile is unread
					l.Resume(c.Stream)
				}
			}
			return true
		}})
	}
	if way == auth.Fetched {
		hs.clients.Await(token, host, l.g.settings.Load().awaiting, then)
		return true
	}
	began := l.g.beside.try(func() { then(hs.clients.Verify(token, host, l.g.kernel.wall())) })
	if !began {
		l.g.metrics.Reached(metrics.LimitVerifications)
	}
	return began
}

// verified goes on with a client whose token has been looked at.
func (l *loop) verified(c *client, client *auth.Client, err error) {
	var e *auth.Error
	switch {
	case errors.As(err, &e) && e.Reason == auth.ReasonKeys: // its issuer's could not be had, and may be later
		l.g.distrusted(err)
		if errors.Is(err, auth.ErrCrowded) {
			l.g.metrics.Reached(metrics.LimitKeySets)
		}
		l.refuse(c, errNoKeySet)
		return
	case err != nil:
		l.refuse(c, l.g.untrusted(err))
		return
	}
	head, rest, hs, err := l.recall(c)
	if err == nil {
		err = l.g.welcomes()
	}
	if err != nil {
		l.refuse(c, err)
		return
	}
	l.present(c, hs, client, head, rest)
}

// recall reads the held head again. What may have changed meanwhile is
// checked again.
func (l *loop) recall(c *client) (head, rest []byte, hs *hubSettings, err error) {
	head, rest = c.Kept()
	if err := handshake.Parse(head, len(head), &l.head); err != nil {
		return nil, nil, nil, err
	}
	if hs = c.hub.now.Load(); hs.gone {
		return nil, nil, nil, route.ErrNoHub
	}
	return head, rest, hs, nil
}

// present asks the upstream whether it wants a client, if it cares, and lets
// the client in otherwise.
func (l *loop) present(c *client, hs *hubSettings, client *auth.Client, head, rest []byte) {
	if client != nil {
		c.name(client.User)
	}
	if hs.traits.Events&upstream.Connect == 0 {
		l.letIn(c, hs, client, nil, rest)
		return
	}
	switch {
	case client != nil && !l.fits(client.Groups):
		l.refuse(c, errGroups)
		return
	case !l.wait(c, client, head, rest):
		l.refuse(c, engine.ErrBusy)
		return
	}
	ev := upstream.Event{Type: upstream.Connect, Request: requestOf(&l.head, client), Parent: l.traceOf(c)}
	if r, now := l.ask(c, hs, ev); now {
		l.decided(c, r)
	}
}

// requestOf is what the upstream is told of a handshake.
func requestOf(h *handshake.Head, client *auth.Client) *upstream.Request {
	r := &upstream.Request{
		Headers:      make(map[string][]string, len(h.Fields)),
		Subprotocols: h.AppendSubprotocols(nil),
	}
	for _, f := range h.Fields {
		name := textproto.CanonicalMIMEHeaderKey(string(f.Name))
		if name != "Authorization" {
			r.Headers[name] = append(r.Headers[name], string(f.Value))
		}
	}
	r.Query = auth.ParseQuery(string(h.Query))
	delete(r.Query, "access_token")
	if client != nil {
		r.Claims = client.Claims
	}
	return r
}

// decided takes the upstream's verdict on a client that waits for it.
func (l *loop) decided(c *client, r upstream.Reply) {
	v := r.Verdict
	if v == nil {
		v = new(upstream.Verdict)
	}
	if v.Doubt {
		l.unreached(c)
	}
	switch v.Status {
	case 0:
	case http.StatusServiceUnavailable:
		l.refuse(c, errNoVerdict)
		return
	case http.StatusBadGateway:
		l.refuse(c, errBadVerdict)
		return
	default:
		l.refuseAs(c, turnedDown(v), metrics.ResultForbidden)
		return
	}
	c.accepted(r)
	_, rest, hs, err := l.recall(c)
	if err == nil && l.g.draining.Load() {
		err = errDraining
	}
	if err == nil && l.petitions[c].client == nil && c.UserID() == "" && !hs.anonymous {
		l.g.metrics.AuthFailed(metrics.AuthMissing)
		err = errUnauthorized
	}
	if err != nil {
		l.refuseAccepted(c, err)
		return
	}
	l.letIn(c, hs, l.petitions[c].client, v, rest)
}

// turnedDown is the answer to a client that the upstream does not want.
func turnedDown(v *upstream.Verdict) *handshake.Error {
	e := handshake.Error{Status: v.Status, Reason: "refused by the upstream"}
	if v.Text != "" {
		e.Reason = v.Text
	}
	if v.RetryAfter != "" {
		e.Header = "Retry-After: " + v.RetryAfter + "\r\n"
	}
	for _, challenge := range v.Authenticate {
		e.Header += "WWW-Authenticate: " + challenge + "\r\n"
	}
	if e.Status == http.StatusUnauthorized && len(v.Authenticate) == 0 {
		e.Header += errUnauthorized.Header
	}
	return &e
}
