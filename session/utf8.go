package session

import "unicode/utf8"

// runeTail checks UTF-8 that comes in pieces. It keeps the beginning of the
// character that the last piece cut off. The zero runeTail expects the
// beginning of a text.
type runeTail struct {
	cut [utf8.UTFMax - 1]byte
	n   uint8
}

// check takes the next piece and reports whether the text so far is the
// beginning of valid UTF-8. It is false at the first byte that no valid text
// could have in that place.
func (t *runeTail) check(p []byte) bool {
	if t.n > 0 {
		var char [utf8.UTFMax]byte
		old := copy(char[:], t.cut[:t.n])
		b := char[:old+copy(char[old:], p)]
		if !utf8.FullRune(b) {
			t.n = uint8(copy(t.cut[:], b))
			return true
		}
		_, size := utf8.DecodeRune(b)
		if size <= old {
			return false // an error is one byte wide, and cut ends inside a character
		}
		p, t.n = p[size-old:], 0
	}
	whole := len(p) - cutLen(p)
	t.n = uint8(copy(t.cut[:], p[whole:]))
	return utf8.Valid(p[:whole])
}

// complete reports whether the text may end here.
func (t *runeTail) complete() bool { return t.n == 0 }

// cutLen returns the length of the character at the end of p that is valid as
// far as it goes but not complete.
func cutLen(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
