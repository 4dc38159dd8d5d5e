package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 4 << 20

// path returns the path of the sessions that the options name, below the hub's,
// with segments behind it.
func (c *caller) path(behind ...string) string {
	segments := []string{"api", "hubs", c.hub}
	switch {
	case c.user != "":
		segments = append(segments, "users", c.user)
	case c.group != "":
		segments = append(segments, "groups", c.group)
	case c.connection != "":
		segments = append(segments, "connections", c.connection)
	}
	var b strings.Builder
	for _, s := range append(segments, behind...) {
		b.WriteByte('/')
		b.WriteString(segment(s))
	}
	return b.String()
}

// segment encodes a segment of a path. Dots alone would be taken for steps.
func segment(s string) string {
	if s == "." || s == ".." {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}

// call asks the gateway, and returns the header and the body of its answer. One
// that is no success is an error.
func (c *caller) call(ctx context.Context, method, path string, query url.Values, media string, body []byte) (http.Header, []byte, error) {
	target := c.base.String() + path
	if q := query.Encode(); q != "" {
		target += "?" + q
	}
	bearer, err := c.bearer(target, 5*time.Minute)
	if err != nil {
		return nil, nil, keyless(err)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return nil, nil, c.failure(ctx, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, nil, c.failure(ctx, err)
	}
	if answer.StatusCode/100 != 2 {
		return nil, nil, fmt.Errorf("%s: %s%s", c.base.Host, answer.Status, words(data))
	}
	return answer.Header, data, nil
}

// failure says why there is no answer, with the cause below the HTTP client's
// error, which would repeat the URL.
func (c *caller) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	} else if inner := (*url.Error)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	return fmt.Errorf("ask %s: %w", c.base.Host, err)
}

// words returns what a body says is wrong: the message of the API's error, or
// the beginning of what somebody else says.
func words(body []byte) string {
	var p struct{ Error struct{ Message string } }
	text := string(body[:min(len(body), 500)])
	if json.Unmarshal(body, &p) == nil && p.Error.Message != "" {
		text = p.Error.Message
	}
	if text = strings.TrimSpace(printable(text)); text != "" {
		text = ": " + text
	}
	return text
}

// printable returns s without what a terminal might obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
