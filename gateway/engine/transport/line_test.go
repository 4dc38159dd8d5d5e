package transport_test

import (
	"errors"
	"io"
	"testing"

	"sluice/gateway/engine/transport"
	"sluice/netpoll"
	"sluice/session"
)

// script is a transport that does what a test says.
type script struct {
	open func(in, out []byte) (transport.Opened, error)
}

func (s *script) Open(in, out []byte) (transport.Opened, error) { return s.open(in, out) }

func (s *script) Seal(out []byte, pieces [][]byte) ([]byte, int) {
	out = append(out, '<')
	n := 0
	for _, p := range pieces {
		p = p[:min(len(p), transport.MaxRecord-n)]
		out = append(out, p...)
		n += len(p)
	}
	return out, n
}

func (s *script) Close() {}

func (s *script) End(out []byte) []byte { return append(out, '>') }

// slot is a socket in memory.
type slot struct {
	in   []byte
	out  []byte
	room int
	gone error
}

func (s *slot) Read(_ netpoll.Conn, p []byte) (int, error) {
	n := copy(p, s.in)
	if s.in = s.in[n:]; n == 0 {
		return 0, netpoll.ErrWouldBlock
	}
	return n, nil
}

func (s *slot) Write(_ netpoll.Conn, p []byte) (int, error) {
	n := min(len(p), s.room-len(s.out))
	s.out = append(s.out, p[:n]...)
	switch {
	case s.gone != nil:
		return 0, s.gone
	case n == 0:
		return 0, netpoll.ErrWouldBlock
	}
	return n, nil
}

// upAtOnce opens every byte to itself.
func upAtOnce(in, out []byte) (transport.Opened, error) {
	return transport.Opened{Taken: len(in), Plain: in, Out: out, Up: true}, nil
}

func newIO(s *slot, budget int64) (*transport.IO, *session.Budget) {
	b := session.NewBudget(budget)
	return &transport.IO{Socket: s, Pool: session.NewPool(b), HighWater: 64 << 10}, b
}

var buf = make([]byte, 64<<10+transport.MaxSealed)

// A transport that never has enough does not have its way: what a stream keeps is bounded, whatever the transport does.
func TestATransportThatNeverHasEnoughIsEnded(t *testing.T) {
	s := &slot{in: make([]byte, 1<<20)}
	x, budget := newIO(s, 1<<20)
	l := transport.NewLine(&script{func(in, out []byte) (transport.Opened, error) { return transport.Opened{Out: out}, nil }})
	var err error
	for turns := 0; err == nil; turns++ {
		if _, _, _, err = l.Read(x, netpoll.Conn{}, buf, 1<<10, 1); budget.Used() > 2*transport.MaxSealed || turns > 1000 {
			t.Fatalf("after %d turns %d bytes are kept", turns, budget.Used())
		}
	}
	if !l.Failed() || err == netpoll.ErrWouldBlock || budget.Used() != 0 {
		t.Errorf("%v, failed %t, %d bytes charged", err, l.Failed(), budget.Used())
	}
}

// Without buffers the stream ends; it never loses a part of a record.
func TestWithoutBuffersTheStreamEnds(t *testing.T) {
	for name, test := range map[string]struct {
		open func(in, out []byte) (transport.Opened, error)
		do   func(l *transport.Line, x *transport.IO, s *slot) error
	}{
		"for the rest of what is sealed": {upAtOnce, func(l *transport.Line, x *transport.IO, s *slot) error {
			_, err := l.SendBytes(x, netpoll.Conn{}, nil, make([]byte, 5000), 1)
			return err
		}},
		"for the farewell": {upAtOnce, func(l *transport.Line, x *transport.IO, s *slot) error {
			s.room = len(s.out)
			return l.Farewell(x, netpoll.Conn{}, 1)
		}},
		"for a partial record": {func(in, out []byte) (transport.Opened, error) {
			return transport.Opened{Out: out}, nil
		}, func(l *transport.Line, x *transport.IO, s *slot) error {
			s.in = make([]byte, 5000)
			l.Read(x, netpoll.Conn{}, buf, 5000, 1)
			_, _, _, err := l.Read(x, netpoll.Conn{}, buf, 5000, 1)
			return err
		}},
		"for what was provoked": {func(in, out []byte) (transport.Opened, error) {
			return transport.Opened{Taken: len(in), Out: append(out, make([]byte, 5000)...)}, nil
		}, func(l *transport.Line, x *transport.IO, s *slot) error {
			s.in = []byte("?")
			l.Read(x, netpoll.Conn{}, buf, 1, 1)
			_, _, _, err := l.Read(x, netpoll.Conn{}, buf, 1, 1)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &slot{in: []byte("!"), room: 10}
			x, budget := newIO(s, 200)
			up := upAtOnce
			l := transport.NewLine(&script{func(in, out []byte) (transport.Opened, error) {
				o, err := up(in, out)
				up = test.open
				return o, err
			}})
			l.Read(x, netpoll.Conn{}, buf, 1, 1)
			if err := test.do(l, x, s); err != session.ErrQueueBudget || l.Failed() {
				t.Errorf("%v, failed %t; want no buffer", err, l.Failed())
			}
			if l.Close(x); budget.Used() != 0 {
				t.Errorf("%d bytes are charged", budget.Used())
			}
		})
	}
}

// A socket that fails while an answer to the peer is sent is an error of the socket, and comes after what was opened.
func TestWhatWasOpenedComesBeforeTheErrorOfAnAnswer(t *testing.T) {
	reset := errors.New("connection reset")
	s := &slot{in: []byte("hello"), gone: reset}
	x, _ := newIO(s, 1<<20)
	l := transport.NewLine(&script{func(in, out []byte) (transport.Opened, error) {
		o, err := upAtOnce(in, out)
		o.Out = append(out, '?')
		return o, err
	}})
	p, n, more, err := l.Read(x, netpoll.Conn{}, buf, 100, 1)
	if string(p) != "hello" || n != 5 || !more || err != nil {
		t.Errorf("read %q, %d, %t, %v; want what was opened, and that there is more", p, n, more, err)
	}
	if _, _, _, err := l.Read(x, netpoll.Conn{}, buf, 100, 1); err != reset || l.Failed() {
		t.Errorf("%v, failed %t; want %v", err, l.Failed(), reset)
	}
}

// After its input means nothing any more, a stream reads to find the end only.
func TestDiscardedInputIsNotOpened(t *testing.T) {
	s := &slot{in: []byte("hello"), room: 100}
	x, budget := newIO(s, 1<<20)
	opened := 0
	l := transport.NewLine(&script{func(in, out []byte) (transport.Opened, error) {
		opened++
		return transport.Opened{Out: out, Up: true}, nil // not enough
	}})
	l.Read(x, netpoll.Conn{}, buf, 3, 1)
	if n, err := l.Discard(x, netpoll.Conn{}, buf); n != 2 || err != nil || opened != 1 || budget.Used() != 0 {
		t.Errorf("%d bytes, %v, Open called %d times, %d bytes charged", n, err, opened, budget.Used())
	}
	if _, _, _, err := l.Read(x, netpoll.Conn{}, buf, 1, 1); err != io.EOF {
		t.Errorf("reading behind the gap: %v", err)
	}
	if err := l.Farewell(x, netpoll.Conn{}, 1); err != nil || string(s.out) != ">" {
		t.Errorf("farewell: %v, %q sent", err, s.out)
	}
}

func TestAMessageTakesNoAllocation(t *testing.T) {
	s := &slot{in: []byte("!"), room: 100}
	x, _ := newIO(s, 1<<20)
	l := transport.NewLine(&script{upAtOnce})
	l.Read(x, netpoll.Conn{}, buf, 1, 1)
	one := []byte("one")
	if n, err := l.SendBytes(x, netpoll.Conn{}, nil, one, 1); n != 3 || err != nil || string(s.out) != "<one" {
		t.Errorf("%d, %v, sent %q", n, err, s.out)
	}
	in := []byte("question")
	if allocs := testing.AllocsPerRun(20, func() {
		s.in, s.out = in, s.out[:0]
		l.Read(x, netpoll.Conn{}, buf, 100, 1)
		l.SendBytes(x, netpoll.Conn{}, nil, one, 1)
	}); allocs != 0 {
		t.Errorf("a message takes %v allocations", allocs)
	}
}
