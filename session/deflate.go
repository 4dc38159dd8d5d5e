package session

import (
	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"
)

const (
	minWindowBits = 8
	maxWindowBits = 15

	// minDeflate is the length from which a message is worth compressing.
	// Below it the gain is less than the headers of its packet.
	minDeflate = 256
)

// Deflater compresses messages (RFC 7692 §7.2.1), each for itself, for
// receivers with any window. It belongs to one loop.
//
// A message that is not longer than the window cannot refer behind it, and
// neither can package flate's stateless encoder behind 32 KiB. That leaves the
// long messages for small windows: each window from 256 B to 16 KiB has its
// own encoder of about 750 KiB, made when it is needed first.
type Deflater struct {
	out     frameEnd
	windows [maxWindowBits - minWindowBits]*flate.Writer
}

// NewDeflater returns a Deflater.
func NewDeflater() *Deflater { return new(Deflater) }

// AppendFrame appends payload as a whole unmasked frame: compressed, with
// RSV1, or as it is when compressing does not make it shorter. windowBits is
// what was negotiated for our direction, 8 to 15.
func (d *Deflater) AppendFrame(dst []byte, op ws.OpCode, payload []byte, windowBits int) []byte {
	if len(payload) < minDeflate {
		return AppendFrame(dst, op, payload)
	}
	start := len(dst)
	room := HeaderSize(len(payload))
	d.out = append(dst, make([]byte, room)...)
	d.compress(payload, windowBits)
	out := d.out
	d.out = nil

	n := len(out) - len(flushTail) - start - room
	if n >= len(payload) {
		return AppendFrame(out[:start], op, payload)
	}
	// What has become shorter may have a shorter header.
	head := AppendHeader(out[:start], op, true, true, n)
	return append(head, out[start+room:start+room+n]...)
}

// compress writes the flushed stream of payload to d.out.
func (d *Deflater) compress(payload []byte, windowBits int) {
	if windowBits == maxWindowBits || len(payload) <= 1<<windowBits {
		flate.StatelessDeflate(&d.out, payload, false, nil)
		return
	}
	w := d.windows[windowBits-minWindowBits]
	if w == nil {
		w, _ = flate.NewWriterWindow(&d.out, 1<<windowBits)
		d.windows[windowBits-minWindowBits] = w
	}
	w.Reset(&d.out)
	w.Write(payload)
	w.Flush()
}

// frameEnd is a frame under construction. Writing appends, and never fails.
type frameEnd []byte

func (f *frameEnd) Write(p []byte) (int, error) {
	*f = append(*f, p...)
	return len(p), nil
}
