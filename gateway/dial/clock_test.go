package dial

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// The tests of this file run talk in a bubble whose clock is virtual, over a
// pipe instead of a socket, so that what takes a time takes it exactly.

// bubble connects a client to handle, which gets the server's side twice: as
// the WebSocket and as the pipe beneath. Everything ends with the test.
func bubble(t *testing.T, handle func(conn *websocket.Conn, raw net.Conn)) *websocket.Conn {
	t.Helper()
	client, raw := net.Pipe()
	listener := pipeListener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		handle(conn, raw)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		listener.conns <- raw
		return client, nil
	}}
	conn, _, err := websocket.Dial(t.Context(), "ws://pipe/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// pipeListener is a net.Listener that hands out what is put into conns.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error   { close(l.closed); return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// talkFor runs talk and returns how long it took and what it wrote.
func talkFor(t *testing.T, o options, conn *websocket.Conn, stdin io.Reader) (took time.Duration, stdout, stderr string, err error) {
	t.Helper()
	var out, notes bytes.Buffer
	c := &client{options: o, stdout: &out, log: log.New(&notes, "", 0)}
	start := time.Now()
	err = c.talk(t.Context(), conn, stdin)
	return time.Since(start), out.String(), notes.String(), err
}

func TestTheWaitBeginsAnewWithEachMessageAfterTheEndOfInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := bubble(t, func(conn *websocket.Conn, _ net.Conn) {
			for _, word := range []string{"a", "b", "c"} {
				time.Sleep(900 * time.Millisecond)
				conn.Write(t.Context(), websocket.MessageText, []byte(word))
			}
			conn.Read(t.Context())
		})
		took, stdout, _, err := talkFor(t, options{code: 1000, wait: time.Second}, conn, strings.NewReader(""))
		if err != nil || stdout != "a\nb\nc\n" {
			t.Errorf("stdout %q, error %v", stdout, err)
		}
		if want := 3*900*time.Millisecond + time.Second; took != want {
			t.Errorf("took %v, want %v", took, want)
		}
	})
}

func TestPingsAreSentAtTheirIntervalAndPongsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := bubble(t, func(conn *websocket.Conn, _ net.Conn) { conn.Read(t.Context()) })
		o := options{code: 1000, wait: 35 * time.Second, ping: 10 * time.Second, verbose: true}
		_, _, stderr, err := talkFor(t, o, conn, strings.NewReader(""))
		if err != nil {
			t.Error(err)
		}
		if want := strings.Repeat("pong after 0s\n", 3) + "closed with 1000 normal closure\n"; stderr != want {
			t.Errorf("stderr is %q, want %q", stderr, want)
		}
	})
}

func TestAServerThatSendsNoPongIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := bubble(t, func(_ *websocket.Conn, raw net.Conn) { io.Copy(io.Discard, raw) })
		o := options{code: 1000, ping: 10 * time.Second}
		stdin, stop := io.Pipe()
		defer stop.Close()
		took, _, _, err := talkFor(t, o, conn, stdin)
		if text := errorText(err); text != "connection lost: no pong within 10s" {
			t.Errorf("error is %q", text)
		}
		if took != 20*time.Second {
			t.Errorf("took %v, want 20s", took)
		}
	})
}

func TestAServerThatTakesNoDataIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		conn := bubble(t, func(*websocket.Conn, net.Conn) { <-gone })
		defer close(gone)
		o := options{code: 1000, ping: 10 * time.Second}
		stdin, stop := io.Pipe()
		defer stop.Close()
		_, _, _, err := talkFor(t, o, conn, stdin)
		if text := errorText(err); text != "connection lost: the server takes no data" {
			t.Errorf("error is %q", text)
		}
	})
}

func TestAServerThatDoesNotAnswerTheCloseIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := bubble(t, func(_ *websocket.Conn, raw net.Conn) { io.Copy(io.Discard, raw) })
		took, _, stderr, err := talkFor(t, options{code: 1000, verbose: true}, conn, strings.NewReader(""))
		if err != nil {
			t.Error(err)
		}
		if took > 10*time.Second {
			t.Errorf("took %v, want at most 10s", took)
		}
		if !strings.HasPrefix(stderr, "closed with 1000 normal closure; the server did not answer") {
			t.Errorf("stderr is %q", stderr)
		}
	})
}
