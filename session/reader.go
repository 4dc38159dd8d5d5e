package session

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Role is the side that a Reader reads for.
type Role uint8

const (
	Server Role = iota // frames must be masked
	Client             // frames must not be masked
)

// Kind says what Next has found.
type Kind uint8

const (
	None    Kind = iota // nothing whole: more bytes are needed
	Message             // a whole text or binary message
	Ping                // a ping, to be answered with its payload
	Pong                // a pong, asked for or not
	Close               // the peer's Close frame
	Held                // a data frame begins, and the caller does not want it now
)

// Input is one thing that the peer has sent.
type Input struct {
	Kind    Kind
	Op      ws.OpCode     // of a Message: text or binary
	Payload []byte        // of a Close: the reason
	Code    ws.StatusCode // of a Close: 1005 if it had no payload
}

// Reader turns a peer's bytes into messages (RFC 6455 §5, RFC 7692). The zero
// Reader reads for a server without compression. It belongs to one loop.
//
// An idle Reader is two words and owns no buffer. What it holds of an
// unfinished frame or message comes from the loop's [Context].
type Reader struct {
	partial *partial
	role    Role
	deflate bool
}

// Init makes r a reader of the given role. deflate says that
// permessage-deflate was negotiated without context takeover in the direction
// that r reads.
func (r *Reader) Init(role Role, deflate bool) {
	*r = Reader{role: role, deflate: deflate}
}

// Next takes bytes from the front of p, which it overwrites by unmasking in
// place, and returns the first complete thing among them and how many bytes it
// took. Kind None means that all of p was taken; call again with more.
//
// With wantData false a data frame is not touched: Next returns Held, and the
// bytes in front of which it stands are to be offered again. Control frames
// before it are returned as usual.
//
// Input.Payload aliases p or a buffer of the reader. It is valid until the
// next call of Next or Release, the first of which also gives the reader's
// buffers back that are no longer needed: a caller that goes on until None
// leaves an idle session without buffers.
//
// The error is an [*Error]. After it only Release may be called, but for
// ErrBudget: once there is room, the bytes that were not taken may be offered
// again.
func (r *Reader) Next(c *Context, l *Limits, p []byte, wantData bool) (Input, int, error) {
	// Nearly all traffic is a whole, uncompressed, masked data frame of less
	// than 64 KiB. It is checked here and nowhere copied; next knows all of
	// the rules and gives the same answer.
	if r.partial == nil && r.role == Server && wantData && len(p) > 6 {
		at, n := 2, int(p[1])-maskBit
		if n == length16 {
			at, n = 4, int(binary.BigEndian.Uint16(p[2:]))
			if n < length16 {
				n = -1
			}
		}
		op := ws.OpCode(p[0] - finBit)
		end := at + 4 + n
		if (op == ws.OpText || op == ws.OpBinary) && n >= 0 && n <= l.Message && end <= len(p) && p[1] != maskBit|length64 {
			mask := (*[4]byte)(p[at:])
			payload := p[at+4 : end : end]
			if ascii := unmask(payload, mask); op == ws.OpText && !ascii && !utf8.Valid(payload) {
				return Input{}, end, ErrUTF8
			}
			return Input{Kind: Message, Op: op, Payload: payload}, end, nil
		}
	}
	return r.next(c, l, p, wantData)
}

// next is Next for everything that may come.
func (r *Reader) next(c *Context, l *Limits, p []byte, wantData bool) (Input, int, error) {
	if r.partial != nil && !r.partial.unfinished() {
		r.Release(c)
	}
	taken := 0
	for taken < len(p) {
		if r.partial == nil || r.partial.left == 0 {
			b, kept := p[taken:], 0
			if pt := r.partial; pt != nil && pt.headLen > 0 {
				kept = int(pt.headLen)
				b = pt.head[:kept+copy(pt.head[kept:], b)]
			}
			h, size, err := r.parseHeader(b)
			switch {
			case err != nil:
				return Input{}, taken, err
			case !wantData && h.op.IsData():
				return Input{Kind: Held}, taken, nil
			case size == 0:
				if err := r.keepHeader(c, b); err != nil {
					return Input{}, taken, err
				}
				return Input{}, len(p), nil
			}
			taken += size - kept
			if err := r.admit(l, &h); err != nil {
				return Input{}, taken, err
			}
			if end := taken + h.length; h.alone() && h.length <= len(p)-taken {
				payload := p[taken:end:end]
				h.unmask(payload, 0)
				in, err := r.whole(c, l, &h, payload)
				return in, end, err
			}
			if !r.hold(c) { // none of the header was kept
				return Input{}, taken - size, ErrBudget
			}
			r.partial.begin(h)
		} else if !wantData && r.partial.frame.op.IsData() {
			return Input{Kind: Held}, taken, nil
		}
		chunk := p[taken:min(len(p), taken+r.partial.left)]
		if err := r.partial.receive(c.Pool, l, chunk); err != nil {
			return Input{}, taken, err
		}
		taken += len(chunk)
		if r.partial.left == 0 {
			if in, err := r.partial.end(c, l); in.Kind != None || err != nil {
				return in, taken, err
			}
		}
	}
	return Input{}, taken, nil
}

// keepHeader keeps b, the part of a header that has come.
func (r *Reader) keepHeader(c *Context, b []byte) error {
	if !r.hold(c) {
		return ErrBudget
	}
	r.partial.headLen = uint8(copy(r.partial.head[:], b))
	return nil
}

// admit applies the limits to a frame before any of its payload is kept.
func (r *Reader) admit(l *Limits, h *header) error {
	if h.op.IsControl() {
		return nil
	}
	room := l.Message
	if pt := r.partial; pt != nil && pt.open {
		if pt.frames >= l.Fragments {
			return ErrFragments
		}
		room -= len(pt.buf)
	}
	if h.length > room {
		return ErrMessageTooBig
	}
	return nil
}

// whole returns a frame that is an input of its own and all in the caller's
// buffer.
func (r *Reader) whole(c *Context, l *Limits, h *header, payload []byte) (Input, error) {
	if r.partial != nil {
		r.partial.headLen = 0
	}
	switch {
	case h.op.IsControl():
		return controlInput(h.op, payload)
	case h.compressed:
		defer c.Pool.to(c.Pool.reach)
		c.Pool.reach = overdraw // given back before the next frame
		if !r.hold(c) {
			return Input{}, ErrBudget
		}
		return r.partial.inflate(c, l, h.op, payload)
	case h.op == ws.OpText && !utf8.Valid(payload):
		return Input{}, ErrUTF8
	}
	return Input{Kind: Message, Op: h.op, Payload: payload}, nil
}

// controlInput returns what a control frame says.
func controlInput(op ws.OpCode, payload []byte) (Input, error) {
	switch op {
	case ws.OpPing:
		return Input{Kind: Ping, Payload: payload}, nil
	case ws.OpPong:
		return Input{Kind: Pong, Payload: payload}, nil
	}
	code, reason, err := ParseClose(payload)
	if err != nil {
		return Input{}, err
	}
	return Input{Kind: Close, Code: code, Payload: reason}, nil
}

// hold gives the reader a partial if it has none, and reports false if the
// budget is exhausted.
func (r *Reader) hold(c *Context) bool {
	if r.partial == nil {
		r.partial = c.borrow()
	}
	return r.partial != nil
}

// Partial reports whether a frame or a message has begun and not ended.
func (r *Reader) Partial() bool {
	return r.partial != nil && r.partial.unfinished()
}

// Started returns when the first byte came of what is unfinished. It means
// nothing while Partial is false.
func (r *Reader) Started() Tick {
	if r.partial == nil {
		return 0
	}
	return r.partial.started
}

// Announced returns how many payload bytes of the data frame under way are
// still to come.
func (r *Reader) Announced() int {
	if r.partial == nil || r.partial.frame.op.IsControl() {
		return 0
	}
	return r.partial.left
}

// Buffered returns how many bytes the reader is charged with in the budget.
func (r *Reader) Buffered() int {
	if r.partial == nil {
		return 0
	}
	return partialSize + cap(r.partial.buf)
}

// Release gives all buffers back. A reader that has not failed is ready for
// the next frame then, whatever was unfinished.
func (r *Reader) Release(c *Context) {
	if r.partial != nil {
		c.giveBack(r.partial)
		r.partial = nil
	}
}
