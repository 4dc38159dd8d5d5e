package transporttest

import (
	"encoding/binary"
	"errors"
	"io"

	"sluice/gateway/engine/transport"
)

// What a record is. One is a kind, the length of its body, the body, and a sum of that.
const (
	hello    = iota + 1 // a seed for the keys
	finished            // of the client: it has the keys
	data
	renew   // new keys are wanted, and an answer of so many bytes
	renewed // some of that answer
	goodbye // why
)

const (
	header = 3
	sum    = 4
)

// Why somebody says goodbye.
const (
	leaving = iota
	refused
	bad
)

// Errors of a [Scramble].
var (
	ErrRefused = errors.New("transporttest: refused")                 // by the peer, before the transport was up
	ErrAccused = errors.New("transporttest: a bad record was sent")   // as the peer says
	ErrBad     = errors.New("transporttest: a bad record has come")   // from the peer
	errKind    = errors.New("transporttest: no such record expected") // likewise
)

// Scrambler makes the server's side of transports that scramble.
type Scrambler struct {
	Seed uint64
	// Beside, if not nil, runs the work that a handshake takes, beside the loop.
	Beside func(work func())
}

// New implements [transport.Maker].
func (m *Scrambler) New(wake func()) transport.Transport {
	s := &Scramble{seed: m.Seed}
	if m.Beside != nil {
		done := make(chan struct{})
		s.work = func() { m.Beside(func() { close(done); wake() }) }
		s.worked = func() bool {
			select {
			case <-done:
				return true
			default:
				return false
			}
		}
	}
	return s
}

// Refusal implements [transport.Maker].
func (m *Scrambler) Refusal() []byte { return new(Scramble).End(nil) }

// Scramble is one side of a transport.
type Scramble struct {
	client bool
	seed   uint64
	work   func()      // nil: nothing, or it was begun
	worked func() bool // nil: there is nothing to do

	keyed      bool
	send, recv uint64 // the keys' states
	up, ended  bool
	err        error
	ask        int // how much answer the next record asks for first; 0: none
}

// NewClient returns a client's side, and appends to out what it says first.
func NewClient(out []byte, seed uint64) (*Scramble, []byte) {
	s := &Scramble{client: true, seed: seed}
	return s, s.record(out, hello, binary.BigEndian.AppendUint64(nil, seed))
}

// Renew has the next record that is sealed preceded by one that asks for new keys, and for n bytes of answer.
func (s *Scramble) Renew(n int) { s.ask = n }

// Open implements [transport.Transport].
func (s *Scramble) Open(in, out []byte) (o transport.Opened, err error) {
	o.Out, o.Up = out, s.up
	if len(in) < header {
		return o, nil
	}
	kind, size := in[0], int(binary.BigEndian.Uint16(in[1:]))
	if kind < hello || kind > goodbye || size > transport.MaxRecord {
		s.err = ErrBad
		return o, s.err
	}
	if len(in) < header+size+sum {
		return o, nil
	}
	if kind == hello && s.worked != nil {
		if s.work != nil {
			work := s.work
			s.work = nil
			work()
		}
		if !s.worked() {
			return o, transport.ErrWorking
		}
	}
	o.Taken = header + size + sum
	body := in[header : header+size]
	if s.keyed {
		s.recv = scramble(s.recv, in[header:o.Taken])
	}
	if binary.BigEndian.Uint32(in[header+size:]) != check(body) {
		s.err = ErrBad
		return o, s.err
	}
	o.Plain, o.Out, s.err = s.take(kind, body, out)
	o.Up = s.up
	return o, s.err
}

// take takes a whole record.
func (s *Scramble) take(kind byte, body, out []byte) (plain, sent []byte, err error) {
	switch {
	case kind == goodbye && len(body) == 1:
		switch body[0] {
		case leaving:
			return nil, out, io.EOF
		case refused:
			return nil, out, ErrRefused
		}
		return nil, out, ErrAccused
	case kind == hello && len(body) == 8 && !s.keyed:
		if !s.client {
			out = s.record(out, hello, binary.BigEndian.AppendUint64(nil, s.seed))
		}
		s.key(binary.BigEndian.Uint64(body))
		if s.client {
			out, s.up = s.record(out, finished, nil), true
		}
		return nil, out, nil
	case kind == finished && len(body) == 0 && s.keyed && !s.client && !s.up:
		s.up = true
		return nil, out, nil
	case kind == data && s.up:
		return body, out, nil
	case kind == renew && len(body) == 4 && s.up:
		s.recv = s.recv*31 + 1
		if s.ended {
			return nil, out, nil
		}
		for n := int(binary.BigEndian.Uint32(body)); n > 0; n -= transport.MaxRecord {
			out = s.record(out, renewed, make([]byte, min(n, transport.MaxRecord)))
		}
		return nil, out, nil
	case kind == renewed && s.up:
		return nil, out, nil
	}
	return nil, out, errKind
}

// Seal implements [transport.Transport].
func (s *Scramble) Seal(out []byte, pieces [][]byte) ([]byte, int) {
	if n := s.ask; n > 0 {
		s.ask = 0
		out = s.record(out, renew, binary.BigEndian.AppendUint32(nil, uint32(n)))
		s.send = s.send*31 + 1
	}
	begin, n := len(out), 0
	out = append(out, data, 0, 0)
	for _, p := range pieces {
		p = p[:min(len(p), transport.MaxRecord-n)]
		out = append(out, p...)
		n += len(p)
	}
	return s.finish(out, begin), n
}

// End implements [transport.Transport].
func (s *Scramble) End(out []byte) []byte {
	s.ended = true
	why := byte(leaving)
	switch {
	case s.err != nil && s.err != io.EOF:
		why = bad
	case !s.up:
		why = refused
	}
	return s.record(out, goodbye, []byte{why})
}

// Close implements [transport.Transport].
func (s *Scramble) Close() {}

// record appends a whole record.
func (s *Scramble) record(out []byte, kind byte, body []byte) []byte {
	begin := len(out)
	out = append(out, kind, 0, 0)
	return s.finish(append(out, body...), begin)
}

// finish makes a record of what stands in out from begin on.
func (s *Scramble) finish(out []byte, begin int) []byte {
	body := out[begin+header:]
	binary.BigEndian.PutUint16(out[begin+1:], uint16(len(body)))
	out = binary.BigEndian.AppendUint32(out, check(body))
	if s.keyed {
		s.send = scramble(s.send, out[begin+header:])
	}
	return out
}

// key makes both directions' keys of the two seeds.
func (s *Scramble) key(peer uint64) {
	s.keyed = true
	mine, theirs := s.seed+peer, s.seed^peer
	if s.client {
		mine, theirs = theirs, mine
	}
	s.send, s.recv = mine, theirs
}

// scramble scrambles p, or makes it readable again, and returns the next state.
func scramble(state uint64, p []byte) uint64 {
	for i := range p {
		state = state*6364136223846793005 + 1442695040888963407 // Knuth's
		p[i] ^= byte(state >> 56)
	}
	return state
}

// check is FNV-1a.
func check(p []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range p {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}
