package session

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// compress returns message as RFC 7692 §7.2.1 compresses it.
func compress(t testing.TB, message []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(message)
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte(flushTail))
}

func TestInflateReadsTheExamplesOfTheRFC(t *testing.T) {
	for _, test := range []struct {
		section, src, want string
		err                error
	}{
		{"7.2.3.1, one block", "\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello", nil},
		{"7.2.3.2, sharing the window", "\xf2\x00\x11\x00\x00", "", ErrInflate}, // we never agree to that
		{"7.2.3.3, not compressed", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello", nil},
		{"7.2.3.4, last block", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello", nil},
		{"7.2.3.4 without the empty block", "\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello", nil},
		{"7.2.3.5, two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello", nil},
		{"7.2.3.6, empty", "\x00", "", nil},
		{"no bytes at all", "", "", ErrInflate},
		{"cut off", "\xf2\x48\xcd", "", ErrInflate},
		{"more behind the last block", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x00", "", ErrInflate},
		{"behind the last block another, empty, that is not sent whole", "\xf3\x48\xcd\xc9\xc9\x07\x00\x01", "Hello", nil},
		{"behind the last block another, empty", "\xf3\x48\xcd\xc9\xc9\x07\x00\x01\x00\x00\xff\xff", "Hello", nil},
		{"behind the last block one that is not", "\x01\x02\x00\xfd\xffHe\xca\xc9\xc9\x07\x00", "Hello", nil},
		{"several last blocks", "\x01\x01\x00\xfe\xffH\x4b\x05\x00\x01\x00\x00\xff\xff\xcb\xc9\xc9\x07\x00\x00", "Hello", nil},
		{"behind the last block a reference to it", "\xf3\x48\xcd\x01\x00\x00\xff\xff", "", ErrInflate},
		{"padding is not looked at", "\xf3\x48\xcd\xc9\xc9\x07\xfc", "Hello", nil},
		{"behind the last block half a header of a block", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x00\x00", "", ErrInflate},
		{"no end", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f", "", ErrInflate},
		{"the tail is data", "\x00\x04\x00\xfb\xff", "", ErrInflate},
		{"reserved block type", "\x06", "", ErrInflate},
	} {
		f := NewInflater()
		p := NewPool(NewBudget(1 << 20))
		for range 2 { // what comes first leaves no trace
			got, err := f.Inflate(p, []byte(test.src), 5)
			if string(got) != test.want || err != test.err {
				t.Errorf("%s: %q, %v", test.section, got, err)
			}
			p.Put(got)
		}
		if used := p.budget.Used(); used != 0 {
			t.Errorf("%s: %d bytes are lost", test.section, used)
		}
	}
}

func TestInflateStopsAtTheLimit(t *testing.T) {
	f := NewInflater()
	p := NewPool(NewBudget(1 << 30))
	for _, n := range []int{0, 1, 5000, 32_768, 32_769, 65_536, 65_537, 100_000} {
		message := chat(n)
		src := compress(t, message)
		got, err := f.Inflate(p, src, n)
		if err != nil || !bytes.Equal(got, message) {
			t.Fatalf("%d bytes: got %d, %v", n, len(got), err)
		}
		if used := p.budget.Used(); used != int64(cap(got)) || cap(got) > max(256, 2*n) {
			t.Fatalf("%d bytes in a buffer of %d, charged with %d", n, cap(got), used)
		}
		p.Put(got)
		if n == 0 {
			continue
		}
		if got, err := f.Inflate(p, src, n-1); got != nil || err != ErrMessageTooBig {
			t.Fatalf("%d bytes with a limit of %d: %d, %v", n, n-1, len(got), err)
		}
		if used := p.budget.Used(); used != 0 {
			t.Fatalf("%d bytes: %d are lost", n, used)
		}
	}
}

func TestInflateAllocatesNothingUpTo64KiB(t *testing.T) {
	f := NewInflater()
	p := NewPool(NewBudget(1 << 20))
	for _, n := range []int{100, 32_768, 32_769, 65_536} {
		src := compress(t, chat(n))
		if allocs := testing.AllocsPerRun(10, func() {
			message, err := f.Inflate(p, src, n)
			if err != nil || len(message) != n {
				t.Fatal(len(message), err)
			}
			p.Put(message)
		}); allocs != 0 {
			t.Errorf("%d bytes: %v allocations", n, allocs)
		}
	}
}

// Memory follows what has been inflated, up to the limit and not beyond it.
func TestBombGetsNoMoreMemoryThanAMessage(t *testing.T) {
	// 254 KiB that become 256 MiB.
	mebibyte := compress(t, make([]byte, 1<<20))
	bomb := bytes.Repeat(append(mebibyte, flushTail...), 254<<10/(len(mebibyte)+len(flushTail)))
	f := NewInflater()
	for _, limit := range []int{5, 1 << 10, 1 << 20} {
		p := NewPool(NewBudget(int64(2*limit + 512))) // twice: while a buffer is replaced by a larger one
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := f.Inflate(p, bomb, limit)
		runtime.ReadMemStats(&after)
		if err != ErrMessageTooBig {
			t.Fatal(limit, err)
		}
		if got, most := after.TotalAlloc-before.TotalAlloc, 3*limit+64<<10; got > uint64(most) {
			t.Errorf("%d bytes were allocated for a bomb of %d with a limit of %d", got, len(bomb), limit)
		}
		if f.pos > len(mebibyte)*limit/(1<<20)+64 {
			t.Errorf("limit of %d: %d bytes of the bomb were read", limit, f.pos)
		}
		if used := p.budget.Used(); used != 0 {
			t.Errorf("limit of %d: %d bytes are lost", limit, used)
		}
	}
}

func TestInflateWithoutBudgetLosesNothing(t *testing.T) {
	f := NewInflater()
	message := chat(100_000)
	src := compress(t, message)
	refused := 0
	for limit := int64(0); limit <= 288<<10; limit += 16 << 10 {
		p := NewPool(NewBudget(limit))
		got, err := f.Inflate(p, src, 1<<20)
		switch {
		case err == ErrBudget:
			refused++
		case err != nil || !bytes.Equal(got, message):
			t.Fatalf("budget of %d: %d bytes, %v", limit, len(got), err)
		}
		p.Put(got)
		if used := p.budget.Used(); used != 0 {
			t.Fatalf("budget of %d: %d bytes are lost", limit, used)
		}
	}
	if refused == 0 || refused > 17 {
		t.Fatalf("refused %d of 19: the test reaches one side only", refused)
	}
}

// flateOf inflates a message with the standard library, which knows one stream
// of one last block: from the next on it is given what the others have said.
// It returns false if a stream is not valid, or does not end where the tail
// does.
func flateOf(src []byte, tail string, limit int) (message []byte, ok bool) {
	in := bytes.NewReader(append(bytes.Clone(src), tail...))
	for {
		more, err := io.ReadAll(io.LimitReader(flate.NewReaderDict(in, message), int64(limit+1-len(message))))
		message = append(message, more...)
		behind := in.Len() - len(tail)
		switch {
		case err != nil:
			return nil, false
		case len(message) > limit:
			return message, true
		case in.Len() == 0 || in.Len() == len(finalTail) || behind == 0:
			return message, true
		case behind < 0:
			return nil, false // it ends in the middle of the tail
		}
	}
}

// FuzzInflate compares with the standard library.
func FuzzInflate(f *testing.F) {
	for _, src := range []string{helloDeflated, "\x00", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "\xf2\x00\x11\x00\x00", "\x06",
		"\x01\x02\x00\xfd\xffHe\xca\xc9\xc9\x07\x00", "\xf3\x48\xcd\xc9\xc9\x07\x00\x01"} {
		f.Add([]byte(src))
	}
	f.Add(compress(f, chat(1000)))
	f.Add(compress(f, noise(300)))
	f.Add(compress(f, []byte(strings.Repeat("ab", 50_000))))
	f.Add(append(compress(f, chat(500)), 1, 1, 0, 0xfe, 0xff, 'x', 0))
	f.Add(worstInputs(300)["dynamic blocks of 12 bytes"])
	inflater, deflater := NewInflater(), NewDeflater()
	const limit = 128 << 10
	f.Fuzz(func(t *testing.T, src []byte) {
		p := NewPool(NewBudget(1 << 20))
		got, err := inflater.Inflate(p, src, limit)

		// Where the message ends the tail is the lengths of a stored block:
		// those of another are seen in what it says.
		want, ok := flateOf(src, flushTail+finalTail, limit)
		marked, marks := flateOf(src, "\x01\x00\xfe\xffX"+finalTail, limit)
		ok = ok && marks && (len(want) > limit || bytes.Equal(marked, want) || bytes.Equal(marked, append(want[:len(want):len(want)], 'X')))
		switch {
		case err == ErrBlocks && inflater.blocks > freeBlocks:
		case err == nil && (!ok || !bytes.Equal(got, want)),
			err == ErrMessageTooBig && ok && len(want) <= limit,
			err == ErrInflate && ok && len(want) <= limit,
			err != nil && err != ErrMessageTooBig && err != ErrInflate:
			t.Fatalf("%x: %d bytes, %v; want %d, %v", src, len(got), err, len(want), ok)
		}
		p.Put(got)
		if used := p.budget.Used(); used != 0 {
			t.Fatalf("%d bytes are lost", used)
		}

		for _, windowBits := range []int{8, 15} {
			h, payload := parseWhole(t, deflater.AppendFrame(nil, ws.OpBinary, src, windowBits))
			if !h.compressed {
				continue
			}
			message, err := inflater.Inflate(p, payload, len(src))
			if err != nil || !bytes.Equal(message, src) {
				t.Fatalf("%x, window %d: read back %d bytes, %v", src, windowBits, len(message), err)
			}
			p.Put(message)
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	for _, size := range []int{512, 4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			f := NewInflater()
			p := NewPool(NewBudget(4 << 20))
			src := compress(b, chat(size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				message, err := f.Inflate(p, src, size)
				if err != nil {
					b.Fatal(err)
				}
				p.Put(message)
			}
		})
	}
}
