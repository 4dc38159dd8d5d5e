package webhook

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/valyala/fasthttp"

	"sluice/gateway/delivery"
	"sluice/gateway/upstream"
)

const (
	// maxState bounds a connection's state, in bytes.
	maxState = 4 << 10
	// maxText bounds what a client is told that a backend refuses, in bytes.
	maxText = 512
	// maxChallenges bounds what a client is told of how to authenticate, in bytes.
	maxChallenges = 1 << 10
	// maxRetryAfter bounds how long a backend can ask to be left alone.
	maxRetryAfter = time.Hour
)

// readReply returns what resp answers to c. Nothing of resp is kept.
func readReply(c *upstream.Call, resp *fasthttp.Response) (upstream.Reply, error) {
	status := resp.StatusCode()
	switch {
	case c.Type == upstream.Connect && status == fasthttp.StatusTooManyRequests:
		return tooMany(resp)
	case notLookedAt(status):
		f := unsent(fmt.Errorf("the backend answered %d", status))
		f.After = retryAfter(resp, time.Now())
		// Behind a proxy that gave up, somebody may have.
		f.Doubt = status == fasthttp.StatusGatewayTimeout
		return upstream.Reply{}, f
	case c.Type == upstream.Connect && status/100 == 4:
		return upstream.Reply{Verdict: refusal(resp)}, nil
	case c.Type&(upstream.Connected|upstream.Disconnected) != 0 && status/100 == 2:
		return upstream.Reply{}, nil
	case status != fasthttp.StatusOK && status != fasthttp.StatusNoContent:
		f := refused("the backend answered %d", status)
		f.Broken = status/100 == 5
		f.Doubt = status/100 == 2
		return upstream.Reply{}, f
	}
	r, f := readGood(c, resp)
	if f != nil {
		f.Doubt = true // it was no refusal
		return upstream.Reply{}, f
	}
	return r, nil
}

// notLookedAt reports whether a status says that the event was not looked at.
func notLookedAt(status int) bool {
	switch status {
	case fasthttp.StatusRequestTimeout, http.StatusTooEarly, fasthttp.StatusTooManyRequests,
		fasthttp.StatusBadGateway, fasthttp.StatusServiceUnavailable, fasthttp.StatusGatewayTimeout:
		return true
	}
	return false
}

// tooMany reads a 429 to connect. If it says when to come back, that is waited
// for as long as the client waits; otherwise it is a refusal like any other.
func tooMany(resp *fasthttp.Response) (upstream.Reply, error) {
	v := refusal(resp)
	if v.RetryAfter == "" {
		return upstream.Reply{Verdict: v}, nil
	}
	f := unsent(fmt.Errorf("the backend answered %d", v.Status))
	f.After, f.Verdict = retryAfter(resp, time.Now()), v
	return upstream.Reply{}, f
}

// readGood reads a 200 or 204.
func readGood(c *upstream.Call, resp *fasthttp.Response) (upstream.Reply, *upstream.Failure) {
	if e := resp.Header.ContentEncoding(); len(e) > 0 && !bytes.EqualFold(e, []byte("identity")) {
		return upstream.Reply{}, refused("the answer is encoded (%.40q), which was not asked for", e)
	}
	state, err := stateOf(resp)
	if err != nil {
		return upstream.Reply{}, refused("%w", err)
	}
	r := upstream.Reply{State: state}
	switch body := resp.Body(); {
	case c.Type == upstream.Connect:
		r.Verdict, err = readVerdict(body, c.Request)
	case len(body) > 0:
		r.Send.Op, err = opOf(resp.Header.ContentType(), body)
		if media(resp.Header.ContentType()) == "application/json" {
			body = bytes.TrimPrefix(body, byteOrderMark)
		}
		r.Send.Data = bytes.Clone(body)
	}
	if err != nil {
		return upstream.Reply{}, refused("%w", err)
	}
	return r, nil
}

// refusal is what a 4xx to connect tells the client.
func refusal(resp *fasthttp.Response) *upstream.Verdict {
	return &upstream.Verdict{
		Status:       resp.StatusCode(),
		Text:         refusalText(resp),
		RetryAfter:   retryAfterText(resp),
		Authenticate: challenges(resp),
	}
}

// challenges returns the values of WWW-Authenticate that a client can be shown.
func challenges(resp *fasthttp.Response) (list []string) {
	left := maxChallenges
	for _, value := range resp.Header.PeekAll("WWW-Authenticate") {
		if left -= len(value); left < 0 {
			break
		}
		if s := string(value); s != "" && validState(s) {
			list = append(list, s)
		}
	}
	return list
}

// stateOf returns the state that an answer sets, nil if it sets none.
func stateOf(resp *fasthttp.Response) (*delivery.State, error) {
	switch values := resp.Header.PeekAll("ce-connectionState"); {
	case len(values) == 0:
		return nil, nil
	case len(values) > 1:
		return nil, fmt.Errorf("the answer has ce-connectionState %d times", len(values))
	case len(values[0]) > maxState:
		return nil, fmt.Errorf("the answer's ce-connectionState has %d bytes, more than %d", len(values[0]), maxState)
	default:
		state := string(values[0])
		if !validState(state) {
			return nil, fmt.Errorf("the answer's ce-connectionState is not visible ASCII")
		}
		return &delivery.State{Value: state}, nil
	}
}

// validState reports whether s can be the value of a header: visible ASCII,
// with blanks within.
func validState(s string) bool {
	return visible(strings.ReplaceAll(s, " ", "")) && strings.TrimSpace(s) == s
}

// opOf returns the type of the message that a body is.
func opOf(contentType, body []byte) (ws.OpCode, error) {
	switch media(contentType) {
	case "application/octet-stream":
		return ws.OpBinary, nil
	case "text/plain", "application/json":
		if !utf8.Valid(body) {
			return 0, fmt.Errorf("the answer is text but not UTF-8")
		}
		return ws.OpText, nil
	case "":
		return 0, fmt.Errorf("the answer has a body but no Content-Type")
	}
	return 0, fmt.Errorf("the answer's Content-Type is %.80q, and can be text/plain, application/json or application/octet-stream", contentType)
}

// media returns the media type of a Content-Type without its parameters, in
// lower case (RFC 9110, section 8.3.1).
func media(contentType []byte) string {
	kind, _, _ := bytes.Cut(contentType, []byte(";"))
	kind = bytes.TrimSpace(kind)
	// The two that SDKs send, without an allocation.
	for _, known := range [...]string{"application/octet-stream", "text/plain", "application/json"} {
		if strings.EqualFold(known, string(kind)) {
			return known
		}
	}
	return strings.ToLower(string(kind))
}

// refusalText returns what a backend has to say to a client that it refuses:
// the beginning of its answer, if that is text.
func refusalText(resp *fasthttp.Response) string {
	switch media(resp.Header.ContentType()) {
	case "", "text/plain", "application/json":
	default:
		return ""
	}
	text := resp.Body()
	if len(text) > maxText {
		text = text[:maxText]
		for i := 1; i < utf8.UTFMax; i++ { // not in the middle of a character
			if r := text[len(text)-i:]; utf8.RuneStart(r[0]) {
				if !utf8.FullRune(r) {
					text = text[:len(text)-i]
				}
				break
			}
		}
	}
	if !utf8.Valid(text) {
		return ""
	}
	return string(text)
}

// retryAfter returns how long a backend wants to be left alone, and zero if it
// does not say.
func retryAfter(resp *fasthttp.Response, now time.Time) time.Duration {
	wait, _ := parseRetryAfter(string(resp.Header.Peek("Retry-After")), now)
	return min(max(wait, 0), maxRetryAfter)
}

// retryAfterText returns a Retry-After that says something, as it was.
func retryAfterText(resp *fasthttp.Response) string {
	text := string(resp.Header.Peek("Retry-After"))
	if _, ok := parseRetryAfter(text, time.Time{}); !ok {
		return ""
	}
	return text
}

// parseRetryAfter reads seconds or a date (RFC 9110, section 10.2.3).
func parseRetryAfter(text string, now time.Time) (wait time.Duration, ok bool) {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(text)
	return at.Sub(now), err == nil
}

// allows reports whether the values of WebHook-Allowed-Origin allow origin:
// each may be a list.
func allows(values [][]byte, origin string) bool {
	return slices.ContainsFunc(values, func(value []byte) bool {
		for one := range bytes.SplitSeq(value, []byte(",")) {
			one = bytes.TrimSpace(one)
			if string(one) == "*" || strings.EqualFold(string(one), origin) {
				return true
			}
		}
		return false
	})
}
