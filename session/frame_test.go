package session

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"testing"

	"github.com/gobwas/ws"
)

func TestFramesAreThoseOfTheRFC(t *testing.T) {
	hello := []byte("Hello")
	for _, test := range []struct {
		name, want string
		got        []byte
	}{ // RFC 6455 §5.7
		{"text", "810548656c6c6f", AppendFrame(nil, ws.OpText, hello)},
		{"masked text", "818537fa213d7f9f4d5158", AppendMasked(nil, ws.OpText, hello, [4]byte{0x37, 0xfa, 0x21, 0x3d})},
		{"first fragment", "010348656c", append(AppendHeader(nil, ws.OpText, false, false, 3), "Hel"...)},
		{"last fragment", "80026c6f", append(AppendHeader(nil, ws.OpContinuation, true, false, 2), "lo"...)},
		{"ping", "890548656c6c6f", AppendFrame(nil, ws.OpPing, hello)},
		{"masked pong", "8a8537fa213d7f9f4d5158", AppendMasked(nil, ws.OpPong, hello, [4]byte{0x37, 0xfa, 0x21, 0x3d})},
		{"256 bytes", "827e0100", AppendHeader(nil, ws.OpBinary, true, false, 256)},
		{"64 KiB", "827f0000000000010000", AppendHeader(nil, ws.OpBinary, true, false, 65536)},
		// RFC 7692 §7.2.3.1
		{"compressed", "c107f248cdc9c90700", append(AppendHeader(nil, ws.OpText, true, true, 7), 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00)},
	} {
		if got := hex.EncodeToString(test.got); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if string(hello) != "Hello" {
		t.Errorf("AppendMasked has masked its input: %q", hello)
	}
}

func TestFramesAreReadBackByGobwas(t *testing.T) {
	mask := [4]byte{0xde, 0xad, 0xbe, 0xef}
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 70000} {
		payload := bytes.Repeat([]byte("x"), n)
		for _, masked := range []bool{false, true} {
			dst := []byte("before")
			if masked {
				dst = AppendMasked(dst, ws.OpBinary, payload, mask)
			} else {
				dst = AppendFrame(dst, ws.OpBinary, payload)
			}
			if !bytes.HasPrefix(dst, []byte("before")) {
				t.Fatalf("%d bytes: %q is overwritten", n, dst[:6])
			}
			if !masked && len(dst) != 6+HeaderSize(n)+n {
				t.Errorf("%d bytes: HeaderSize %d, frame %d", n, HeaderSize(n), len(dst)-6)
			}
			f, err := readFrame(bytes.NewReader(dst[6:]))
			if err != nil {
				t.Fatal(err)
			}
			if masked {
				f = ws.UnmaskFrameInPlace(f)
			}
			if f.Header.OpCode != ws.OpBinary || !f.Header.Fin || !bytes.Equal(f.Payload, payload) {
				t.Errorf("%d bytes, masked %v: read back as %+v", n, masked, f.Header)
			}
		}
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	for _, size := range []int{128, 4 << 10, 64 << 10} {
		payload := make([]byte, size)
		dst := make([]byte, 0, size+maxHeader)
		b.Run(fmt.Sprintf("server/size=%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				AppendFrame(dst, ws.OpBinary, payload)
			}
		})
		b.Run(fmt.Sprintf("client/size=%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				AppendMasked(dst, ws.OpBinary, payload, asciiMask)
			}
		})
	}
}

// readFrame reads one frame, as ws.ReadFrame would if it had a bound.
func readFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	if f.Header.Length > 64<<20 {
		return f, fmt.Errorf("a frame of %d bytes", f.Header.Length)
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// What is masked all at once is what was masked one by one, and is counted as
// the same messages.
func TestAllFramesAreMaskedEachWithItsKey(t *testing.T) {
	var frames, want []byte
	keys, next := [][4]byte{}, byte(0)
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		op := ws.OpBinary
		if n == 125 {
			op = ws.OpPing
		}
		payload := bytes.Repeat([]byte{byte(n)}, n)
		next++
		key := [4]byte{next, 2, 3, 4}
		keys = append(keys, key)
		frames = AppendFrame(frames, op, payload)
		want = AppendMasked(want, op, payload, key)
	}
	left := keys
	got := AppendAllMasked([]byte("before"), frames, func() (k [4]byte) {
		k, left = left[0], left[1:]
		return k
	})
	if !bytes.Equal(got, append([]byte("before"), want...)) {
		t.Error("it is not the same")
	}
	if a, b := Messages(frames, 0), Messages(want, 0); a != 6 || b != 6 {
		t.Errorf("%d messages, and %d when they are masked", a, b)
	}
}
