package webhook

import (
	"bufio"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/valyala/fasthttp"

	"sluice/gateway/upstream"
)

// parse reads an answer as a client does.
func parse(t testing.TB, text string) *fasthttp.Response {
	t.Helper()
	resp := new(fasthttp.Response)
	resp.Header.SetNoDefaultContentType(true)
	if err := resp.ReadLimitBody(bufio.NewReaderSize(strings.NewReader(text), headLimit), 1<<20); err != nil {
		t.Fatalf("%.200q: %v", text, err)
	}
	return resp
}

// ok is a 200 with header lines and a body.
func ok(lines, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", lines, len(body), body)
}

const (
	textType   = "Content-Type: text/plain\r\n"
	jsonType   = "Content-Type: application/json; charset=utf-8\r\n"
	binaryType = "Content-Type: application/octet-stream\r\n"
)

func TestAnswersToMessagesReachTheClient(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		op     ws.OpCode
		data   string
	}{
		"204":                       {noContent, 0, ""},
		"200 and empty":             {ok("", ""), 0, ""},
		"200, empty, any type":      {ok("Content-Type: image/png\r\n", ""), 0, ""},
		"text":                      {ok(textType, "hi"), ws.OpText, "hi"},
		"text in capitals":          {ok("CONTENT-TYPE: Text/Plain;charset=UTF-8\r\n", "hi"), ws.OpText, "hi"},
		"JSON with a mark":          {ok(jsonType, "\ufeff{}"), ws.OpText, `{}`},
		"JSON":                      {ok(jsonType, `{"a":1}`), ws.OpText, `{"a":1}`},
		"binary":                    {ok(binaryType, "\xff\x00"), ws.OpBinary, "\xff\x00"},
		"identity encoding":         {ok(textType+"Content-Encoding: identity\r\n", "hi"), ws.OpText, "hi"},
		"chunked":                   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + textType + "\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", ws.OpText, "hi"},
		"until the connection ends": {"HTTP/1.1 200 OK\r\n" + textType + "\r\nhi", ws.OpText, "hi"},
		"behind a 100 and a 103":    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + ok(textType, "hi"), ws.OpText, "hi"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := parse(t, test.answer)
			r, err := readReply(message("x"), resp)
			wantNoError(t, err)
			resp.Reset() // nothing of it may be kept
			resp.SetBodyString("XXXXXXXXXXXXXXXX")
			if r.Send.Op != test.op || string(r.Send.Data) != test.data || r.State != nil || r.Verdict != nil || r.Close.Code != 0 {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestWhatTheContractDoesNotKnowIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ answer, want string }{
		"body without a type":   {ok("", "hi"), "no Content-Type"},
		"unknown type":          {ok("Content-Type: text/html\r\n", "hi"), "text/html"},
		"text that is not":      {ok(textType, "\xff"), "UTF-8"},
		"JSON that is not text": {ok(jsonType, "\xff"), "UTF-8"},
		"compressed":            {ok(textType+"Content-Encoding: gzip\r\n", "hi"), "gzip"},
		"201":                   {"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", "201"},
		"202":                   {"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", "202"},
		"302":                   {"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "302"},
		"400":                   {"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", "400"},
		"401":                   {"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n", "401"},
		"500":                   {"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "500"},
		"501":                   {"HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n", "501"},
		"101":                   {"HTTP/1.1 101 Switching\r\n\r\n", "101"},
		"two states":            {ok("ce-connectionState: a\r\nCE-ConnectionState: b\r\n", ""), "2 times"},
		"a long state":          {ok("ce-connectionState: "+strings.Repeat("x", maxState+1)+"\r\n", ""), "more than 4096"},
		"a state in Latin-1":    {ok("ce-connectionState: \xe4\r\n", ""), "visible ASCII"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readReply(message("x"), parse(t, test.answer))
			failed(t, err, upstream.Refused, test.want)
		})
	}
}

func TestStateIsReplacedRemovedOrKept(t *testing.T) {
	long := strings.Repeat("x", maxState)
	for lines, want := range map[string]string{
		"ce-connectionState: eyJrIjoxfQ==\r\n": "eyJrIjoxfQ==",
		"Ce-connectionstate:  a b%20c \r\n":    "a b%20c",
		"ce-connectionState:\r\n":              "",
		"ce-connectionState: " + long + "\r\n": long,
	} {
		for _, c := range []*upstream.Call{message("x"), event(upstream.Connect)} {
			r, err := readReply(c, parse(t, ok(lines, "")))
			wantNoError(t, err)
			if r.State == nil || r.State.Value != want {
				t.Errorf("%.80q: got %v, want %.40q", lines, r.State, want)
			}
		}
	}
	for _, kind := range []upstream.Type{upstream.Connected, upstream.Disconnected} {
		r, err := readReply(event(kind), parse(t, ok("ce-connectionState: a\r\nce-connectionState: b\r\n", "")))
		if err != nil || r.State != nil {
			t.Errorf("%v: got %+v, %v; what nobody waits for sets no state", kind, r, err)
		}
	}
}

func TestNotificationsAreTakenByAny2xx(t *testing.T) {
	for _, kind := range []upstream.Type{upstream.Connected, upstream.Disconnected} {
		for _, status := range []int{200, 201, 202, 204, 299} {
			r, err := readReply(event(kind), parse(t, fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status)))
			if err != nil || !reflect.DeepEqual(r, upstream.Reply{}) {
				t.Errorf("%v, %d: got %+v, %v", kind, status, r, err)
			}
		}
		for _, status := range []int{302, 400, 404, 500} {
			_, err := readReply(event(kind), parse(t, fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status)))
			failed(t, err, upstream.Refused, fmt.Sprint(status))
		}
	}
}

func TestBusyBackendsAreLeftAlone(t *testing.T) {
	now := time.Now()
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "1.5": 0, "soon": 0, "99999999999999": 0,
		"86400": time.Hour, "Thu, 01 Jan 1970 00:00:00 GMT": 0,
		now.Add(30 * time.Second).UTC().Format(http.TimeFormat): 30 * time.Second,
	} {
		for _, status := range []int{408, 425, 429, 502, 503, 504} {
			for _, kind := range []upstream.Type{upstream.Connect, upstream.Connected, upstream.Message, upstream.Disconnected} {
				_, err := readReply(event(kind), parse(t, fmt.Sprintf("HTTP/1.1 %d X\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", status, value)))
				if err == nil && kind == upstream.Connect && status == 429 {
					continue // a refusal, if it does not say until when
				}
				f := failed(t, err, upstream.Unsent, fmt.Sprint(status))
				if f.After < want-2*time.Second || f.After > want {
					t.Errorf("Retry-After: %s means %v, want %v", value, f.After, want)
				}
			}
		}
	}
}

func TestConnectCanBeRefused(t *testing.T) {
	long := strings.Repeat("ü", maxText)
	for name, test := range map[string]struct{ lines, body, want string }{
		"nothing said":   {"", "", ""},
		"no type":        {"", "go away", "go away"},
		"text":           {textType, "go away", "go away"},
		"JSON":           {jsonType, `{"error":"x"}`, `{"error":"x"}`},
		"a page":         {"Content-Type: text/html\r\n", "<h1>", ""},
		"not UTF-8":      {textType, "\xff\xfe", ""},
		"long":           {textType, strings.Repeat("x", 2*maxText), strings.Repeat("x", maxText)},
		"long, in UTF-8": {textType, long, long[:maxText]},
		"cut in the ü":   {textType, "x" + long, "x" + long[:maxText-2]},
		"cut in the 😀 2": {textType, strings.Repeat("x", maxText-2) + "😀", strings.Repeat("x", maxText-2)},
		"cut in the 😀 3": {textType, strings.Repeat("x", maxText-3) + "😀", strings.Repeat("x", maxText-3)},
	} {
		for _, status := range []int{400, 401, 403, 404, 429, 499} {
			text := fmt.Sprintf("HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s", status, test.lines, len(test.body), test.body)
			r, err := readReply(event(upstream.Connect), parse(t, text))
			if err != nil || r.Verdict == nil || r.Verdict.Status != status || r.Verdict.Text != test.want {
				t.Errorf("%s: got %+v, %v", name, r.Verdict, err)
			}
		}
	}
	for _, status := range []int{201, 301, 500, 501, 599} {
		_, err := readReply(event(upstream.Connect), parse(t, fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status)))
		failed(t, err, upstream.Refused, fmt.Sprint(status))
	}
}

func TestAllowedOrigins(t *testing.T) {
	for _, test := range []struct {
		values string // by |
		want   bool
	}{
		{"", false}, {"*", true}, {"ws.example.com", true}, {"WS.Example.COM", true}, {"other.example", false},
		{"other.example, ws.example.com", true}, {"other.example|ws.example.com", true}, {"a,b|c , *", true},
		{"ws.example.com:443", false}, {"*.example.com", false}, {"xws.example.com", false}, {"|", false},
	} {
		var values [][]byte
		for v := range strings.SplitSeq(test.values, "|") {
			values = append(values, []byte(v))
		}
		if got := allows(values, "ws.example.com"); got != test.want {
			t.Errorf("%q: got %v", test.values, got)
		}
	}
	if allows(nil, "ws.example.com") {
		t.Error("no header allows")
	}
}

func FuzzContentTypeDecidesTheMessage(f *testing.F) {
	for _, s := range []string{"text/plain", "TEXT/plain ; charset=x", "application/json", "application/octet-stream;", "", ";", "text/html", "text/plain\x00"} {
		f.Add([]byte(s), []byte("body"))
	}
	f.Fuzz(func(t *testing.T, kind, body []byte) {
		op, err := opOf(kind, body)
		name, _, _ := strings.Cut(strings.ToLower(string(kind)), ";")
		switch name = strings.TrimSpace(name); {
		case err != nil && op != 0:
			t.Errorf("%q: both %v and %v", kind, op, err)
		case op == ws.OpText && (!utf8.Valid(body) || name != "text/plain" && name != "application/json"):
			t.Errorf("%q with %q is text", kind, body)
		case op == ws.OpBinary && name != "application/octet-stream":
			t.Errorf("%q is binary", kind)
		}
	})
}
