package session

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/gobwas/ws"
)

// finalTail is an empty last block. Behind a flushed stream it makes the end of
// the message the end of the stream, for decoders of streams.
const finalTail = "\x01\x00\x00\xff\xff"

// chat returns n bytes of the JSON that applications send.
func chat(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	words := []string{"hello", "please", "see", "the", "order", "status", "price", "of", "your", "connection", "when", "a", "trade", "closes"}
	b := []byte(`{"type":"message","items":[`)
	for len(b) < n {
		b = fmt.Appendf(b, `{"id":"%016x","user":"user-%d","time":%d,"text":"`, rnd.Uint64(), rnd.IntN(1000), 1_700_000_000_000+rnd.Int64N(1e9))
		for range 3 + rnd.IntN(8) {
			b = append(append(b, words[rnd.IntN(len(words))]...), ' ')
		}
		b = fmt.Appendf(b, `","price":%.2f},`, rnd.Float64()*1000)
	}
	return b[:n]
}

// noise returns n bytes that cannot be compressed.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// parseWhole returns the header and the payload of the only frame in p.
func parseWhole(t testing.TB, p []byte) (header, []byte) {
	t.Helper()
	r := Reader{role: Client, deflate: true}
	h, size, err := r.parseHeader(p)
	if err != nil || size == 0 || size+h.length != len(p) {
		t.Fatalf("not a frame: %v, header of %d, payload of %d, all %d", err, size, h.length, len(p))
	}
	return h, p[size:]
}

func TestDeflatedFramesAreReadByTheStandardLibrary(t *testing.T) {
	d := NewDeflater()
	for _, n := range []int{256, 1000, 4096, 32767, 32768, 32769, 100_000} {
		message := chat(n)
		for windowBits := 8; windowBits <= 15; windowBits++ {
			framed := d.AppendFrame([]byte("before"), ws.OpText, message, windowBits)
			if !bytes.HasPrefix(framed, []byte("before")) {
				t.Fatalf("%q is overwritten", framed[:6])
			}
			h, payload := parseWhole(t, framed[6:])
			if !h.compressed || !h.fin || h.op != ws.OpText {
				t.Fatalf("%d bytes, window %d: header %+v", n, windowBits, h)
			}
			got, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), bytes.NewReader([]byte(flushTail+finalTail)))))
			if err != nil || !bytes.Equal(got, message) {
				t.Fatalf("%d bytes, window %d: read back %d bytes, %v", n, windowBits, len(got), err)
			}
		}
	}
}

func TestDeflateNeverRefersBehindTheWindow(t *testing.T) {
	// Every distance occurs: what repeats does so from near and from far.
	var message []byte
	for _, gap := range []int{100, 300, 600, 1200, 2500, 5000, 10_000, 20_000, 32_000, 40_000} {
		part := noise(50 + gap)
		message = append(append(append(message, part[:50]...), chat(gap)...), part[:50]...)
	}
	d := NewDeflater()
	for windowBits := 8; windowBits <= 15; windowBits++ {
		for _, n := range []int{256, 1 << windowBits, 1<<windowBits + 1, 4 << windowBits, len(message)} {
			if n > len(message) {
				continue
			}
			h, payload := parseWhole(t, d.AppendFrame(nil, ws.OpBinary, message[:n], windowBits))
			if !h.compressed {
				continue
			}
			s, err := scan(append(payload, flushTail+finalTail...))
			if err != nil || !bytes.Equal(s.out, message[:n]) {
				t.Fatalf("window %d, %d bytes: the scanner cannot read it: %v", windowBits, n, err)
			}
			if s.farthest > 1<<windowBits {
				t.Errorf("window %d, %d bytes: refers %d bytes back", windowBits, n, s.farthest)
			}
			if n == len(message) && s.farthest <= 1<<(windowBits-1) {
				t.Errorf("window %d: refers only %d bytes back, so this shows nothing", windowBits, s.farthest)
			}
		}
	}
}

func TestWhatDoesNotShrinkIsSentAsItIs(t *testing.T) {
	d := NewDeflater()
	for _, message := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("a"), minDeflate-1), noise(256), noise(100_000)} {
		for windowBits := 8; windowBits <= 15; windowBits++ {
			got := d.AppendFrame([]byte("before"), ws.OpBinary, message, windowBits)
			if want := AppendFrame([]byte("before"), ws.OpBinary, message); !bytes.Equal(got, want) {
				t.Errorf("%d bytes, window %d: frame of %d bytes, want the plain one of %d", len(message), windowBits, len(got), len(want))
			}
		}
	}
}

func TestDeflateGetsAShorterHeaderRight(t *testing.T) {
	d := NewDeflater()
	for _, n := range []int{256, 1000, 65536, 1 << 20} { // to 7 bits, and from 64 bits to 16
		message := bytes.Repeat([]byte("a"), n)
		for windowBits := 8; windowBits <= 15; windowBits++ {
			var r Reader
			r.Init(Client, true)
			got, err := feed(t, &r, testContext(), &testLimits, d.AppendFrame(nil, ws.OpText, message, windowBits))
			if err != nil || len(got) != 1 || got[0].Payload != string(message) {
				t.Fatalf("%d bytes, window %d: found %v, %v", n, windowBits, got, err)
			}
		}
	}
}

func TestDeflateRemembersNothing(t *testing.T) {
	d := NewDeflater()
	message, other := chat(60_000), chat(90_000)[5:]
	for windowBits := 8; windowBits <= 15; windowBits++ {
		first := d.AppendFrame(nil, ws.OpText, message, windowBits)
		d.AppendFrame(nil, ws.OpText, other, windowBits)
		if second := d.AppendFrame(nil, ws.OpText, message, windowBits); !bytes.Equal(first, second) {
			t.Errorf("window %d: %d bytes, then %d", windowBits, len(first), len(second))
		}
	}
}

func BenchmarkDeflate(b *testing.B) {
	d := NewDeflater()
	for _, windowBits := range []int{9, 12, 15} {
		for _, size := range []int{256, 512, 4 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("window=%d/size=%d", windowBits, size), func(b *testing.B) {
				message, dst := chat(size), make([]byte, 0, 1<<17)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				var sent int
				for b.Loop() {
					sent = len(d.AppendFrame(dst, ws.OpText, message, windowBits))
				}
				b.ReportMetric(float64(sent)/float64(size), "ratio")
			})
		}
	}
}
