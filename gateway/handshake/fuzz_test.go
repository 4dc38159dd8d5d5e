package handshake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
	"pgregory.net/rapid"
)

// readAsNetHTTP reads one head as net/http's server does: http.ReadRequest and
// then the checks that only the server makes. It returns the header with Host
// as well, and how many octets it took for the head.
func readAsNetHTTP(head []byte) (r *http.Request, header http.Header, n int, err error) {
	lines := textproto.NewReader(bufio.NewReader(bytes.NewReader(head)))
	if _, err = lines.ReadLine(); err != nil {
		return nil, nil, 0, err
	}
	mime, err := lines.ReadMIMEHeader()
	if err != nil {
		return nil, nil, 0, err
	}
	buffered := bufio.NewReaderSize(bytes.NewReader(head), max(len(head), 16))
	if r, err = http.ReadRequest(buffered); err != nil {
		return nil, nil, 0, err
	}
	header = http.Header(mime)
	hosts := header["Host"]
	switch {
	case r.ProtoMajor != 1:
		return nil, nil, 0, errors.New("unsupported version")
	case r.ProtoAtLeast(1, 1) && len(hosts) == 0 && r.Method != "CONNECT":
		return nil, nil, 0, errors.New("no Host")
	case len(hosts) == 1 && !httpguts.ValidHostHeader(hosts[0]):
		return nil, nil, 0, errors.New("malformed Host")
	}
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, nil, 0, errors.New("malformed name")
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return nil, nil, 0, errors.New("malformed value")
			}
		}
	}
	if expect := header.Get("Expect"); expect != "" && !strings.Contains(strings.ToLower(expect), "100-continue") {
		return nil, nil, 0, errors.New("unknown expectation")
	}
	return r, header, len(head) - buffered.Buffered(), nil
}

// agreeWithNetHTTP fails if Parse takes a head that net/http's server refuses,
// or that it takes for another request.
func agreeWithNetHTTP(t rapid.TB, received []byte) {
	n := End(received, 0)
	if n < 0 {
		return
	}
	head := received[:n]
	before := string(head)
	var h Head
	err := Parse(head, 64, &h)
	if string(head) != before {
		t.Fatalf("Parse changed %q to %q", before, head)
	}
	if err != nil {
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Status < 400 || refusal.Status > 599 {
			t.Fatalf("refused with %v", err)
		}
		return
	}
	if err := CheckPrefix(head, 0); err != nil {
		t.Fatalf("CheckPrefix would not have waited for the rest: %v", err)
	}
	head = SkipEmptyLine(head) // which net/http does not
	r, header, length, err := readAsNetHTTP(head)
	if err != nil {
		t.Fatalf("net/http refuses: %v", err)
	}
	if length != len(head) {
		t.Fatalf("net/http sees a head of %d octets, not %d", length, len(head))
	}
	path, err := url.PathUnescape(string(h.Path))
	if err != nil {
		t.Fatal(err)
	}
	if r.URL.Path == "" {
		r.URL.Path = "/" // an absolute target with an empty path
	}
	for _, c := range []struct{ what, got, want string }{
		{"method", string(h.Method), r.Method},
		{"target", string(h.Target), r.RequestURI},
		{"path", path, r.URL.Path},
		{"query", string(h.Query), r.URL.RawQuery},
		{"host", string(h.Host), r.Host},
		{"origin", string(h.Origin), header.Get("Origin")},
		{"minor", fmt.Sprint(h.Minor), fmt.Sprint(r.ProtoMinor)},
		{"body", fmt.Sprint(h.body), fmt.Sprint(r.ContentLength != 0)},
		{"upgrade", fmt.Sprint(h.Upgrade()), fmt.Sprint(httpguts.HeaderValuesContainsToken(header["Upgrade"], "websocket"))},
		{"connection", fmt.Sprint(h.connection), fmt.Sprint(httpguts.HeaderValuesContainsToken(header["Connection"], "upgrade"))},
	} {
		if c.got != c.want && !(c.what == "origin" && h.twice&originField != 0) {
			t.Errorf("%s %q, net/http has %q", c.what, c.got, c.want)
		}
	}
	fields := http.Header{}
	for _, field := range h.Fields {
		fields.Add(string(field.Name), string(field.Value))
	}
	if len(fields) != len(header) {
		t.Errorf("fields %q, net/http has %q", fields, header)
	}
	for name, values := range header {
		if !slices.Equal(fields[name], values) {
			t.Errorf("%s: %q, net/http has %q", name, fields[name], values)
		}
	}
}

// FuzzHeadAgainstNetHTTP: what net/http's server refuses, Parse refuses; and
// what both take they take for the same request, of the same length.
func FuzzHeadAgainstNetHTTP(f *testing.F) {
	for _, head := range []string{smallHead, browserHead, "OPTIONS * HTTP/1.0\r\n\r\n", "\r\n" + smallHead,
		"GET http://a:1/b%20c?d#e HTTP/1.1\r\nHost: f\r\n\r\n",
		"POST /%c3%a9?\xc3\xa9 HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 007\r\nA:\tb\t c \r\na:\r\n\r\nseven  ",
		"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\nExpect: 100-Continue\r\n\r\n0\r\n\r\n"} {
		f.Add([]byte(head))
	}
	for _, c := range refusals {
		f.Add([]byte(c.head))
	}
	f.Fuzz(func(t *testing.T, received []byte) { agreeWithNetHTTP(t, received) })
}

// TestParseAgreesWithNetHTTP builds heads from pieces that matter, which octets
// changed at random seldom meet.
func TestParseAgreesWithNetHTTP(t *testing.T) {
	mostly := func(good string, others ...string) *rapid.Generator[string] {
		return rapid.SampledFrom(append(slices.Repeat([]string{good}, 10*len(others)), others...))
	}
	var (
		method = mostly("GET", "POST", "OPTIONS", "CONNECT", "get", "G,", "")
		target = mostly("/", "/a?b", "/%41", "/%4", "*", "h:80", "http://h", "http://h/a?b", "http://h:x/", "http://u@h/",
			"http://[::1]:1/", "http://[::1", "/\x80", "/\x7f", "")
		version = mostly("HTTP/1.1", "HTTP/1.0", "HTTP/1.9", "HTTP/2.0", "HTTP/1.", "HTTP/11.1")
		space   = mostly(" ", "  ", "\t", "")
		end     = mostly("\r\n", "\n", "\r", "\r\r\n", "\r\n ")
		colon   = mostly(":", ": ", ":\t ", " :", "")
		name    = rapid.SampledFrom([]string{"Host", "host", "Content-Length", "Transfer-Encoding", "Trailer", "Expect", "Origin",
			"Connection", "Upgrade", "X", "X Y", "X:Y", ""})
		value = rapid.SampledFrom([]string{"h", "h:1", "[::1]", "0", "00", "5", "+5", "5,5", "chunked", "gzip", "chunked, chunked",
			"100-continue", "x", "content-length", "upgrade, keep-alive", "websocket", "a, websocket ,", "\x00", "\x7f", "\x80", "a\tb", "a\rb", " ", ""})
	)
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		for range 50 {
			head := method.Draw(t, "method") + space.Draw(t, "space") + target.Draw(t, "target") + space.Draw(t, "space") +
				version.Draw(t, "version") + end.Draw(t, "end")
			if rapid.Bool().Draw(t, "a good Host") {
				head += "Host: h\r\n"
			}
			for range rapid.IntRange(0, 4).Draw(t, "fields") {
				head += name.Draw(t, "name") + colon.Draw(t, "colon") + value.Draw(t, "value") + end.Draw(t, "end")
			}
			head += "\r\n"
			agreeWithNetHTTP(t, []byte(head))
			if Parse([]byte(head), 64, new(Head)) == nil {
				taken++
			}
		}
	})
	if taken == 0 {
		t.Error("not one of the heads was good")
	}
}

// FuzzUpgrade: what Check accepts is answered with a 101 that a client accepts.
func FuzzUpgrade(f *testing.F) {
	f.Add([]byte(smallHead), "a", true)
	f.Add([]byte(browserHead), "json.webpubsub.azure.v1", true)
	f.Add([]byte(offering(`permessage-deflate; server_max_window_bits="9", x`)), "a", true)
	f.Add([]byte(strings.Replace(smallHead, "Upgrade:", "Sec-WebSocket-Protocol: ,b,a\r\nUpgrade:", 1)), "a", false)
	u := NewUpgrader()
	f.Fuzz(func(t *testing.T, head []byte, subprotocol string, deflate bool) {
		var h Head
		if !isToken([]byte(subprotocol)) || Parse(head, 64, &h) != nil || h.Check() != nil {
			return
		}
		answer, result, err := u.Upgrade(nil, &h, &Options{Subprotocols: []string{subprotocol}, Deflate: deflate})
		if err != nil {
			t.Fatal(err)
		}
		rest := bufio.NewReader(bytes.NewReader(answer))
		response, err := http.ReadResponse(rest, nil)
		if err != nil {
			t.Fatalf("%v in %q", err, answer)
		}
		got, want := response.Header, http.Header{
			"Upgrade":              {"websocket"},
			"Connection":           {"Upgrade"},
			"Sec-Websocket-Accept": {acceptKey(h.Key)},
		}
		if slices.Contains(h.AppendSubprotocols(nil), subprotocol) {
			want.Set("Sec-WebSocket-Protocol", subprotocol)
		}
		if result.Deflate {
			want.Set("Sec-WebSocket-Extensions", got.Get("Sec-WebSocket-Extensions"))
			if !strings.HasPrefix(got.Get("Sec-WebSocket-Extensions"), plainDeflate) || !deflate {
				t.Errorf("extensions %q", got.Get("Sec-WebSocket-Extensions"))
			}
		}
		if response.StatusCode != http.StatusSwitchingProtocols || rest.Buffered() != 0 || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("answer %q, want %v", answer, want)
		}
		if result.WindowBits < 8 || result.WindowBits > 15 || result.Subprotocol != want.Get("Sec-WebSocket-Protocol") {
			t.Errorf("result %+v", result)
		}
	})
}

// The grammar of RFC 6455 §9.1 once more, as regular expressions.
const (
	tokenExpr     = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
	parameterExpr = `(` + tokenExpr + `)[ \t]*(?:=[ \t]*(` + tokenExpr + `|"(?:[^"\\]|\\.)*"))?`
	extensionExpr = tokenExpr + `(?:[ \t]*;[ \t]*` + parameterExpr + `)*`
)

// FuzzDeflateOffers holds the negotiation against a slow one.
func FuzzDeflateOffers(f *testing.F) {
	for _, offers := range []string{
		"permessage-deflate", "permessage-deflate; client_max_window_bits, x",
		`permessage-deflate; server_max_window_bits="1\0" ; a, permessage-deflate;server_max_window_bits = 9`,
		`a; b="c,\"d";, e`, ",\t,", "permessage-deflate;server_no_context_takeover;client_no_context_takeover=",
	} {
		f.Add([]byte(offers))
	}
	list := regexp.MustCompile(`(?s)^[ \t,]*` + extensionExpr + `(?:[ \t]*,[ \t,]*` + extensionExpr + `)*[ \t,]*$`)
	extension := regexp.MustCompile(`(?s)` + extensionExpr)
	parameter := regexp.MustCompile(`(?s);[ \t]*` + parameterExpr)
	bits := regexp.MustCompile(`^"?([89]|1[0-5])"?$`)

	slow := func(offers []byte) (offer deflateOffer, ok bool) {
		if !list.Match(offers) {
			return deflateOffer{}, false
		}
	offers:
		for _, e := range extension.FindAll(offers, -1) {
			name, _, _ := strings.Cut(string(e), ";")
			if !strings.EqualFold(strings.TrimRight(name, " \t"), "permessage-deflate") {
				continue
			}
			offer, seen := deflateOffer{acceptable: true}, map[string]bool{}
			for _, p := range parameter.FindAllStringSubmatch(string(e), -1) {
				name, value := strings.ToLower(p[1]), p[2]
				number := bits.FindStringSubmatch(value)
				switch {
				case seen[name]:
					continue offers
				case strings.HasSuffix(name, "_no_context_takeover") && value == "":
				case name == "client_max_window_bits" && (value == "" || number != nil):
				case name == "server_max_window_bits" && number != nil:
					if _, err := fmt.Sscan(number[1], &offer.serverBits); err != nil {
						panic(err)
					}
				default:
					continue offers
				}
				if name != "server_no_context_takeover" && name != "client_no_context_takeover" && !strings.HasSuffix(name, "_max_window_bits") {
					continue offers
				}
				seen[name] = true
			}
			return offer, true
		}
		return deflateOffer{}, true
	}

	f.Fuzz(func(t *testing.T, offers []byte) {
		if !validValue(offers) {
			return
		}
		h := Head{Fields: []Field{{Value: trim(offers), kind: extensionsField}}, seen: extensionsField}
		err := h.checkExtensions()
		want, ok := slow(trim(offers))
		if (err == nil) != ok {
			t.Fatalf("checkExtensions: %v, by the grammar: %v", err, ok)
		}
		if err == nil && (h.deflate.acceptable != want.acceptable || want.acceptable && h.deflate != want) {
			t.Errorf("offer %+v, want %+v", h.deflate, want)
		}
	})
}
