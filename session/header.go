package session

import (
	"encoding/binary"
	"math"

	"github.com/gobwas/ws"
)

// The bits of a frame's first two bytes (RFC 6455 §5.2).
const (
	finBit     = 0x80
	rsv1Bit    = 0x40
	rsvBits    = 0x70
	opcodeBits = 0x0f
	maskBit    = 0x80
	lengthBits = 0x7f

	length16 = 126 // a 16-bit length follows
	length64 = 127 // a 64-bit length follows

	maxControl = ws.MaxControlFramePayloadSize
	maxHeader  = ws.MaxHeaderSize
)

// header is what stands in front of a frame's payload.
type header struct {
	op         ws.OpCode
	fin        bool
	compressed bool
	mask       [4]byte // zero if there is none
	length     int     // of the payload
}

// parseHeader decodes the header at the front of b, which is not empty, and
// returns its size: 0 if b ends inside it, when only op, fin and compressed
// are set. Every rule is applied as soon as the bytes are there that it is
// about, in their order, so that a header which comes in pieces fails as the
// whole one does.
func (r *Reader) parseHeader(b []byte) (h header, size int, err error) {
	h = header{
		op:         ws.OpCode(b[0] & opcodeBits),
		fin:        b[0]&finBit != 0,
		compressed: b[0]&rsv1Bit != 0,
	}
	open := r.partial != nil && r.partial.open
	switch {
	case b[0]&(rsvBits&^rsv1Bit) != 0,
		h.compressed && (!r.deflate || h.op.IsControl() || h.op == ws.OpContinuation):
		return h, 0, ErrRSV
	case h.op.IsReserved():
		return h, 0, ErrOpCode
	case h.op.IsControl() && !h.fin:
		return h, 0, ErrControlFragmented
	case h.op == ws.OpContinuation && !open:
		return h, 0, ErrContinuation
	case (h.op == ws.OpText || h.op == ws.OpBinary) && open:
		return h, 0, ErrInterleaved
	case len(b) < 2:
		return h, 0, nil
	}

	masked := b[1]&maskBit != 0
	h.length = int(b[1] & lengthBits)
	switch {
	case masked != (r.role == Server):
		return h, 0, ErrMask
	case h.op.IsControl() && h.length > maxControl:
		return h, 0, ErrControlTooLong
	}

	size = 2
	switch h.length {
	case length16:
		if size += 2; len(b) < size {
			return h, 0, nil
		}
		h.length = int(binary.BigEndian.Uint16(b[2:]))
		if h.length < length16 {
			return h, 0, ErrLengthNotMinimal
		}
	case length64:
		if size += 8; len(b) < size {
			return h, 0, nil
		}
		n := binary.BigEndian.Uint64(b[2:])
		switch {
		case n > math.MaxInt64:
			return h, 0, ErrLengthTooLarge
		case n <= math.MaxUint16:
			return h, 0, ErrLengthNotMinimal
		}
		h.length = int(min(n, math.MaxInt))
	}
	if masked {
		if size += len(h.mask); len(b) < size {
			return h, 0, nil
		}
		h.mask = [4]byte(b[size-len(h.mask):])
	}
	return h, size, nil
}

// unmask unmasks a part of the payload in place, which begins offset bytes
// behind its start.
func (h *header) unmask(part []byte, offset int) {
	if h.mask != [4]byte{} {
		ws.Cipher(part, h.mask, offset)
	}
}

// alone reports whether the frame is an input of its own, not a part of a
// fragmented message.
func (h *header) alone() bool { return h.fin && h.op != ws.OpContinuation }
