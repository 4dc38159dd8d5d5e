package handshake

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// parse parses a head that has to be good.
func parse(t *testing.T, head string) *Head {
	t.Helper()
	h := new(Head)
	if err := Parse([]byte(head), 64, h); err != nil {
		t.Fatalf("Parse(%q): %v", head, err)
	}
	return h
}

func TestEndIsFoundHoweverTheBytesArrive(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	const received = head + "\x81\x85frame\r\n\r\n"
	for first := range len(received) {
		from := 0
		if n := End([]byte(received[:first]), 0); n < 0 {
			from = first
		} else if n != len(head) {
			t.Fatalf("End of the first %d octets = %d, want %d", first, n, len(head))
		}
		if first < len(head) && from != first {
			t.Fatalf("an end in the first %d octets", first)
		}
		if n := End([]byte(received), from); n != len(head) {
			t.Errorf("End after %d octets = %d, want %d", from, n, len(head))
		}
	}
}

func TestParseTakesTheHeadApart(t *testing.T) {
	h := parse(t, "GET /a%20b?q=1&r=%zz?s HTTP/1.1\r\nhOST: example.com:8080\r\n"+
		"Origin:https://example.com\r\nX-Empty:\r\nAuthorization: \t Bearer a b\t \r\n"+
		"X-Text: a\tb \xc3\xa9\r\nSEC-WEBSOCKET-KEY: k\r\nx-empty: again\r\n\r\n")
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"Method", h.Method, "GET"},
		{"Target", h.Target, "/a%20b?q=1&r=%zz?s"},
		{"Path", h.Path, "/a%20b"},
		{"Query", h.Query, "q=1&r=%zz?s"},
		{"Host", h.Host, "example.com:8080"},
		{"Origin", h.Origin, "https://example.com"},
		{"Authorization", h.Authorization, "Bearer a b"},
		{"Key", h.Key, "k"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s = %q, want %q", c.name, c.got, c.want)
		}
	}
	if h.Minor != 1 || !h.HasOrigin {
		t.Errorf("Minor, HasOrigin = %d, %v; want 1, true", h.Minor, h.HasOrigin)
	}
	var fields []string
	for _, f := range h.Fields {
		fields = append(fields, fmt.Sprintf("%s=%s", f.Name, f.Value))
	}
	want := []string{"hOST=example.com:8080", "Origin=https://example.com", "X-Empty=", "Authorization=Bearer a b",
		"X-Text=a\tb \xc3\xa9", "SEC-WEBSOCKET-KEY=k", "x-empty=again"}
	if !slices.Equal(fields, want) {
		t.Errorf("Fields = %q, want %q", fields, want)
	}
}

func TestParseSplitsEveryFormOfTarget(t *testing.T) {
	for _, c := range []struct{ requestLine, path, query, host string }{
		{"GET / HTTP/1.1", "/", "", "h"},
		{"GET /? HTTP/1.1", "/", "", "h"},
		{"GET //x/?a HTTP/1.1", "//x/", "a", "h"},
		{"GET /?a?b HTTP/1.1", "/", "a?b", "h"},
		{"GET /\xc3\xa9 HTTP/1.1", "/\xc3\xa9", "", "h"},
		{"OPTIONS * HTTP/1.1", "*", "", "h"},
		{"GET http://other:81/p?q HTTP/1.1", "/p", "q", "other:81"},
		{"GET ws://other HTTP/1.1", "/", "", "other"},
		{"GET wss://other?q=/ HTTP/1.1", "/", "q=/", "other"},
		{"GET HTTPS://[::1]:8443/ HTTP/1.1", "/", "", "[::1]:8443"},
	} {
		h := parse(t, c.requestLine+"\r\nHost: h\r\n\r\n")
		if string(h.Path) != c.path || string(h.Query) != c.query || string(h.Host) != c.host {
			t.Errorf("%s: path %q, query %q, host %q; want %q, %q, %q", c.requestLine, h.Path, h.Query, h.Host, c.path, c.query, c.host)
		}
	}
}

func TestParseForgetsTheHeadBefore(t *testing.T) {
	h := parse(t, strings.Replace(browserHead, "Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13", 1))
	if err := Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 64, h); err != nil {
		t.Fatal(err)
	}
	if h.Upgrade() || h.HasOrigin || len(h.Fields) != 1 || h.seen != hostField || h.twice != 0 || h.Key != nil {
		t.Errorf("left over from the head before: %+v", h)
	}
}

// refusals are heads that Parse refuses; netHTTP tells those that net/http's
// server takes.
var refusals = []struct {
	name    string
	head    string
	want    *Error
	netHTTP bool
}{
	{name: "two empty lines before the request line", head: "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "bare LF before the request line", head: "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrLineEnd},
	{name: "nothing but the end", head: "\r\n\r\n", want: ErrRequestLine},
	{name: "no spaces", head: "GET\r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "no version", head: "GET /\r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "empty method", head: " / HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "method is no token", head: "G@T / HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "CONNECT with an authority", head: "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrMethodUnsupported, netHTTP: true},
	{name: "CONNECT with a path", head: "CONNECT /p HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrMethodUnsupported, netHTTP: true},
	{name: "two spaces before the target", head: "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "space in the target", head: "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "space behind the version", head: "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "empty target", head: "GET  HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget},
	{name: "relative target", head: "GET p HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget},
	{name: "authority as a target", head: "GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget, netHTTP: true},
	{name: "asterisk for GET", head: "GET * HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget, netHTTP: true},
	{name: "control in the target", head: "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget},
	{name: "tab in the target", head: "GET /\t HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget},
	{name: "DEL in the query", head: "GET /?\x7f HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget},
	{name: "half an escape", head: "GET /%2 HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget},
	{name: "escape of no number", head: "GET /%2x HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget},
	{name: "absolute target without host", head: "GET http:///p HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget, netHTTP: true},
	{name: "absolute target with userinfo", head: "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget, netHTTP: true},
	{name: "absolute target with an escaped host", head: "GET http://%c3%a9/ HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget, netHTTP: true},
	{name: "absolute target of another scheme", head: "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget, netHTTP: true},
	{name: "absolute target with a bad port", head: "GET http://h:x/ HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget},
	{name: "opaque target", head: "GET http:p HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget, netHTTP: true},
	{name: "lower-case version", head: "GET / http/1.1\r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "version of two digits", head: "GET / HTTP/1.10\r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "version without digits", head: "GET / HTTP/1.x\r\nHost: h\r\n\r\n", want: ErrRequestLine},
	{name: "HTTP/0.9", head: "GET / HTTP/0.9\r\nHost: h\r\n\r\n", want: ErrHTTPVersion},
	{name: "HTTP/2", head: "GET / HTTP/2.0\r\nHost: h\r\n\r\n", want: ErrHTTPVersion},
	{name: "preface of HTTP/2", head: "PRI * HTTP/2.0\r\n\r\n", want: ErrHTTPVersion, netHTTP: true},

	{name: "bare LF behind the request line", head: "GET / HTTP/1.1\nHost: h\r\n\r\n", want: ErrLineEnd, netHTTP: true},
	{name: "bare LF behind a field", head: "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", want: ErrLineEnd, netHTTP: true},
	{name: "bare LF ends the head early", head: "GET / HTTP/1.1\r\nHost: h\n\nGET /smuggled HTTP/1.1\r\n\r\n", want: ErrLineEnd, netHTTP: true},
	{name: "bare CR in a field", head: "GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n", want: ErrField},
	{name: "NUL in a field", head: "GET / HTTP/1.1\r\nHost: h\r\nA: b\x00\r\n\r\n", want: ErrField},
	{name: "control far in a field", head: "GET / HTTP/1.1\r\nHost: h\r\nA: 0123456789\tabcdef\x1fghijklmnop\r\n\r\n", want: ErrField},
	{name: "DEL in a field", head: "GET / HTTP/1.1\r\nHost: h\r\nA: 0123456789abc\x7fdefghij\r\n\r\n", want: ErrField},
	{name: "no colon", head: "GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n", want: ErrField},
	{name: "empty name", head: "GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n", want: ErrField},
	{name: "space before the colon", head: "GET / HTTP/1.1\r\nHost : h\r\n\r\n", want: ErrField},
	{name: "space in a name", head: "GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n", want: ErrField},
	{name: "separator in a name", head: "GET / HTTP/1.1\r\nHost: h\r\nA(b): c\r\n\r\n", want: ErrField},
	{name: "name beyond ASCII", head: "GET / HTTP/1.1\r\nHost: h\r\n\xc3\xa9: c\r\n\r\n", want: ErrField},
	{name: "folded first field", head: "GET / HTTP/1.1\r\n Host: h\r\n\r\n", want: ErrField},
	{name: "folded field", head: "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", want: ErrField, netHTTP: true},

	{name: "no Host", head: "GET / HTTP/1.1\r\n\r\n", want: ErrHost},
	{name: "no Host beside an absolute target", head: "GET http://h/ HTTP/1.1\r\n\r\n", want: ErrHost},
	{name: "empty Host", head: "GET / HTTP/1.1\r\nHost:\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "letter in a port", head: "GET / HTTP/1.1\r\nHost: h:8o80\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "port of 17 bits", head: "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "two ports", head: "GET / HTTP/1.1\r\nHost: h:80:80\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "port of no host", head: "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "bracket that stays open", head: "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "bracket that was not opened", head: "GET / HTTP/1.1\r\nHost: h]\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "nothing in brackets", head: "GET / HTTP/1.1\r\nHost: []\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "name in brackets", head: "GET / HTTP/1.1\r\nHost: [h]\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "IPv4 in brackets", head: "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "zone in brackets", head: "GET / HTTP/1.1\r\nHost: [fe80::1%25lo]\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "text behind brackets", head: "GET / HTTP/1.1\r\nHost: [::1]h\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "IPv6 without brackets", head: "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "half an escape in Host", head: "GET / HTTP/1.1\r\nHost: h%4\r\n\r\n", want: ErrHost, netHTTP: true},
	{name: "absolute target with a port of 17 bits", head: "GET http://h:65536/ HTTP/1.1\r\nHost: h\r\n\r\n", want: ErrTarget, netHTTP: true},
	{name: "malformed Host", head: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", want: ErrHost},
	{name: "two Hosts", head: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", want: ErrHost},
	{name: "the same Host twice", head: "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", want: ErrHost},
	{name: "two Hosts in HTTP/1.0", head: "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", want: ErrHost},

	{name: "empty Content-Length", head: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", want: ErrFraming},
	{name: "signed Content-Length", head: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +0\r\n\r\n", want: ErrFraming},
	{name: "list as Content-Length", head: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 0\r\n\r\n", want: ErrFraming},
	{name: "endless Content-Length", head: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775808\r\n\r\n", want: ErrFraming},
	{name: "Content-Length of 19 digits", head: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0000000000000000000\r\n\r\n", want: ErrFraming, netHTTP: true},
	{name: "two Content-Lengths", head: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n", want: ErrFraming},
	{name: "the same Content-Length twice", head: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", want: ErrFraming, netHTTP: true},
	{name: "Content-Length beside chunked", head: "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", want: ErrFraming, netHTTP: true},
	{name: "unknown Transfer-Encoding", head: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", want: ErrTransferEncoding},
	{name: "two codings", head: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", want: ErrTransferEncoding},
	{name: "chunked twice", head: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", want: ErrTransferEncoding},
	{name: "chunked in HTTP/1.0", head: "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", want: ErrFraming, netHTTP: true},
	{name: "forbidden trailer", head: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: a, content-length\r\n\r\n", want: ErrTrailer},
	{name: "forbidden trailer that cannot come", head: "POST / HTTP/1.1\r\nHost: h\r\nTrailer: Trailer\r\n\r\n", want: ErrTrailer, netHTTP: true},
	{name: "unknown expectation", head: "GET / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", want: ErrExpect},
	{name: "two expectations", head: "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n", want: ErrExpect, netHTTP: true},
	{name: "an expectation too many", head: "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, tea\r\n\r\n", want: ErrExpect, netHTTP: true},
}

func TestParseRefuses(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			var h Head
			err := Parse([]byte(c.head), 64, &h)
			if !errors.Is(err, c.want) {
				t.Errorf("Parse(%q) = %v, want %v", c.head, err, c.want)
			}
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Status != c.want.Status {
				t.Errorf("status %v, want %d", refusal, c.want.Status)
			}
		})
	}
}

func TestParseRefusesWhatIsNotExactlyOneHead(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	var h Head
	for n := range len(head) {
		if err := Parse([]byte(head[:n]), 64, &h); err == nil {
			t.Errorf("Parse(%q) took a part for the whole", head[:n])
		}
	}
	if err := Parse([]byte(head+"x"), 64, &h); !errors.Is(err, ErrLineEnd) {
		t.Errorf("with an octet behind the head: %v, want %v", err, ErrLineEnd)
	}
}

func TestParseCountsFields(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nA: 2\r\n\r\n")
	var h Head
	if err := Parse(head, 3, &h); err != nil || len(h.Fields) != 3 {
		t.Errorf("at the limit: %v with %d fields", err, len(h.Fields))
	}
	if err := Parse(head, 2, &h); !errors.Is(err, ErrTooManyFields) {
		t.Errorf("over the limit: %v, want %v", err, ErrTooManyFields)
	}
}

func TestParseTakesEveryFormOfHost(t *testing.T) {
	for _, host := range []string{"h", "H.example.", "h:", "h:0", "h:65535", "127.0.0.1:80", "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]:", "caf%C3%A9", "_a-b.c~d"} {
		if h := parse(t, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); string(h.Host) != host {
			t.Errorf("Host %q, want %q", h.Host, host)
		}
	}
}

// One empty line before the request line is skipped (RFC 9112 §2.2).
func TestParseSkipsOneEmptyLine(t *testing.T) {
	if h := parse(t, "\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"); string(h.Method) != "GET" || string(h.Path) != "/a" {
		t.Errorf("%s %s", h.Method, h.Path)
	}
}

func TestTooLargeSaysWhatIsTooLarge(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for head, want := range map[string]*Error{
		"GET /" + long:                          ErrTargetTooLong,
		"\r\nHEAD /" + long:                     ErrTargetTooLong,
		"GET /" + long + " HTTP/1.1\r\nHost: h": ErrHeadTooLarge,
		"GET / HTTP/1.1\r\nA: " + long:          ErrHeadTooLarge,
		long:                                    ErrHeadTooLarge,
		strings.Repeat("\x00 ", 1000):           ErrHeadTooLarge,
	} {
		if got := TooLarge([]byte(head)); got != want {
			t.Errorf("TooLarge(%.20q…) = %v, want %v", head, got, want)
		}
	}
}

func TestParseTakesWhatHealthChecksSend(t *testing.T) {
	h := parse(t, "OPTIONS / HTTP/1.0\r\n\r\n") // HAProxy's default
	if h.Minor != 0 || h.Host != nil || h.Upgrade() {
		t.Errorf("Minor, Host, Upgrade = %d, %q, %v", h.Minor, h.Host, h.Upgrade())
	}
}

func TestParseDoesNotAllocateTwice(t *testing.T) {
	var h Head
	for _, head := range []string{smallHead, browserHead, longHead} {
		p := []byte(head)
		if err := Parse(p, 64, &h); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			if err := Parse(p[:End(p, 0)], 64, &h); err != nil {
				t.Error(err)
			}
			if err := h.Check(); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations for a head of %d octets, want none", n, len(p))
		}
	}
}

// TestControlsAreSeenWhereverTheyStand runs each octet through each position
// of the eight that are looked at together, with high octets around it.
func TestControlsAreSeenWhereverTheyStand(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			for _, filler := range []byte{' ', '~', 0x80, 0xff} {
				p := bytes.Repeat([]byte{filler}, 20)
				p[at] = byte(c)
				control := c < 0x20 || c == 0x7f
				if hasControl(p) != control {
					t.Fatalf("hasControl with %#x at %d among %#x = %v", c, at, filler, !control)
				}
				if validValue(p) != (!control || c == '\t') {
					t.Fatalf("validValue with %#x at %d among %#x = %v", c, at, filler, validValue(p))
				}
			}
		}
	}
}
