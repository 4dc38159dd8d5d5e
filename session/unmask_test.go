package session

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gobwas/ws"
)

func TestUnmaskAppliesTheMaskToEveryByteAndNoOther(t *testing.T) {
	mask := [4]byte{0x11, 0x82, 0x53, 0xf4}
	for n := range simdFrom + 70 {
		buf := make([]byte, n+16)
		for i := range buf {
			buf[i] = byte(i * 7)
		}
		want := bytes.Clone(buf)
		for i := range n {
			want[8+i] ^= mask[i%4]
		}
		unmask(buf[8:8+n:8+n], &mask)
		if !bytes.Equal(buf, want) {
			t.Fatalf("length %d", n)
		}
	}
}

func TestUnmaskTakesOnlyASCIIForASCII(t *testing.T) {
	mask := [4]byte{0xff, 0x80, 0x7f, 0x01}
	masked := func(p []byte) []byte {
		for i := range p {
			p[i] ^= mask[i%4]
		}
		return p
	}
	for n := range 200 {
		if !unmask(masked(bytes.Repeat([]byte{0x7f}, n)), &mask) {
			t.Fatalf("length %d: ASCII is not taken for it", n)
		}
		for i := range n {
			p := bytes.Repeat([]byte{0x7f}, n)
			p[i] = 0x80
			if unmask(masked(p), &mask) {
				t.Fatalf("length %d: byte %d is not ASCII", n, i)
			}
		}
	}
}

func BenchmarkUnmask(b *testing.B) {
	for _, size := range []int{16, 125, 128, 1000, 4 << 10, 64 << 10} {
		p := bytes.Repeat([]byte("a"), size)
		b.Run(fmt.Sprintf("unmask/size=%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				unmask(p, &asciiMask)
			}
		})
		b.Run(fmt.Sprintf("ws.Cipher/size=%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				ws.Cipher(p, asciiMask, 0)
			}
		})
	}
}
