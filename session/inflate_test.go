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
		{"something else behind the last block", "\xf3\x48\xcd\xc9\xc9\x07\x00\x01", "", ErrInflate},
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

func TestBombGetsNoMemory(t *testing.T) {
	// 254 KiB that become 256 MiB.
	mebibyte := compress(t, make([]byte, 1<<20))
	bomb := bytes.Repeat(append(mebibyte, flushTail...), 254<<10/(len(mebibyte)+len(flushTail)))
	f := NewInflater()
	p := NewPool(NewBudget(64 << 10)) // for the scratch buffer, and nothing else
	if _, err := f.Inflate(p, []byte(helloDeflated), 5); err != ErrBudget {
		t.Fatalf("the budget leaves room: %v", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := f.Inflate(p, bomb, 1<<20)
	runtime.ReadMemStats(&after)
	if err != ErrMessageTooBig {
		t.Fatal(err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
		t.Fatalf("%d bytes were allocated for a bomb of %d", got, len(bomb))
	}
}

func TestInflateWithoutBudgetLosesNothing(t *testing.T) {
	f := NewInflater()
	message := chat(100_000)
	src := compress(t, message)
	refused := 0
	for limit := int64(0); limit <= 192<<10; limit += 16 << 10 {
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
	if refused == 0 || refused > 11 {
		t.Fatalf("refused %d of 13: the test reaches one side only", refused)
	}
}

// FuzzInflate compares with the standard library, which is asked without
// limits and tells where it stopped.
func FuzzInflate(f *testing.F) {
	for _, src := range []string{helloDeflated, "\x00", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "\xf2\x00\x11\x00\x00", "\x06"} {
		f.Add([]byte(src))
	}
	f.Add(compress(f, chat(1000)))
	f.Add(compress(f, []byte(strings.Repeat("ab", 50_000))))
	inflater, deflater := NewInflater(), NewDeflater()
	const limit = 128 << 10
	f.Fuzz(func(t *testing.T, src []byte) {
		p := NewPool(NewBudget(1 << 20))
		got, err := inflater.Inflate(p, src, limit)

		in := bytes.NewReader(append(bytes.Clone(src), flushTail+finalTail...))
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(in), limit+1))
		behind := in.Len() - len(flushTail+finalTail) // bytes of src
		switch {
		case len(want) > limit:
			wantErr = ErrMessageTooBig
		case wantErr != nil:
			wantErr = ErrInflate
		case behind < 0 && in.Len() > 0:
			wantErr = ErrInflate // the message ends in the middle of a block
		case behind > 1 || behind == 1 && src[len(src)-1] != 0:
			wantErr = ErrInflate // there is more behind the last block
		}
		if err != wantErr || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%x: %d bytes, %v; want %d, %v", src, len(got), err, len(want), wantErr)
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
