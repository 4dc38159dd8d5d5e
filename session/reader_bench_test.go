package session

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gobwas/ws"
)

// asciiMask leaves text ASCII, so that a benchmark may parse the same buffer
// again, although every parse applies the mask once more.
var asciiMask = [4]byte{1, 2, 3, 4}

// maskedFrame is a whole frame of n bytes that can be parsed again and again.
func maskedFrame(op ws.OpCode, n int) []byte {
	return AppendMasked(nil, op, bytes.Repeat([]byte("a"), n), asciiMask)
}

func BenchmarkNextWhole(b *testing.B) {
	for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary} {
		for _, size := range []int{16, 125, 128, 4 << 10, 64<<10 - 1, 64 << 10} {
			b.Run(fmt.Sprintf("op=%d/size=%d", op, size), func(b *testing.B) {
				benchmarkNext(b, Server, size, maskedFrame(op, size))
			})
		}
	}
}

func BenchmarkNextUnmasked(b *testing.B) {
	b.Run("size=128", func(b *testing.B) {
		benchmarkNext(b, Client, 128, AppendFrame(nil, ws.OpText, bytes.Repeat([]byte("a"), 128)))
	})
}

// BenchmarkNextSplit has a read end in the middle of the frame, so that the
// message is put together in a buffer.
func BenchmarkNextSplit(b *testing.B) {
	for _, size := range []int{128, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			p := maskedFrame(ws.OpText, size)
			benchmarkNext(b, Server, size, p[:len(p)/2], p[len(p)/2:])
		})
	}
}

// benchmarkNext reads one message in the given pieces.
func benchmarkNext(b *testing.B, role Role, size int, pieces ...[]byte) {
	c := NewContext(NewPool(NewBudget(1 << 20)))
	l := &Limits{Message: 1 << 20, Fragments: 16}
	var r Reader
	r.Init(role, false)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		var in Input
		for _, p := range pieces {
			var n int
			var err error
			if in, n, err = r.Next(c, l, p, true); n != len(p) || err != nil {
				b.Fatal(n, err)
			}
		}
		if in.Kind != Message || len(in.Payload) != size {
			b.Fatal(in.Kind)
		}
	}
}
