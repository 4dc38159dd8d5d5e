package session

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestPoolChargesTheCapacityItLends(t *testing.T) {
	for _, test := range []struct{ n, size int }{
		{0, 256}, {1, 256}, {256, 256}, {257, 512}, {4096, 4096}, {4097, 8192},
		{65535, 65536}, {65536, 65536}, {65537, 73728}, {1 << 20, 1 << 20}, {1<<20 + 1, 1<<20 + 8192},
	} {
		b := NewBudget(1 << 21)
		p := NewPool(b)
		buf := p.Get(test.n)
		if len(buf) != 0 || cap(buf) != test.size || b.Used() != int64(test.size) {
			t.Errorf("Get(%d): len %d, cap %d, charged %d; want cap and charge %d",
				test.n, len(buf), cap(buf), b.Used(), test.size)
		}
		p.Put(buf[:0])
		if b.Used() != 0 {
			t.Errorf("Get(%d): %d bytes still charged after Put", test.n, b.Used())
		}
	}
}

func TestPoolLendsNothingOverTheBudget(t *testing.T) {
	b := NewBudget(1024)
	p := NewPool(b)
	buf := p.Get(1024)
	if buf == nil {
		t.Fatal("refused what fits")
	}
	if p.Get(1) != nil || p.Get(1<<20) != nil {
		t.Fatal("lent over the budget")
	}
	buf = append(buf, "content"...)
	if p.Grow(buf, 2048) != nil {
		t.Fatal("grew over the budget")
	}
	if b.Used() != 1024 || string(buf) != "content" {
		t.Fatalf("a refused Grow took the buffer: used %d, %q", b.Used(), buf)
	}
	p.Put(buf)
	if b.Used() != 0 {
		t.Fatalf("used %d", b.Used())
	}
}

func TestPoolGrowKeepsContentAndReplacesTheBuffer(t *testing.T) {
	b := NewBudget(1 << 20)
	p := NewPool(b)
	buf := append(p.Get(10), "0123456789"...)
	if same := p.Grow(buf, 256); &same[0] != &buf[0] {
		t.Fatal("moved a buffer that has the room")
	}
	buf = p.Grow(buf, 257)
	if string(buf) != "0123456789" || cap(buf) != 512 || b.Used() != 512 {
		t.Fatalf("%q, cap %d, charged %d", buf, cap(buf), b.Used())
	}
	if fresh := p.Grow(nil, 5); cap(fresh) != 256 {
		t.Fatalf("Grow of nil: cap %d", cap(fresh))
	}
}

func TestPoolKeepsAQuarterMebibyteAtMost(t *testing.T) {
	p := NewPool(NewBudget(1 << 30))
	for size := 1 << minClass; size <= 1<<maxClass; size *= 2 {
		var lent [][]byte
		for range 200 {
			lent = append(lent, p.Get(size))
		}
		for _, buf := range lent {
			p.Put(buf)
		}
	}
	p.Put(p.Get(1 << 20))
	if kept := keptBy(p); kept != 256<<10 {
		t.Fatalf("keeps %d bytes, want %d", kept, 256<<10)
	}
	p.Trim()
	if kept := keptBy(p); kept != 0 {
		t.Fatalf("keeps %d bytes after Trim", kept)
	}
}

func keptBy(p *Pool) int {
	kept := 0
	for _, class := range p.free {
		for _, buf := range class {
			kept += cap(buf)
		}
	}
	return kept
}

func TestPoolRefusesAForeignBuffer(t *testing.T) {
	mustPanic(t, "Put of a foreign buffer", func() {
		NewPool(NewBudget(1 << 20)).Put(make([]byte, 0, 300))
	})
}

func TestPoolDoesNotAllocateWhatCameBack(t *testing.T) {
	p := NewPool(NewBudget(1 << 20))
	if allocs := testing.AllocsPerRun(100, func() {
		a, b := p.Get(100), p.Get(5000)
		p.Put(a)
		p.Put(b)
	}); allocs != 0 {
		t.Fatalf("%v allocations", allocs)
	}
}

func TestPoolNeverLendsABufferTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBudget(1 << 20)
		p := NewPool(b)
		var lent [][]byte // each filled with its own byte
		charged := 0
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				n := rapid.IntRange(1, 100_000).Draw(t, "n")
				buf := p.Get(n)
				if buf == nil {
					if room := b.Limit() - b.Used(); room >= int64(2*n+256) {
						t.Fatalf("refused %d bytes with room for %d", n, room)
					}
					return
				}
				charged += cap(buf)
				lent = append(lent, append(buf, bytes.Repeat([]byte{byte(len(lent))}, n)...))
			},
			"grow": func(t *rapid.T) {
				if len(lent) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(lent)-1).Draw(t, "i")
				old := cap(lent[i])
				grown := p.Grow(lent[i], rapid.IntRange(0, 100_000).Draw(t, "n"))
				if grown != nil {
					charged += cap(grown) - old
					lent[i] = grown
				}
			},
			"put": func(t *rapid.T) {
				if len(lent) == 0 {
					t.Skip()
				}
				last := lent[len(lent)-1]
				lent = lent[:len(lent)-1]
				charged -= cap(last)
				p.Put(last)
			},
			"": func(t *rapid.T) {
				if b.Used() != int64(charged) {
					t.Fatalf("charged %d, lent %d", b.Used(), charged)
				}
				for i, buf := range lent {
					if bytes.Count(buf, []byte{byte(i)}) != len(buf) {
						t.Fatalf("buffer %d was overwritten", i)
					}
				}
			},
		})
	})
}
