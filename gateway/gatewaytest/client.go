package gatewaytest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

// Dial connects a WebSocket client, which the test's end cuts off.
func Dial(t testing.TB, url string, o *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	conn, _, err := TryDial(t, url, o)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TryDial is a [Dial] that may be refused. The response is nil where there was none.
func TryDial(t testing.TB, url string, o *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, url, o)
	if err == nil {
		t.Cleanup(func() { conn.CloseNow() })
	}
	return conn, response, err
}

// Send sends a message, and does not wait for an answer.
func Send(t testing.TB, conn *websocket.Conn, kind websocket.MessageType, message string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	if err := conn.Write(ctx, kind, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

// Receive expects a message.
func Receive(t testing.TB, conn *websocket.Conn, kind websocket.MessageType, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	gotKind, got, err := conn.Read(ctx)
	if err != nil {
		t.Fatalf("want %v %.80q: %v", kind, want, err)
	}
	if gotKind != kind || string(got) != want {
		t.Fatalf("got %v %.80q, want %v %.80q", gotKind, got, kind, want)
	}
}

// Echo sends a text and expects it back.
func Echo(t testing.TB, conn *websocket.Conn, text string) {
	t.Helper()
	Send(t, conn, websocket.MessageText, text)
	Receive(t, conn, websocket.MessageText, text)
}

// CloseOf reads until the connection ends, and returns its Close frame.
func CloseOf(t testing.TB, conn *websocket.Conn) websocket.CloseError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for {
		_, _, err := conn.Read(ctx)
		if closed := (websocket.CloseError{}); errors.As(err, &closed) {
			return closed
		}
		if err != nil {
			t.Fatalf("the connection ended without a Close frame: %v", err)
		}
	}
}

// Get asks over HTTP, on a connection of its own.
func Get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	status, body, err := TryGet(url)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

// TryGet is a [Get] that may fail.
func TryGet(url string) (status int, body string, err error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	response, page, err := fetch(r)
	if err != nil {
		return 0, "", err
	}
	return response.StatusCode, string(page), nil
}

// fetch asks on a connection of its own, and returns the whole answer.
func fetch(r *http.Request) (*http.Response, []byte, error) {
	client := http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}
