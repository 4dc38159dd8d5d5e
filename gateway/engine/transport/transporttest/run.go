package transporttest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"sluice/gateway/engine/transport"
	"sluice/netpoll"
	"sluice/session"
)

// Kind is a kind of transport that is to be tested.
type Kind struct {
	Maker transport.Maker
	// Dial makes the client's end, and returns when it is up or refused.
	Dial func(net.Conn) (net.Conn, error)
	// Provoke has a client say something that the transport answers by itself, and then p. Nil: there is nothing.
	Provoke func(client net.Conn, p []byte) error
	// Refused reports whether err is what Dial returns to whom the transport has refused.
	Refused func(err error) bool
	// Accused reports whether err is what Read returns to a client that has sent a bad record.
	Accused func(err error) bool
	// Allocs is how many allocations a library makes for each record at most; 0 is what a transport should have.
	Allocs int
}

// Run holds a transport to the contract of package transport. make is called for each test, which has it for itself.
func Run(t *testing.T, make func(t *testing.T) Kind) {
	for _, test := range []struct {
		name string
		run  func(*bench)
	}{
		{"It comes up however what it reads is cut", (*bench).comesUp},
		{"It carries everything in order, both ways", (*bench).carries},
		{"It waits for no more than a record", (*bench).waitsForNoMore},
		{"A bad record ends it, and the client is told", (*bench).badRecord},
		{"It refuses in a form of its own before it is up", (*bench).refuses},
		{"A newcomer without a transport is refused", (*bench).refusesAtOnce},
		{"Its farewell comes last", (*bench).farewell},
		{"The peer's farewell is the end", (*bench).peersFarewell},
		{"Nothing is sealed while sealed bytes wait", (*bench).sealsInTime},
		{"A partial record is charged, and ages", (*bench).partial},
		{"What reading provokes waits behind what is sealed", (*bench).provokes},
		{"Over high water nothing is read", (*bench).overHighWater},
		{"It goes to a net.Conn and comes back", (*bench).handOver},
		{"A net.Conn tells a farewell from a cut", (*bench).connEnd},
		{"A net.Conn says farewell", (*bench).connFarewell},
		{"Closing a net.Conn ends who reads and who writes", (*bench).connCloses},
		{"Sealing and opening do not allocate", (*bench).allocatesNothing},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, make(t))
			test.run(b)
			b.end()
		})
	}
}

// patience bounds every wait. It is no part of what is tested.
const patience = 20 * time.Second

// bench is a transport under test: the line of a stream, its socket, and a client.
type bench struct {
	*testing.T
	Kind
	server, client *end
	budget         *session.Budget
	io             transport.IO
	line           *transport.Line
	woken          chan struct{}
	made, closed   int // transports
	now            session.Tick
	buf            []byte
	got            []byte // what the stream has read
	err            error  // how that ended
	quiet          bool   // there is nothing to be read that is not in the socket
	random         *rand.Rand
}

const readSize = 64 << 10

func newBench(t *testing.T, k Kind) *bench {
	b := &bench{T: t, Kind: k, woken: make(chan struct{}, 1), budget: session.NewBudget(1 << 20), now: 1,
		buf: make([]byte, readSize+transport.MaxSealed), random: rand.New(rand.NewPCG(1, 2))}
	b.server, b.client = newWire()
	b.io = transport.IO{Socket: socket{b.server}, Pool: session.NewPool(b.budget), HighWater: 64 << 10}
	b.line = transport.NewLine(b.checked(k.Maker.New(b.wake)))
	return b
}

// wake is what a transport calls beside the loop.
func (b *bench) wake() {
	select {
	case b.woken <- struct{}{}:
	default:
	}
}

func (b *bench) checked(t transport.Transport) transport.Transport {
	b.made++
	return &checked{Transport: t, t: b.T, closed: &b.closed, sealing: func() bool { return b.line == nil || b.line.Waiting() == 0 }}
}

// end looks whether everything was given back.
func (b *bench) end() {
	if b.line != nil {
		b.line.Close(&b.io)
	}
	if b.closed != b.made {
		b.Errorf("%d of %d transports were closed", b.closed, b.made)
	}
	b.io.Pool.Trim()
	if used := b.budget.Used(); used != 0 {
		b.Errorf("%d bytes of the budget are not given back", used)
	}
	b.client.Close()
	b.server.Close()
}

// turn does what a loop does when something has happened to the socket.
func (b *bench) turn() {
	b.Helper()
	select {
	case <-b.woken:
		b.line.Woken()
	default:
	}
	if err := b.line.Flush(&b.io, netpoll.Conn{}); err != nil && b.err == nil {
		b.err = err
	}
	for b.err == nil && !b.line.Holds(&b.io) {
		reads := b.server.reads
		p, _, more, err := b.line.Read(&b.io, netpoll.Conn{}, b.buf, readSize, b.now)
		b.got = append(b.got, p...)
		if b.quiet && b.server.reads == reads {
			b.Errorf("Read said that there was nothing more, and there are %d bytes, %v", len(p), err)
		}
		b.quiet = !more
		if err == netpoll.ErrWouldBlock {
			return
		}
		b.err = err
	}
}

// until has the stream read and write until ok is true.
func (b *bench) until(what string, ok func() bool) {
	b.Helper()
	for timer := time.NewTimer(patience); !ok(); {
		b.turn()
		if ok() {
			return
		}
		select {
		case <-b.server.stirred:
		case <-time.After(time.Millisecond):
		case <-timer.C:
			b.Fatalf("not within %v: %s (read %d bytes, error %v)", patience, what, len(b.got), b.err)
		}
	}
}

// dialed makes the client's end while the stream does its part.
func (b *bench) dialed() net.Conn {
	b.Helper()
	c, err := b.dial()
	if err != nil {
		b.Fatal(err)
	}
	b.until("the transport is up", b.line.Up)
	return c
}

func (b *bench) dial() (c net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err = b.Dial(b.client)
	}()
	b.until("the client is connected", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	return c, err
}

// text is n bytes that do not repeat soon.
func (b *bench) text(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(b.random.Uint32())
	}
	return p
}

// say has the stream send p, all of it.
func (b *bench) say(p []byte) {
	b.Helper()
	for sent := 0; sent < len(p); {
		b.until("the socket takes what is sealed", func() bool { return b.line.Waiting() == 0 })
		head := min(100, len(p)-sent)
		n, err := b.line.SendBytes(&b.io, netpoll.Conn{}, p[sent:sent+head], p[sent+head:], b.now)
		if err != nil {
			b.Fatal(err)
		}
		sent += n
	}
}

// leave has the stream end its direction.
func (b *bench) leave() {
	b.Helper()
	if err := b.line.Farewell(&b.io, netpoll.Conn{}, b.now); err != nil {
		b.Fatal(err)
	}
	b.until("the farewell is sent", func() bool { return b.line.Waiting() == 0 })
	b.server.CloseWrite()
}

// heard reads what a client hears, beside the test.
func heard(c io.Reader) func(*bench) ([]byte, error) {
	var p []byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		p, err = io.ReadAll(c)
	}()
	return func(b *bench) ([]byte, error) {
		b.Helper()
		b.until("the client has heard the end", func() bool {
			select {
			case <-done:
				return true
			default:
				return false
			}
		})
		return p, err
	}
}

func (b *bench) wantRead(p []byte) {
	b.Helper()
	b.until("the stream has read what was sent", func() bool { return len(b.got) >= len(p) || b.err != nil })
	if !bytes.Equal(b.got, p) || b.err != nil {
		b.Fatalf("the stream has read %d bytes, %v; want the %d that were sent", len(b.got), b.err, len(p))
	}
}
