package webhook

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sluice/gateway/name"
)

func TestTargetsAreTakenApart(t *testing.T) {
	for text, want := range map[string]struct{ host, address, path, authorization string }{
		"http://backend.example":                  {"backend.example", "backend.example:80", "/", ""},
		"HTTPS://Backend.example/":                {"Backend.example", "Backend.example:443", "/", ""},
		"http://backend.example:8080?x={event}":   {"backend.example:8080", "backend.example:8080", "/?x=EVENT", ""},
		"https://[::1]:8443/{hub}/{event}/{hub}":  {"[::1]:8443", "[::1]:8443", "/chat/EVENT/chat", ""},
		"http://10.0.0.1:/a%2Fb/{event}{event}?q": {"10.0.0.1", "10.0.0.1:80", "/a%2Fb/EVENTEVENT?q", ""},
		"http://u:p@backend.example/x":            {"backend.example", "backend.example:80", "/x", "Basic dTpw"},
		"http://u@backend.example/{event}.php":    {"backend.example", "backend.example:80", "/EVENT.php", "Basic dTo="},
	} {
		got, err := parseTarget(text, "chat")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if path := string(got.append(nil, "EVENT")); path != want.path || got.host != want.host ||
			got.address != want.address || got.authorization != want.authorization {
			t.Errorf("%s: got %+v and %s", text, got, path)
		}
		if got.secure != strings.HasPrefix(strings.ToLower(text), "https") {
			t.Errorf("%s: secure is %v", text, got.secure)
		}
	}
}

func TestBadTargetsAreRefusedWithoutTheirSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "begin with",
		"ws://secret@backend.example":        "begin with",
		"http:/secret":                       "begin with",
		"http://{hub}.example/secret":        "placeholder",
		"http://backend.example:{event}/":    "placeholder",
		"http://":                            "no valid host",
		"http:///secret":                     "no valid host",
		"http://secret@:80/":                 "no valid host",
		"http://backend.example:secret/":     "no valid host",
		"http://backend example/":            "no valid host",
		"http://bäckend.example/":            "xn--",
		"http://backend.example/#secret":     "fragment",
		"http://backend.example/{secret}":    "unknown placeholder",
		"http://backend.example/{event/":     "unknown placeholder",
		"http://backend.example/secret here": "%XX",
		"http://backend.example/\r\nsecret":  "%XX",
		"http://backend.example/%zzsecret":   "%XX",
	} {
		_, err := parseTarget(text, "chat")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
	if _, err := Open(options("http://{hub}.example")); err == nil || !strings.Contains(err.Error(), "hub chat") {
		t.Errorf("Open: got %v", err)
	}
	o := options("http://backend.example")
	o.Endpoint = "nowhere"
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "endpoint") {
		t.Errorf("Open without an endpoint: got %v", err)
	}
}

func TestOriginIsWhatURLHostIsInJavaScript(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://ws.example.com":      "ws.example.com",
		"https://ws.example.com:443/": "ws.example.com",
		"http://ws.example.com:443":   "ws.example.com:443",
		"http://127.0.0.1:8080":       "127.0.0.1:8080",
		"http://[::1]:80/x":           "[::1]",
		"http://ws.example.com:8080":  "ws.example.com:8080",
		"http://[fe80::80]":           "[fe80::80]",
	} {
		if got, err := originOf(endpoint); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", endpoint, got, err, want)
		}
	}
}

// Whatever a client calls its event, the URL keeps its shape.
func FuzzEventNameStaysOneSegment(f *testing.F) {
	for _, s := range []string{"message", "..", "a/b", "a?b", "a%2fb", ".", "a#b", "\x00"} {
		f.Add(s)
	}
	target, err := parseTarget("http://backend.example/before/{event}/after?e={event}", "chat")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, event string) {
		if !name.Event(event) {
			return
		}
		u, err := url.ParseRequestURI(string(target.append(nil, event)))
		if err != nil {
			t.Fatal(err)
		}
		if u.Path != "/before/"+event+"/after" || u.JoinPath().Path != u.Path || u.Query().Get("e") != event {
			t.Errorf("%q makes %s", event, u)
		}
	})
}

// A template that is accepted makes request lines that a server reads as one
// request for it.
func FuzzTargetsMakeRequestLines(f *testing.F) {
	for _, s := range []string{
		"http://backend.example/{hub}/{event}?x={event}", "https://u:p@[::1]:8443/%20", "http://h?{event}", "http://h/{", "http://h/#",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := parseTarget(text, "chat")
		if err != nil {
			return
		}
		head := "OPTIONS " + string(target.append(nil, "validate")) + " HTTP/1.1\r\n" + target.common("ws.example.com") + "\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "rest")))
		if err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		if r.Host != target.host || len(r.Header) > 4 {
			t.Errorf("%q is read as %+v", head, r)
		}
	})
}
