package dial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a WebSocket server on loopback and returns its URL. handle owns
// the connection; when it returns, the connection is cut off.
func serve(t *testing.T, o *websocket.AcceptOptions, handle func(*websocket.Conn, *http.Request)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, o)
		if err != nil {
			return // Accept has answered
		}
		defer conn.CloseNow()
		handle(conn, r)
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

// echo answers every message with itself until the connection ends.
func echo(conn *websocket.Conn, r *http.Request) {
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if conn.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// result is what one run left behind.
type result struct {
	stdout, stderr string
	err            error
}

// run calls Run under a bound, so that a run that hangs fails its test.
func run(t *testing.T, stdin io.Reader, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	err := Run(ctx, args, stdin, &stdout, &stderr)
	if ctx.Err() != nil {
		t.Fatalf("Run(%q) did not end by itself", args)
	}
	return result{stdout.String(), stderr.String(), err}
}

// open is an input that has said text and does not end before the test does.
func open(t *testing.T, text string) io.Reader {
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	return io.MultiReader(strings.NewReader(text), r)
}

func TestLinesAreEchoedInOrderAndTheEndOfInputIsANormalEnd(t *testing.T) {
	url := serve(t, nil, echo)
	for _, input := range []string{"hi\n", "hi", "eins\nzwei\n\ndrei\n", ""} {
		got := run(t, strings.NewReader(input), "-wait", "200ms", url)
		want := input
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if got.err != nil || got.stdout != want || got.stderr != "" {
			t.Errorf("input %q: got %+v, want stdout %q and nothing else", input, got, want)
		}
	}
}

func TestALongInputIsEchoedWholeWhileItIsStillRead(t *testing.T) {
	url := serve(t, nil, echo)
	var input strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&input, "%d %s\n", i, strings.Repeat("x", 2000))
	}
	got := run(t, strings.NewReader(input.String()), "-n", "2000", url)
	if got.err != nil {
		t.Fatal(got.err)
	}
	if got.stdout != input.String() {
		t.Errorf("echoed %d bytes that differ from the %d sent", len(got.stdout), input.Len())
	}
}

func TestBinaryMessagesAreBase64OnBothSides(t *testing.T) {
	kinds := make(chan websocket.MessageType, 1)
	url := serve(t, nil, func(conn *websocket.Conn, r *http.Request) {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		kinds <- kind
		conn.Write(r.Context(), websocket.MessageBinary, append(message, 0))
		conn.Close(websocket.StatusNormalClosure, "")
	})
	got := run(t, open(t, "YWJj/w==\n"), "-binary", url)
	if got.err != nil || got.stdout != "YWJj/wA=\n" {
		t.Errorf("got %+v, want the message with a zero byte behind it", got)
	}
	if kind := <-kinds; kind != websocket.MessageBinary {
		t.Errorf("the server got a %v message, want a binary one", kind)
	}
}

func TestTheHandshakeCarriesWhatTheFlagsAsk(t *testing.T) {
	var seen *http.Request
	url := serve(t, &websocket.AcceptOptions{
		Subprotocols:       []string{"b"},
		InsecureSkipVerify: true, // any origin
		CompressionMode:    websocket.CompressionNoContextTakeover,
	}, func(conn *websocket.Conn, r *http.Request) {
		seen = r
		conn.Close(websocket.StatusNormalClosure, "")
	})
	got := run(t, open(t, ""), "-v", "-deflate", "-subprotocol", "a, b", "-origin", "https://example.com",
		"-H", "X-One: 1", "-H", "X-One:2", "-H", "Host: hub.example", url)
	if got.err != nil {
		t.Fatal(got.err)
	}
	if v := seen.Header.Values("X-One"); len(v) != 2 || v[0] != "1" || v[1] != "2" {
		t.Errorf("X-One is %q", v)
	}
	if seen.Host != "hub.example" || seen.Header.Get("Origin") != "https://example.com" {
		t.Errorf("Host is %q, Origin is %q", seen.Host, seen.Header.Get("Origin"))
	}
	for _, want := range []string{"subprotocol b", "permessage-deflate", "closed by server: 1000 normal closure"} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, got.stderr)
		}
	}
}

func TestDeflatedMessagesComeBackWhole(t *testing.T) {
	url := serve(t, &websocket.AcceptOptions{CompressionMode: websocket.CompressionNoContextTakeover}, echo)
	input := strings.Repeat("again and ", 2000) + "\n"
	got := run(t, strings.NewReader(input), "-deflate", "-n", "1", url)
	if got.err != nil || got.stdout != input {
		t.Errorf("echo differs: %d bytes, error %v", len(got.stdout), got.err)
	}
}

func TestCloseCodesOfTheServerDecideTheEnd(t *testing.T) {
	for _, test := range []struct {
		code       websocket.StatusCode
		reason     string
		wantErr    string
		wantStderr string
	}{
		{1000, "", "", "closed by server: 1000 normal closure\n"},
		{1000, "done", "", "closed by server: 1000 normal closure \"done\"\n"},
		{1005, "", "", "closed by server: 1005 no status received\n"},
		{1001, "", "closed by server: 1001 going away", ""},
		{1008, "no\x1b[2J", `closed by server: 1008 policy violation "no\x1b[2J"`, ""},
		{1013, "later", `closed by server: 1013 try again later "later"`, ""},
		{4001, "", "closed by server: 4001 private use", ""},
	} {
		t.Run(fmt.Sprint(test.code), func(t *testing.T) {
			url := serve(t, nil, func(conn *websocket.Conn, _ *http.Request) { conn.Close(test.code, test.reason) })
			got := run(t, open(t, ""), url)
			if text := errorText(got.err); text != test.wantErr || got.stderr != test.wantStderr {
				t.Errorf("error %q, stderr %q; want %q, %q", text, got.stderr, test.wantErr, test.wantStderr)
			}
		})
	}
}

func TestAConnectionThatBreaksOffIsAnError(t *testing.T) {
	url := serve(t, nil, func(conn *websocket.Conn, _ *http.Request) { conn.CloseNow() })
	got := run(t, open(t, ""), url)
	if text := errorText(got.err); !strings.HasPrefix(text, "connection lost: ") {
		t.Errorf("error is %q, want a lost connection", text)
	}
}

func TestTheCloseCodeAskedForReachesTheServer(t *testing.T) {
	codes := make(chan websocket.StatusCode, 1)
	url := serve(t, nil, func(conn *websocket.Conn, r *http.Request) {
		_, _, err := conn.Read(r.Context())
		codes <- websocket.CloseStatus(err)
	})
	got := run(t, strings.NewReader(""), "-v", "-wait", "0", "-close", "4100", url)
	if got.err != nil {
		t.Error(got.err)
	}
	if code := <-codes; code != 4100 {
		t.Errorf("the server saw %d, want 4100", code)
	}
	if want := "closed with 4100 private use\n"; !strings.HasSuffix(got.stderr, want) {
		t.Errorf("stderr is %q, want %q at its end", got.stderr, want)
	}
}

func TestAnInterruptedRunClosesProperly(t *testing.T) {
	codes := make(chan websocket.StatusCode, 1)
	url := serve(t, nil, func(conn *websocket.Conn, r *http.Request) {
		conn.Write(r.Context(), websocket.MessageText, []byte("now"))
		_, _, err := conn.Read(r.Context())
		codes <- websocket.CloseStatus(err)
	})
	ctx, interrupt := context.WithCancel(t.Context())
	stdout := writerFunc(func(p []byte) (int, error) {
		interrupt()
		return len(p), nil
	})
	if err := Run(ctx, []string{url}, open(t, ""), stdout, io.Discard); err != nil {
		t.Error(err)
	}
	if code := <-codes; code != websocket.StatusNormalClosure {
		t.Errorf("the server saw %d, want 1000", code)
	}
}

func TestAFailureToWriteAMessageIsAnErrorAndClosesProperly(t *testing.T) {
	codes := make(chan websocket.StatusCode, 1)
	url := serve(t, nil, func(conn *websocket.Conn, r *http.Request) {
		conn.Write(r.Context(), websocket.MessageText, []byte("now"))
		_, _, err := conn.Read(r.Context())
		codes <- websocket.CloseStatus(err)
	})
	full := errors.New("no space left")
	stdout := writerFunc(func([]byte) (int, error) { return 0, full })
	if err := Run(t.Context(), []string{url}, open(t, ""), stdout, io.Discard); !errors.Is(err, full) {
		t.Errorf("error is %v, want %v", err, full)
	}
	if code := <-codes; code != websocket.StatusNormalClosure {
		t.Errorf("the server saw %d, want 1000", code)
	}
}

func TestInputThatIsNoMessageIsAnErrorThatNamesItsLine(t *testing.T) {
	url := serve(t, nil, echo)
	for _, test := range []struct {
		input string
		args  []string
		want  string
	}{
		{"fine\n\xff\n", []string{url}, "line 2 of the input: not UTF-8"},
		{"YQ==\n?\n", []string{"-binary", url}, "line 2 of the input: illegal base64"},
	} {
		got := run(t, open(t, test.input), test.args...)
		if text := errorText(got.err); !strings.HasPrefix(text, test.want) {
			t.Errorf("input %q: error is %q, want %q", test.input, text, test.want)
		}
	}
}

func TestFewerMessagesThanAskedForAreAnError(t *testing.T) {
	url := serve(t, nil, echo)
	got := run(t, strings.NewReader("one\n"), "-n", "2", "-wait", "100ms", url)
	if text := errorText(got.err); text != "left before the server had sent 2 messages" || got.stdout != "one\n" {
		t.Errorf("error %q, stdout %q", text, got.stdout)
	}
	url = serve(t, nil, func(conn *websocket.Conn, _ *http.Request) { conn.Close(1000, "") })
	got = run(t, open(t, ""), "-n", "2", url)
	if text := errorText(got.err); text != "closed by server: 1000 normal closure, before 2 messages had come" {
		t.Errorf("error %q", text)
	}
}

// writerFunc is an io.Writer made of a function.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
