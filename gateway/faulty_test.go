package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faulty is a backend that fails in one way, at times, and keeps books of what
// it has heard. It echoes what it does not fail.
type faulty struct {
	t       *testing.T
	fault   *backendFault
	address string // that it keeps while it does not listen
	failing atomic.Bool
	serving sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	open     map[*net.TCPConn]bool
	events   map[string]*heardEvent   // by ce-id
	sessions map[string]*heardSession // by ce-connectionId
	wrong    []string
}

// heardEvent is an event that was read to its end, at least once.
type heardEvent struct {
	name, connection, body string
	times, done            int // how often it was heard, and acted upon
}

// heardSession is what a backend knows of a connection.
type heardSession struct {
	first     []string // its events by name and body, each when it was heard first
	accepted  bool     // or may have been
	declined  bool     // without doubt, as it was heard last
	farewells map[string]bool
}

// serveFaulty serves events until the test's end. Not on the address that
// connections come from: so that no port is taken while nobody listens.
func serveFaulty(t *testing.T, f *backendFault) *faulty {
	t.Helper()
	b := &faulty{t: t, fault: f, address: "127.0.0.2:0", open: map[*net.TCPConn]bool{},
		events: map[string]*heardEvent{}, sessions: map[string]*heardSession{}}
	if err := b.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.vanish()
		b.serving.Wait()
	})
	return b
}

// listen opens the listener, if it is closed.
func (b *faulty) listen() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", b.address)
	if err != nil {
		return err
	}
	b.listener, b.address = l, l.Addr().String()
	b.serving.Go(func() { b.accept(l) })
	return nil
}

func (b *faulty) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		b.open[c.(*net.TCPConn)] = true
		b.mu.Unlock()
		b.serving.Go(func() { b.serve(c.(*net.TCPConn)) })
	}
}

// deafen closes the listener: who comes is refused.
func (b *faulty) deafen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener != nil {
		b.listener.Close()
		b.listener = nil
	}
}

// kill resets a share of the connections, whatever is under way.
func (b *faulty) kill(share float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.open {
		if rand.Float64() < share {
			c.SetLinger(0)
			c.Close()
		}
	}
}

func (b *faulty) vanish() {
	b.deafen()
	b.kill(1)
}

// deaf reports whether nobody listens.
func (b *faulty) deaf() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.listener == nil
}

// serve answers the requests of one connection.
func (b *faulty) serve(c *net.TCPConn) {
	defer func() {
		b.mu.Lock()
		delete(b.open, c)
		b.mu.Unlock()
		c.Close()
	}()
	in := bufio.NewReader(c)
	for used := false; ; used = true {
		if b.fault.rest != nil && used && b.failing.Load() {
			c.SetReadDeadline(time.Now().Add(b.fault.rest()))
		}
		if _, err := in.Peek(1); err != nil {
			return
		}
		c.SetReadDeadline(time.Time{})
		if b.fault.unread != nil && b.turn() {
			b.fault.unread(c)
			return
		}
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.Method == http.MethodOptions {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		e := newHeard(r, body)
		fails := b.fault.answer != nil && b.turn()
		b.enter(r.Header.Get("ce-id"), e, fails)
		if fails {
			if b.fault.answer(c, e); !b.fault.keeps {
				return
			}
			continue
		}
		if b.fault.pause != nil && b.failing.Load() {
			time.Sleep(b.fault.pause()) // the pace of the fault, nobody waits for it
		}
		if io.WriteString(c, goodAnswer(e)); b.deaf() {
			return
		}
	}
}

// turn decides whether a request is failed.
func (b *faulty) turn() bool { return b.failing.Load() && rand.IntN(3) == 0 }

func newHeard(r *http.Request, body []byte) *heardEvent {
	kind := r.Header.Get("ce-type")
	return &heardEvent{
		name:       kind[strings.LastIndexByte(kind, '.')+1:],
		connection: r.Header.Get("ce-connectionId"),
		body:       string(body),
	}
}

func goodAnswer(e *heardEvent) string {
	if e.name != "message" {
		return "HTTP/1.1 204 No Content\r\n\r\n"
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(e.body), e.body)
}

// enter writes an event into the books.
func (b *faulty) enter(id string, e *heardEvent, fails bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sessions[e.connection]
	if s == nil {
		s = &heardSession{farewells: map[string]bool{}}
		b.sessions[e.connection] = s
	}
	known := b.events[id]
	if known == nil {
		known = e
		b.events[id] = e
		s.first = append(s.first, strings.TrimSpace(e.name+" "+e.body))
	}
	if known.connection != e.connection || known.name != e.name || known.body != e.body {
		b.wrong = append(b.wrong, fmt.Sprintf("%s is %v, and was %v", id, e, known))
	}
	known.times++
	if !fails || b.fault.acts {
		known.done++
	}
	switch e.name {
	case "connect":
		s.declined = fails && !b.fault.acts && !b.fault.doubt
		s.accepted = s.accepted || !s.declined
	case "disconnected":
		s.farewells[id] = true
	}
}

// backendFault is one way to fail.
type backendFault struct {
	name string
	// answer fails a request that was read. If the backend acts, it has done what
	// it was told before it fails; if it doubts, nobody can know for a connect.
	answer      func(c *net.TCPConn, e *heardEvent)
	acts, doubt bool
	keeps       bool // the connection is used again
	// unread fails a request that the backend does not read.
	unread func(c *net.TCPConn)
	// beside is what happens again and again, whatever is asked.
	beside func(b *faulty)
	// pause is how long an answer takes, and rest how long a connection may.
	pause, rest func() time.Duration
	// settings are those of the hub, besides short times.
	settings func(u *upstreamSettings)
	spares   bool // nobody is closed or refused
	strange  bool // an answer may be somebody else's
}

func upTo(d time.Duration) func() time.Duration {
	return func() time.Duration { return rand.N(d) }
}

func hangUp(c *net.TCPConn) { c.Close() }

func resetIt(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// says is an answer that is the same for every event.
func says(text string) func(*net.TCPConn, *heardEvent) {
	return func(c *net.TCPConn, _ *heardEvent) { io.WriteString(c, text) }
}

// status is an answer of that status, with more header lines.
func status(code int, lines ...string) func(*net.TCPConn, *heardEvent) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
	for _, l := range append(lines, "Content-Type: text/plain", "Content-Length: 3", "", "no.") {
		b.WriteString(l)
		if l != "no." {
			b.WriteString("\r\n")
		}
	}
	return says(b.String())
}
