package session

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"
)

// Wherever the budget ends, nothing is lost: with the same bytes again, the
// reader goes on as if there had been room all the time.
func TestReaderGoesOnWhenThereIsRoomAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 1 << 20
		b := NewBudget(limit)
		c := NewContext(NewPool(b))
		var r Reader
		r.Init(Server, true)
		stream, want := drawStream(t)
		var got []string
		refused := 0
		for len(stream) > 0 {
			chunk := bytes.Clone(stream[:min(len(stream), rapid.IntRange(1, 2000).Draw(t, "chunk"))])
			stream = stream[len(chunk):]
			b.SetLimit(limit)
			if rapid.Bool().Draw(t, "full") {
				b.SetLimit(0)
			}
			for {
				in, n, err := r.Next(c, &Limits{Message: 1 << 20, Fragments: 100}, chunk, true)
				chunk = chunk[n:]
				if err == ErrBudget && b.Limit() == 0 {
					if refused++; len(chunk) == 0 {
						t.Fatal("refused, and nothing to be offered again")
					}
					b.SetLimit(limit)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if in.Kind == None {
					break
				}
				got = append(got, string(in.Payload))
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d messages, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("message %d differs after %d refusals", i, refused)
			}
		}
		r.Release(c)
		if b.Used() != 0 {
			t.Fatalf("%d bytes are still charged", b.Used())
		}
	})
}

// drawStream returns masked frames, some of them fragmented or compressed or
// pings, and the payloads of what they are.
func drawStream(t *rapid.T) (stream []byte, want []string) {
	d := NewDeflater()
	mask := [4]byte{1, 2, 3, 4}
	for range rapid.IntRange(1, 6).Draw(t, "messages") {
		payload := bytes.Repeat([]byte("héllo wörld "), rapid.IntRange(0, 300).Draw(t, "length"))
		want = append(want, string(payload))
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			stream = AppendMasked(stream, ws.OpText, payload, mask)
		case 1:
			at := rapid.IntRange(0, len(payload)).Draw(t, "at")
			first := AppendMasked(nil, ws.OpText, payload[:at], mask)
			first[0] &^= finBit
			stream = append(stream, first...)
			stream = AppendMasked(stream, ws.OpPing, []byte("p"), mask)
			stream = AppendMasked(stream, ws.OpContinuation, payload[at:], mask)
			want = append(want[:len(want)-1], "p", string(payload))
		case 2:
			stream = AppendMasked(stream, ws.OpPing, nil, mask)
			want[len(want)-1] = ""
		case 3:
			f := d.AppendFrame(nil, ws.OpBinary, payload, 15)
			body := f[len(f)-payloadSize(f):]
			if f[0]&rsv1Bit == 0 {
				stream = AppendMasked(stream, ws.OpBinary, body, mask)
				break
			}
			squeezed := AppendMasked(nil, ws.OpBinary, body, mask)
			squeezed[0] |= rsv1Bit
			stream = append(stream, squeezed...)
		}
	}
	return stream, want
}

// payloadSize is the length of the payload of the one frame in f.
func payloadSize(f []byte) int {
	for n := range len(f) + 1 {
		if HeaderSize(n)+n == len(f) {
			return n
		}
	}
	return 0
}
