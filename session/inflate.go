package session

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/flate"
)

const (
	// flushTail ends a flushed DEFLATE stream. It is not sent (RFC 7692
	// §7.2.1).
	flushTail = "\x00\x00\xff\xff"
	// finalTail is an empty last block. Behind a flushed stream it makes the
	// end of the message the end of the stream.
	finalTail = "\x01\x00\x00\xff\xff"
)

// Inflater decompresses messages (RFC 7692 §7.2.2), none of which depends on
// another. It belongs to one loop. Its state is made for the first message.
type Inflater struct {
	input  compressed
	buffer *bufio.Reader // package flate reads it without a call for each byte
	stream io.ReadCloser
}

// NewInflater returns an Inflater.
func NewInflater() *Inflater { return new(Inflater) }

// Inflate returns the message that is compressed in src in a buffer of p,
// which is the caller's to Put. The error is ErrInflate if src is not valid,
// ErrMessageTooBig if the message is longer than limit, or ErrBudget.
//
// A message of more than 64 KiB is inflated twice, first only to learn its
// length: the buffer fits, and a bomb gets none.
func (f *Inflater) Inflate(p *Pool, src []byte, limit int) ([]byte, error) {
	scratch := p.Get(1 << maxClass)
	if scratch == nil {
		return nil, ErrBudget
	}
	scratch = scratch[:cap(scratch)]

	f.start(src)
	n, err := f.measure(scratch, limit)
	if err == nil && classOf(n) == maxClass {
		return scratch[:n], nil // it is what Get would lend
	}
	defer p.Put(scratch)
	if err != nil {
		return nil, err
	}
	message := p.Get(n)
	if message == nil {
		return nil, ErrBudget
	}
	message = message[:n]
	if n <= len(scratch) {
		copy(message, scratch)
		return message, nil
	}
	f.start(src)
	if _, err := io.ReadFull(f.stream, message); err != nil {
		p.Put(message)
		return nil, ErrInflate
	}
	return message, nil
}

// start begins to inflate src.
func (f *Inflater) start(src []byte) {
	f.input = compressed{src, flushTail + finalTail}
	if f.stream == nil {
		f.buffer = bufio.NewReader(&f.input)
		f.stream = flate.NewReader(f.buffer)
		return
	}
	f.buffer.Reset(&f.input)
	f.stream.(flate.Resetter).Reset(f.buffer, nil) // never fails
}

// measure inflates to the end and returns the length of the message, the first
// bytes of which are in scratch if it fits there.
func (f *Inflater) measure(scratch []byte, limit int) (int, error) {
	n, free := 0, scratch
	for {
		if len(free) == 0 {
			free = scratch
		}
		m, err := f.stream.Read(free)
		n += m
		free = free[m:]
		switch {
		case n > limit:
			return 0, ErrMessageTooBig
		case err == io.EOF:
			return n, f.ended()
		case err != nil:
			return 0, ErrInflate
		}
	}
}

// ended returns ErrInflate unless the stream has ended where the message does.
// A message may bring a last block of its own and behind it the header bits of
// an empty one (RFC 7692 §7.2.3.4); our tail is left over then.
func (f *Inflater) ended() error {
	rest := f.buffer.Buffered() + len(f.input.src) + len(f.input.tail)
	if rest == len(flushTail+finalTail)+1 {
		if b, err := f.buffer.ReadByte(); b == 0 && err == nil {
			return nil
		}
	}
	if rest == 0 || rest == len(flushTail+finalTail) {
		return nil
	}
	return ErrInflate
}

// compressed reads a message as it was sent and the tail that was not.
type compressed struct {
	src  []byte
	tail string
}

func (c *compressed) Read(p []byte) (int, error) {
	n := copy(p, c.src)
	c.src = c.src[n:]
	m := copy(p[n:], c.tail)
	c.tail = c.tail[m:]
	if n+m == 0 {
		return 0, io.EOF
	}
	return n + m, nil
}
