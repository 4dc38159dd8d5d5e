package session

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// viable reports whether some text begins with p.
func viable(p []byte) bool {
	if utf8.Valid(p) {
		return true
	}
	for _, second := range []byte{0x80, 0x90, 0xa0, 0xbf} { // no range of second bytes misses all of them
		for more := 1; more < utf8.UTFMax; more++ {
			text := append(append([]byte{}, p...), second)
			for range more - 1 {
				text = append(text, 0x80)
			}
			if utf8.Valid(text) {
				return true
			}
		}
	}
	return false
}

// checkSplit feeds p in pieces that end at the given offsets and returns how
// many bytes were taken when the first piece was refused, or -1.
func checkSplit(tail *runeTail, p []byte, ends ...int) int {
	from := 0
	for _, end := range append(ends, len(p)) {
		if !tail.check(p[from:end]) {
			return end
		}
		from = end
	}
	return -1
}

var awkward = [][]byte{
	{}, []byte("plain"), []byte("κόσμε"), []byte("日本語"), []byte("😀😁"), []byte("a😀"),
	{0x80}, {0xc0, 0x80}, {0xc1, 0xbf}, {0xc2}, {0xc2, 0x80}, {0xc2, 0x41},
	{0xe0, 0x80, 0x80}, {0xe0, 0x9f, 0xbf}, {0xe0, 0xa0, 0x80}, {0xe1, 0x80}, {0xe1, 0x80, 0x41},
	{0xed, 0x9f, 0xbf}, {0xed, 0xa0, 0x80}, {0xed, 0xbf, 0xbf}, {0xef, 0xbf, 0xbf},
	{0xf0, 0x80, 0x80, 0x80}, {0xf0, 0x8f, 0xbf, 0xbf}, {0xf0, 0x90, 0x80, 0x80}, {0xf0, 0x90, 0x80},
	{0xf4, 0x8f, 0xbf, 0xbf}, {0xf4, 0x90}, {0xf4, 0x90, 0x80, 0x80}, {0xf5, 0x80}, {0xfe}, {0xff},
	[]byte("κόσμε\xed\xa0\x80edited"), []byte("ok\xf4\x90"), []byte("\U0010ffff\xf0\x9f"),
}

func TestTextIsRefusedAtItsFirstImpossibleByte(t *testing.T) {
	for _, text := range awkward {
		var tail runeTail
		for i := range text {
			ok := tail.check(text[i : i+1])
			if want := viable(text[:i+1]); ok != want {
				t.Errorf("%x: after %d bytes %v, want %v", text, i+1, ok, want)
			}
			if !ok {
				break
			}
			if want := utf8.Valid(text[:i+1]); tail.complete() != want {
				t.Errorf("%x: complete after %d bytes: %v, want %v", text, i+1, tail.complete(), want)
			}
		}
	}
}

func TestTextInPiecesIsJudgedLikeTheWhole(t *testing.T) {
	piece := rapid.OneOf(rapid.SampledFrom(awkward), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }))
	rapid.Check(t, func(t *rapid.T) {
		var text []byte
		for _, p := range rapid.SliceOfN(piece, 0, 4).Draw(t, "pieces") {
			text = append(text, p...)
		}
		i := rapid.IntRange(0, len(text)).Draw(t, "i")
		j := rapid.IntRange(i, len(text)).Draw(t, "j")
		var tail runeTail
		refused := checkSplit(&tail, text, i, j)
		if whole := refused < 0 && tail.complete(); whole != utf8.Valid(text) {
			t.Fatalf("%x split at %d and %d: %v", text, i, j, whole)
		}
		if refused < 0 != viable(text) {
			t.Fatalf("%x split at %d and %d: refused after %d", text, i, j, refused)
		}
		if refused > 0 && viable(text[:refused]) {
			t.Fatalf("%x split at %d and %d: refused after %d, too early", text, i, j, refused)
		}
	})
}
