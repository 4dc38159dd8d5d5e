package engine

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"sluice/gateway/engine/transport/transporttest"
	"sluice/netpoll"
	"sluice/netpoll/netpolltest"
)

// guest is a client of an engine. Where streams have a transport it scrambles.
type guest struct {
	*netpolltest.Peer
	o *inn

	scramble *transporttest.Scramble // nil: it is plain
	up       bool
	raw      []byte // not opened yet
	left     error  // what the transport has come to; io.EOF: the farewell
}

// shakeHands brings a transport up, unless it is refused.
func (g *guest) shakeHands() {
	g.o.t.Helper()
	var hello []byte
	g.scramble, hello = transporttest.NewClient(nil, 2)
	g.put(hello)
	g.o.pass(0)
	if s, _ := g.hear(); s != "" {
		g.o.t.Fatalf("heard %q in a handshake", s)
	}
	g.o.pass(0)
}

// put sends bytes as they are.
func (g *guest) put(p []byte) {
	g.o.t.Helper()
	if n := g.Write(p); n != len(p) {
		g.o.t.Fatalf("%d of %d bytes sent", n, len(p))
	}
}

// seal is s as it is sent.
func (g *guest) seal(s string) (all []byte) {
	if g.scramble == nil {
		return []byte(s)
	}
	for p := []byte(s); len(p) > 0; {
		var n int
		all, n = g.scramble.Seal(all, [][]byte{p})
		p = p[n:]
	}
	return all
}

// say sends s, and lets what follows happen.
func (g *guest) say(s string) {
	g.o.t.Helper()
	g.put(g.seal(s))
	g.o.pass(0)
}

// hear reads what has come. Over a transport the end is one only behind its
// farewell.
func (g *guest) hear() (s string, err error) {
	for {
		p, err := g.Read(64 << 10)
		s += g.open(p)
		switch {
		case err == nil:
			continue
		case g.left != nil && g.left != io.EOF:
			return s, g.left
		case err == netpoll.ErrWouldBlock:
			return s, nil
		case err == io.EOF && g.scramble != nil && g.left == nil:
			return s, io.ErrUnexpectedEOF
		}
		return s, err
	}
}

// open returns what p carries.
func (g *guest) open(p []byte) (s string) {
	if g.scramble == nil {
		return string(p)
	}
	g.raw = append(g.raw, p...)
	for len(g.raw) > 0 && g.left == nil {
		o, err := g.scramble.Open(g.raw, nil)
		s += string(o.Plain)
		g.left = err
		if g.put(o.Out); o.Taken == 0 {
			return s
		}
		g.raw, g.up = g.raw[o.Taken:], o.Up
	}
	if g.left == io.EOF && len(g.raw) > 0 {
		g.left = fmt.Errorf("%d bytes behind the farewell", len(g.raw))
	}
	return s
}

// want fails unless s has come.
func (g *guest) want(s string) {
	g.o.t.Helper()
	g.o.pass(0)
	if got, err := g.hear(); got != s {
		g.o.t.Fatalf("got %q, %v, want %q", got, err, s)
	}
}

// wantEnd fails unless the engine has ended its direction, behind s.
func (g *guest) wantEnd(s string) {
	g.o.t.Helper()
	g.o.pass(0)
	if got, err := g.hear(); got != s || err != io.EOF {
		g.o.t.Fatalf("got %q, %v, want %q and the end", got, err, s)
	}
}

// wantRefused fails unless an answer with that status has come, or the refusal of
// a transport that is not up.
func (g *guest) wantRefused(status int) {
	g.o.t.Helper()
	got, err := g.hear()
	if g.scramble != nil && !g.up {
		if got != "" || !errors.Is(err, transporttest.ErrRefused) {
			g.o.t.Errorf("got %q, %v, want a transport's refusal", got, err)
		}
		return
	}
	if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", status)) || err == nil {
		g.o.t.Errorf("got %q, %v, want %d and an end", got, err, status)
	}
}
