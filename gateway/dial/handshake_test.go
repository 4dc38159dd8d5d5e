package dial

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestARefusedHandshakeShowsStatusAndBody(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "origin not allowed\xff", http.StatusForbidden)
	}))
	defer server.Close()
	got := run(t, open(t, ""), server.URL+"/?access_token=secret")
	want := strings.TrimPrefix(server.URL, "http://") + " refused the handshake: 403 Forbidden: origin not allowed\uFFFD"
	if text := errorText(got.err); text != want {
		t.Errorf("error is %q, want %q", text, want)
	}
}

func TestASubprotocolThatWasNotOfferedIsRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Sec-WebSocket-Protocol", "unasked")
		conn, err := websocket.Accept(w, r, nil)
		if err == nil {
			conn.CloseNow()
		}
	}))
	defer server.Close()
	got := run(t, open(t, ""), server.URL)
	if text := errorText(got.err); !strings.Contains(text, "unasked") {
		t.Errorf("error is %q, want it to name the subprotocol", text)
	}
}

func TestNoListenerIsAnErrorWithoutTheToken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	got := run(t, open(t, ""), "ws://user:password@"+address+"/?access_token=secret")
	text := errorText(got.err)
	if !strings.HasPrefix(text, "connect to "+address+": ") || !strings.Contains(text, "refused") {
		t.Errorf("error is %q", text)
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "password") {
		t.Errorf("error %q shows what must stay secret", text)
	}
}

func TestASilentServerIsLeftAfterTheTimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // never accepts
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	got := run(t, open(t, ""), "-timeout", "50ms", "ws://"+listener.Addr().String())
	want := fmt.Sprintf("connect to %s: no answer to the handshake within 50ms", listener.Addr())
	if text := errorText(got.err); text != want {
		t.Errorf("error is %q, want %q", text, want)
	}
}

func TestAnUnknownCertificateIsRefusedUnlessInsecure(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		echo(conn, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	url := "wss" + strings.TrimPrefix(server.URL, "https")

	got := run(t, strings.NewReader("hi\n"), "-n", "1", url)
	if text := errorText(got.err); !strings.Contains(text, "certificate") {
		t.Errorf("error is %q, want it to speak of the certificate", text)
	}
	got = run(t, strings.NewReader("hi\n"), "-n", "1", "-insecure", url)
	if got.err != nil || got.stdout != "hi\n" {
		t.Errorf("with -insecure: %+v", got)
	}
}

func TestBadCommandLinesSayWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "want one URL after the flags, got 0 arguments"},
		{"ws://a ws://b", "want one URL after the flags, got 2 arguments"},
		{"127.0.0.1:8080", "the URL does not parse"},
		{"localhost:8080", "the URL must begin with ws:// or wss://"},
		{"ws:///path", "the URL names no host"},
		{"-nope ws://a", "flag provided but not defined: -nope"},
		{"-H nocolon ws://a", "header 1 is not of the form 'Name: value'"},
		{"-H a:b -H c@:secret ws://a", "header 2 is not of the form 'Name: value'"},
		{"-subprotocol a,,b ws://a", `invalid value "a,,b" for flag -subprotocol: "" is not a token`},
		{"-close 1005 ws://a", `invalid value "1005" for flag -close: want 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"-close later ws://a", `invalid value "later" for flag -close: want a number`},
		{"-timeout 0s ws://a", "-timeout must be positive"},
		{"-wait -1s ws://a", "-ping, -wait and -n must not be negative"},
	} {
		got := run(t, open(t, ""), strings.Fields(test.args)...)
		want := "wrong usage: " + test.want + `; "sluice dial -h" shows the right one`
		if text := errorText(got.err); text != want || !errors.Is(got.err, ErrUsage) {
			t.Errorf("dial %s:\n got %q\nwant %q", test.args, text, want)
		}
		if got.stdout != "" || got.stderr != "" {
			t.Errorf("dial %s wrote %q and %q", test.args, got.stdout, got.stderr)
		}
	}
}

func TestHelpNamesEveryFlagAndIsANormalEnd(t *testing.T) {
	got := run(t, open(t, ""), "-h")
	if got.err != nil {
		t.Error(got.err)
	}
	for _, name := range []string{"H", "origin", "subprotocol", "insecure", "deflate", "binary", "timeout", "ping", "wait", "n", "close", "v"} {
		if !strings.Contains(got.stdout, "\n  -"+name) {
			t.Errorf("usage lacks -%s", name)
		}
	}
}
