package session

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"io"
	"testing"
)

// bitWriter writes DEFLATE by hand.
type bitWriter struct {
	out  []byte
	bits uint64
	n    uint
}

func (w *bitWriter) write(v uint64, n uint) {
	w.bits |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.bits))
		w.bits >>= 8
	}
}

// align pads with zeros up to a byte boundary.
func (w *bitWriter) align() {
	if w.n > 0 {
		w.write(0, 8-w.n)
	}
}

// end closes the message as RFC 7692 §7.2.1 has it: the header of an empty
// stored block, whose lengths are not sent.
func (w *bitWriter) end() []byte {
	w.write(0, 3)
	w.align()
	return w.out
}

// dynamic writes a block with codes of its own that is as short as can be, 12
// to 13 bytes: matches of three zeros at distance one, and the end. Of
// matches, it has n.
func (w *bitWriter) dynamic(n int) {
	w.write(0b100, 3) // not final, own codes
	w.write(1, 5)     // 258 literals and lengths: up to "length 3"
	w.write(0, 5)     // 1 distance
	w.write(14, 4)    // 18 lengths of code lengths: up to that of 1
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1} {
		switch symbol {
		case 18, 1:
			w.write(1, 3) // 1 is the code 0, 18 the code 1
		default:
			w.write(0, 3)
		}
	}
	w.write(1|127<<1, 8) // 138 zeros
	w.write(1|107<<1, 8) // 118 zeros
	w.write(0, 1)        // the end of the block is the code 0
	w.write(0, 1)        // "length 3" is the code 1
	w.write(0, 1)        // "distance 1" is the code 0
	for range n {
		w.write(0b01, 2)
	}
	w.write(0, 1)
}

// literal writes a block with the fixed codes that is one zero byte.
func (w *bitWriter) literal() {
	w.write(0b010, 3)
	w.write(0b00001100, 8) // 0x30 most significant bit first
	w.write(0, 7)
}

// worstInputs are messages of about size bytes that take the most work for
// each byte.
func worstInputs(size int) map[string][]byte {
	m := map[string][]byte{}
	dynamic := func(matches int) []byte {
		var w bitWriter
		w.literal()
		for n := 0; len(w.out) < size-20 && n+3*matches < size; n += 3 * matches {
			w.dynamic(matches)
		}
		return w.end()
	}
	m["dynamic blocks, empty"] = dynamic(0)
	m["dynamic blocks of 12 bytes"] = dynamic(4)
	m["dynamic blocks of 66 bytes"] = dynamic(22)

	var w bitWriter
	for len(w.out) < size-20 {
		w.write(0b010, 3)
		w.write(0, 7)
	}
	m["fixed blocks, empty"] = w.end()
	m["stored blocks, empty"] = append(bytes.Repeat([]byte("\x00"+flushTail), size/5-1), 0)
	return m
}

// What a message costs is bounded by what comes of it.
func TestBlocksAreBoundedByTheOutput(t *testing.T) {
	const size = 1 << 20
	for name, src := range worstInputs(size) {
		if !bytes.Contains([]byte(name), []byte("dynamic")) {
			continue
		}
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(append(bytes.Clone(src), flushTail+finalTail...))), size+1))
		if err != nil || len(want) > size {
			t.Fatalf("%s: the test's own message is not valid: %d bytes, %v", name, len(want), err)
		}
		f := NewInflater()
		p := NewPool(NewBudget(4 << 20))
		got, err := f.Inflate(p, src, size)
		if wantErr := name != "dynamic blocks of 66 bytes"; wantErr != (err == ErrBlocks) || !wantErr && !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if most := freeBlocks + f.at/blockOutput + 1; f.blocks > most {
			t.Errorf("%s: %d blocks for %d bytes", name, f.blocks, f.at)
		}
		if err != nil && f.pos > 4<<10 {
			t.Errorf("%s: %d bytes were read for %d", name, f.pos, f.at)
		}
		p.Put(got)
		if used := p.budget.Used(); used != 0 {
			t.Errorf("%s: %d bytes are lost", name, used)
		}
	}
}

// Whoever flushes after each of many small pieces makes many blocks.
func TestMessagesOfManyFlushesAreRead(t *testing.T) {
	random := []byte(base64.StdEncoding.EncodeToString(noise(600_000)))
	for _, pieces := range []int{1, 70, 100, 300} {
		for _, level := range []int{flate.HuffmanOnly, flate.BestSpeed, flate.DefaultCompression, flate.BestCompression} {
			for name, message := range map[string][]byte{"chat": chat(min(800_000, pieces*600)), "base64": random[:min(len(random), pieces*1500)]} {
				var b bytes.Buffer
				w, err := flate.NewWriter(&b, level)
				if err != nil {
					t.Fatal(err)
				}
				for at := 0; at < len(message); at += pieces {
					w.Write(message[at:min(at+pieces, len(message))])
					w.Flush()
				}
				f := NewInflater()
				p := NewPool(NewBudget(4 << 20))
				got, err := f.Inflate(p, bytes.TrimSuffix(b.Bytes(), []byte(flushTail)), 1<<20)
				if err != nil || !bytes.Equal(got, message) {
					t.Errorf("%s in pieces of %d at level %d: %d bytes, %v; %d blocks", name, pieces, level, len(got), err, f.blocks)
				}
			}
		}
	}
}

func BenchmarkInflateWorst(b *testing.B) {
	const size = 1 << 20
	for name, src := range worstInputs(size) {
		b.Run(fmt.Sprintf("input=%s", name), func(b *testing.B) {
			f := NewInflater()
			p := NewPool(NewBudget(64 << 20))
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				message, _ := f.Inflate(p, src, size)
				p.Put(message)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(src)), "ns/byte")
		})
	}
}
