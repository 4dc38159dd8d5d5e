package webhook

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/gateway/upstream"
)

func TestARefusalTellsTheClientWhenAndHow(t *testing.T) {
	date := time.Now().Add(time.Minute).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	for lines, want := range map[string]upstream.Verdict{
		"":                              {},
		"Retry-After: 120\r\n":          {RetryAfter: "120"},
		"Retry-After: " + date + "\r\n": {RetryAfter: date},
		"Retry-After: soon\r\n":         {},
		"Retry-After: -1\r\n":           {},
		"Retry-After: \xff\r\n":         {},
		"WWW-Authenticate: Bearer realm=\"a b\", error=\"invalid_token\"\r\n":          {Authenticate: []string{`Bearer realm="a b", error="invalid_token"`}},
		"WWW-Authenticate: Basic realm=\"x\"\r\nwww-authenticate: Bearer\r\n":          {Authenticate: []string{`Basic realm="x"`, "Bearer"}},
		"WWW-Authenticate: \r\nWWW-Authenticate: \xff\r\nWWW-Authenticate: Bearer\r\n": {Authenticate: []string{"Bearer"}},
		"WWW-Authenticate: " + strings.Repeat("x", maxChallenges+1) + "\r\n":           {},
	} {
		for _, status := range []int{401, 403} {
			r, err := readReply(event(upstream.Connect), parse(t, fmt.Sprintf("HTTP/1.1 %d No\r\n%sContent-Length: 0\r\n\r\n", status, lines)))
			wantNoError(t, err)
			if v := r.Verdict; v.Status != status || v.RetryAfter != want.RetryAfter || !slices.Equal(v.Authenticate, want.Authenticate) {
				t.Errorf("%d with %.80q: got %+v", status, lines, v)
			}
		}
	}
}

func TestConnectAnswered429(t *testing.T) {
	answer := func(lines string) string {
		return "HTTP/1.1 429 Slow\r\n" + lines + textType + "Content-Length: 4\r\n\r\nlate"
	}
	r, err := readReply(event(upstream.Connect), parse(t, answer("")))
	if err != nil || r.Verdict.Status != 429 || r.Verdict.Text != "late" {
		t.Errorf("without Retry-After: %+v, %v", r.Verdict, err)
	}
	_, err = readReply(event(upstream.Connect), parse(t, answer("Retry-After: 3\r\n")))
	f := failed(t, err, upstream.Unsent, "429")
	if f.After != 3*time.Second || f.Verdict == nil || f.Verdict.Status != 429 || f.Verdict.RetryAfter != "3" || f.Verdict.Text != "late" {
		t.Errorf("with Retry-After: %+v, %+v", f, f.Verdict)
	}
}

// Of what is no answer to connect, some may have been meant as one.
func TestAnswersToConnectThatLeaveDoubt(t *testing.T) {
	empty := func(status int) string { return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status) }
	for name, c := range map[string]struct {
		answer        string
		kind          upstream.Kind
		doubt, broken bool
	}{
		"201":              {empty(201), upstream.Refused, true, false},
		"302":              {empty(302), upstream.Refused, false, false},
		"500":              {empty(500), upstream.Refused, false, true},
		"501":              {empty(501), upstream.Refused, false, true},
		"408":              {empty(408), upstream.Unsent, false, false},
		"425":              {empty(425), upstream.Unsent, false, false},
		"502":              {empty(502), upstream.Unsent, false, false},
		"504":              {empty(504), upstream.Unsent, true, false},
		"gzip":             {ok("Content-Encoding: gzip\r\n", "x"), upstream.Refused, true, false},
		"no JSON":          {ok(jsonType, "userId=ann"), upstream.Refused, true, false},
		"an odd state":     {ok("ce-connectionState: \xe4\r\n", ""), upstream.Refused, true, false},
		"not HTTP":         {"SSH-2.0-OpenSSH_9.9\r\n\r\n", upstream.Refused, true, false},
		"half a head":      {"HTTP/1.1 200 OK\r\nConte", upstream.Unanswered, false, false},
		"longer than good": {"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", upstream.Refused, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, options(once(t, c.answer)))
			_, err := attempt(t, p, event(upstream.Connect))
			f := failed(t, err, c.kind, "")
			if f.Doubt != c.doubt || f.Broken != c.broken {
				t.Errorf("doubt %v, broken %v of %v", f.Doubt, f.Broken, f)
			}
		})
	}
}
