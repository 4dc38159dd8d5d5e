package session

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// HeaderSize returns the size in bytes of the unmasked header of a frame with
// n bytes of payload.
func HeaderSize(n int) int {
	switch {
	case n < length16:
		return 2
	case n <= 0xffff:
		return 4
	default:
		return 10
	}
}

// AppendHeader appends the header of an unmasked frame with n bytes of
// payload. compressed sets RSV1, which belongs on the first frame of a message
// (RFC 7692 §6).
func AppendHeader(dst []byte, op ws.OpCode, fin, compressed bool, n int) []byte {
	first := byte(op)
	if fin {
		first |= finBit
	}
	if compressed {
		first |= rsv1Bit
	}
	return appendHeader(dst, first, 0, n)
}

func appendHeader(dst []byte, first, mask byte, n int) []byte {
	switch {
	case n < length16:
		return append(dst, first, mask|byte(n))
	case n <= 0xffff:
		return append(dst, first, mask|length16, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, mask|length64), uint64(n))
	}
}

// AppendFrame appends a whole unmasked frame, as servers send it.
func AppendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	dst = appendHeader(dst, finBit|byte(op), 0, len(payload))
	return append(dst, payload...)
}

// AppendMasked appends a whole masked frame, as clients send it. The payload
// itself is left as it is.
func AppendMasked(dst []byte, op ws.OpCode, payload []byte, mask [4]byte) []byte {
	dst = appendHeader(dst, finBit|byte(op), maskBit, len(payload))
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	ws.Cipher(dst[start:], mask, 0)
	return dst
}

// AppendAllMasked appends the unmasked frames, each as a client sends it: masked,
// with a key of its own, which key returns and nobody must be able to foresee
// (RFC 6455 §5.3).
func AppendAllMasked(dst, frames []byte, key func() [4]byte) []byte {
	for len(frames) > 0 {
		size, ok := frameSize(frames)
		if !ok || size <= 0 || size > len(frames) {
			panic("session: what is to be masked is no whole frame")
		}
		header := 2
		switch frames[1] & lengthBits {
		case length16:
			header = 4
		case length64:
			header = 10
		}
		mask := key()
		dst = append(dst, frames[0], frames[1]|maskBit)
		dst = append(append(dst, frames[2:header]...), mask[:]...)
		start := len(dst)
		dst = append(dst, frames[header:size]...)
		ws.Cipher(dst[start:], mask, 0)
		frames = frames[size:]
	}
	return dst
}

// isMessage reports whether a frame whose first byte is b carries a message of
// ours, which is one frame always, and no control frame.
func isMessage(b byte) bool {
	op := ws.OpCode(b & opcodeBits)
	return op == ws.OpText || op == ws.OpBinary
}

// Messages returns how many of the messages in p, which begins with a frame,
// do not end within its first sent bytes.
func Messages(p []byte, sent int) (n int) {
	for at := 0; at < len(p); {
		first := p[at]
		size, ok := frameSize(p[at:])
		if !ok || size <= 0 || size > len(p)-at {
			size = len(p) - at // its end is elsewhere
		}
		if at += size; at > sent && isMessage(first) {
			n++
		}
	}
	return n
}

// frameSize returns the size of the frame at the front of b, and
// false if b ends inside its header.
func frameSize(b []byte) (size int, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	n := int(b[1] & lengthBits)
	switch n {
	case length16:
		if len(b) < 4 {
			return 0, false
		}
		n = int(binary.BigEndian.Uint16(b[2:]))
	case length64:
		if len(b) < 10 {
			return 0, false
		}
		n = int(binary.BigEndian.Uint64(b[2:]))
	}
	size = HeaderSize(n) + n
	if b[1]&maskBit != 0 {
		size += 4
	}
	return size, true
}
