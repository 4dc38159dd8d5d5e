package handshake

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

func TestRequestIsWrittenAsItCame(t *testing.T) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(browserHead)))
	if err != nil {
		t.Fatal(err)
	}
	appended, err := AppendRequest([]byte("before"), r)
	if err != nil {
		t.Fatal(err)
	}
	written, ok := strings.CutPrefix(string(appended), "before")
	if !ok || End([]byte(written), 0) != len(written) {
		t.Fatalf("wrote %q", appended)
	}
	got, want := parse(t, written), parse(t, browserHead)
	if err := got.Check(); err != nil {
		t.Error(err)
	}
	if string(got.Target) != string(want.Target) || string(got.Host) != string(want.Host) || len(got.Fields) != len(want.Fields) {
		t.Errorf("wrote %q for %q", written, browserHead)
	}
	for _, f := range want.Fields {
		name := http.CanonicalHeaderKey(string(f.Name))
		found := false
		for _, g := range got.Fields {
			found = found || string(g.Name) == name && string(g.Value) == string(f.Value)
		}
		if !found {
			t.Errorf("lost %s: %s", f.Name, f.Value)
		}
	}
}

func TestRequestKeepsWhatCheckRefuses(t *testing.T) {
	for _, head := range []string{
		strings.Replace(smallHead, "Upgrade:", "Content-Length: 5\r\nUpgrade:", 1),
		strings.Replace(smallHead, "Upgrade:", "Transfer-Encoding: chunked\r\nUpgrade:", 1),
		strings.Replace(smallHead, "Upgrade:", "Origin: a\r\nOrigin: b\r\nUpgrade:", 1),
		strings.Replace(smallHead, "HTTP/1.1", "HTTP/1.0", 1),
		"GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n",
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
		if err != nil {
			t.Fatal(err)
		}
		written, err := AppendRequest(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		got, want := parse(t, string(written)).Check(), parse(t, head).Check()
		if got != want || got == nil {
			t.Errorf("%q: Check() = %v as written, %v as it came", head, got, want)
		}
	}
}

func TestRequestThatCannotBeAHeadIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*http.Request){
		"HTTP/2":                  func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 },
		"method with a space":     func(r *http.Request) { r.Method = "GET /" },
		"target with a line":      func(r *http.Request) { r.RequestURI = "/\r\nX:" },
		"Host with a line":        func(r *http.Request) { r.Host = "h\r\nX: y" },
		"name that is no token":   func(r *http.Request) { r.Header = http.Header{"A:": {"b"}} },
		"value with a line":       func(r *http.Request) { r.Header = http.Header{"A": {"b", "c\r\nX: y"}} },
		"coding that is no value": func(r *http.Request) { r.TransferEncoding = []string{"a\n"} },
	} {
		r, err := http.NewRequest("GET", "http://h/p?q", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := AppendRequest(nil, r); err != nil || !strings.HasPrefix(string(got), "GET /p?q HTTP/1.1\r\nHost: h\r\n") {
			t.Fatalf("before it is spoilt: %q, %v", got, err)
		}
		spoil(r)
		if got, err := AppendRequest([]byte("before"), r); err == nil || string(got) != "before" {
			t.Errorf("%s: wrote %q, %v", name, got, err)
		}
	}
}
