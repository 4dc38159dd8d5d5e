package session

import (
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// partial is what a [Reader] holds between reads: bytes of an unfinished
// header or control frame, and an unfinished message. A reader without them
// has no partial.
type partial struct {
	next    *partial // in the free list
	started Tick     // when its first byte came

	// The frame under way. Between frames left is 0 and headLen is 0.
	head    [maxHeader]byte // the header as far as it came
	headLen uint8
	frame   header
	left    int // payload bytes that are missing

	control [maxControl]byte // payload of a control frame as far as it came

	// The message under way.
	open       bool
	op         ws.OpCode
	compressed bool
	frames     int
	text       runeTail
	buf        []byte // from the pool
}

// unfinished reports whether pt waits for more bytes. A finished one is kept
// for the payload that the last Next has returned.
func (pt *partial) unfinished() bool {
	return pt.open || pt.left > 0 || pt.headLen > 0
}

// begin starts a frame. Between the frames of a message its first frame's
// opcode and compression stand.
func (pt *partial) begin(h header) {
	pt.frame, pt.left, pt.headLen = h, h.length, 0
	if h.op.IsControl() {
		return
	}
	if h.op != ws.OpContinuation {
		pt.open, pt.op, pt.compressed = true, h.op, h.compressed
	}
	pt.frames++
}

// receive takes the next bytes of the frame's payload, unmasks them in place,
// and keeps them. After ErrBudget nothing has happened to them.
func (pt *partial) receive(p *Pool, l *Limits, chunk []byte) error {
	done := pt.frame.length - pt.left
	if pt.frame.op.IsControl() {
		pt.frame.unmask(chunk, done)
		copy(pt.control[done:], chunk)
		pt.left -= len(chunk)
		return nil
	}
	if need := len(pt.buf) + len(chunk); need > cap(pt.buf) {
		// Memory follows the bytes that came, not those that were
		// announced: what is there may double.
		most := l.Message
		if pt.frame.fin {
			most = len(pt.buf) + pt.left
		}
		grown := p.Grow(pt.buf, max(need, min(2*cap(pt.buf), most)))
		if grown == nil {
			return ErrBudget
		}
		pt.buf = grown
	}
	pt.frame.unmask(chunk, done)
	if pt.op == ws.OpText && !pt.compressed && !pt.text.check(chunk) {
		return ErrUTF8
	}
	pt.buf = append(pt.buf, chunk...)
	pt.left -= len(chunk)
	return nil
}

// end finishes a frame and returns what is complete with it, Kind None within
// a fragmented message.
func (pt *partial) end(c *Context, l *Limits) (Input, error) {
	switch {
	case pt.frame.op.IsControl():
		return controlInput(pt.frame.op, pt.control[:pt.frame.length])
	case !pt.frame.fin:
		return Input{}, nil
	}
	pt.open = false
	switch {
	case pt.compressed:
		return pt.inflate(c, l, pt.op, pt.buf)
	case !pt.text.complete():
		return Input{}, ErrUTF8
	}
	return Input{Kind: Message, Op: pt.op, Payload: pt.buf}, nil
}

// inflate returns the message that is compressed in src. It takes the place of
// the buffer until the next frame, so that one at a time of a loop may take
// more than the budget has.
func (pt *partial) inflate(c *Context, l *Limits, op ws.OpCode, src []byte) (Input, error) {
	defer c.Pool.to(c.Pool.reach)
	c.Pool.reach = overdraw
	message, err := c.Inflater.Inflate(c.Pool, src, l.Message)
	if err != nil {
		return Input{}, err
	}
	c.Pool.Put(pt.buf)
	pt.buf = message
	if op == ws.OpText && !utf8.Valid(message) {
		return Input{}, ErrUTF8
	}
	return Input{Kind: Message, Op: op, Payload: message}, nil
}
