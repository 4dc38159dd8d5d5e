package plainhttp

import (
	"net"
	"testing"
	"time"

	"sluice/gateway/handshake"
)

// pair is a connection of the loopback: the server's end, and the peer's.
func pair(t *testing.T) (server, peer *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); s.Close() })
	return s.(*net.TCPConn), p.(*net.TCPConn)
}

// A body of any length passes if it comes: each part of it buys time.
func TestBodyBuysTimeAsItComes(t *testing.T) {
	mine, peer := pair(t)
	if _, err := peer.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	c := &conn{Conn: mine, server: new(Server), stage: inBody, bodyDue: time.Now().Add(time.Hour), body: longBody(t)}
	due := c.bodyDue
	k, err := c.Read(make([]byte, 4<<10))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.bodyDue.Sub(due), time.Duration(k)*time.Second/bodyRate; got != want {
		t.Errorf("%d bytes bought %v, want %v", k, got, want)
	}
}

// longBody is a body that goes on.
func longBody(t *testing.T) handshake.Body {
	t.Helper()
	var h handshake.Head
	if err := handshake.Parse([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"), 9, &h); err != nil {
		t.Fatal(err)
	}
	return h.Body()
}

// What the server is given in place of an upgrade no client can send.
func TestNoClientCanAskForTheTurn(t *testing.T) {
	var h handshake.Head
	if err := handshake.Parse([]byte(turnHead), 9, &h); err == nil {
		t.Error("it is taken for a request of a client")
	}
}
