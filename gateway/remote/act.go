package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/auth"
)

// mediaTypes are the Content-Types of the types of messages.
var mediaTypes = map[string]string{
	"text":   "text/plain",
	"json":   "application/json",
	"binary": "application/octet-stream",
}

// token prints a token.
func token(_ context.Context, c *caller) error {
	if c.api != "" {
		bearer, err := c.keys.DataPlaneToken(c.api, c.expires)
		if err != nil {
			return keyless(err)
		}
		_, err = fmt.Fprintln(c.stdout, bearer)
		return err
	}
	token, err := c.keys.ClientToken(auth.ClientClaims{
		Endpoint: c.base.String(),
		Hub:      c.hub,
		User:     c.user,
		Roles:    c.roles,
		Groups:   c.groups,
		TTL:      c.expires,
	})
	if err != nil {
		return keyless(err)
	}
	u := *c.base
	u.Scheme = "ws" + strings.TrimPrefix(u.Scheme, "http")
	_, err = fmt.Fprintf(c.stdout, "%s/client/hubs/%s?access_token=%s\n", u.String(), segment(c.hub), token)
	return err
}

// send sends a message, and prints to how many.
func send(ctx context.Context, c *caller) error {
	message, err := c.message()
	if err != nil {
		return err
	}
	query := c.condition()
	if c.ttl > 0 {
		query.Set("messageTtlSeconds", strconv.Itoa(int(c.ttl/time.Second)))
	}
	header, _, err := c.call(ctx, http.MethodPost, c.path(":send"), query, mediaTypes[c.kind], message)
	if err != nil {
		return err
	}
	return c.report(header)
}

// message returns what is to be sent.
func (c *caller) message() ([]byte, error) {
	if len(c.operands) == 1 && c.operands[0] != "-" {
		return []byte(c.operands[0]), nil
	}
	message, err := io.ReadAll(c.stdin)
	if err != nil {
		return nil, fmt.Errorf("read the message: %w", err)
	}
	if c.kind != "binary" {
		message = bytes.TrimSuffix(bytes.TrimSuffix(message, []byte("\n")), []byte("\r"))
	}
	return message, nil
}

// closeSessions closes sessions, and prints how many.
func closeSessions(ctx context.Context, c *caller) error {
	query := c.condition()
	if c.reason != "" {
		query.Set("reason", c.reason)
	}
	method, path := http.MethodPost, c.path(":closeConnections")
	if c.connection != "" {
		method, path = http.MethodDelete, c.path()
	}
	header, _, err := c.call(ctx, method, path, query, "", nil)
	if err != nil {
		return err
	}
	return c.report(header)
}

// condition returns the parameters that say which of the sessions are meant.
func (c *caller) condition() url.Values {
	query := url.Values{}
	if c.filter != "" {
		query.Set("filter", c.filter)
	}
	if c.excluded != nil {
		query["excluded"] = c.excluded
	}
	return query
}

// report prints what has become of it.
func (c *caller) report(h http.Header) error {
	matched, pending := h.Get("Sluice-Matched"), h.Get("Sluice-Pending")
	switch {
	case pending != "":
		fmt.Fprintln(c.stderr, "loops that have not answered yet:", printable(pending))
	case matched == "0":
		fmt.Fprintln(c.stderr, "nobody was there")
	}
	_, err := fmt.Fprintf(c.stdout, "matched %s, queued %s, dropped %s\n",
		printable(matched), printable(h.Get("Sluice-Queued")), printable(h.Get("Sluice-Dropped")))
	return err
}
