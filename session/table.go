package session

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// entry is what a table asks of the things that it holds: their name, the hash
// of it that table.sum gave, and room for the link of a chain.
type entry[T any] interface {
	*T
	key() (name string, hash uint32)
	chain() **T
}

// table finds entries by name. It is a linear hash table (Litwin 1980, in
// memory by Larson 1988): it grows and shrinks by one bucket at a time, so that
// no insertion has to move more than one bucket, however many there are, and
// neither needs the memory of two tables. Buckets are chains through the
// entries themselves, in segments that are allocated and given up whole. The
// hash is seeded: nobody outside can choose names that meet in one bucket.
//
// One goroutine owns a table; any other may ask may. What they share is the
// shape, the directory, and the marks of each bucket, all of them atomic, and
// the seeds, which are written once before the first shape is published. The zero
// table is ready for use.
type table[T any, P entry[T]] struct {
	seed maphash.Seed
	// fixed, if not zero, is used in place of seed.
	fixed uint64
	// shape is the number of buckets in its lower half; the upper half counts
	// the changes, so that no two shapes within 2^32 changes are equal.
	shape     atomic.Uint64
	directory atomic.Pointer[directory[T]]
	held      int
}

// segmentLen buckets are 512 bytes: the most that the Go runtime allocates
// with pointers inside and without a header of its own.
const segmentLen = 32

type (
	directory[T any] struct{ segments []atomic.Pointer[segment[T]] }
	segment[T any]   [segmentLen]bucket[T]
	bucket[T any]    struct {
		first *T
		// marks has the bits of each entry's mark. With at most an entry a
		// bucket, one question in some hundreds finds the marks of others.
		marks atomic.Uint64
	}
)

// mark is what a bucket's marks show of a hash: two bits of 64, chosen by the
// bits of the hash that are the last to choose the bucket.
func mark(hash uint32) uint64 { return 1<<(hash>>26) | 1<<(hash>>20&63) }

// place is the bucket, of n, that a hash belongs to. The buckets are 2^k and as
// many of the next 2^k as there are; the half of a bucket's entries that belong
// to one which is not there yet are still in the one 2^k below.
func place(hash, n uint32) uint32 {
	full := uint32(1) << (bits.Len32(n) - 1)
	if at := hash & (2*full - 1); at < n {
		return at
	}
	return hash & (full - 1)
}

// sum is the hash of a name. Owner only, or once a shape has been seen.
func (t *table[T, P]) sum(name string) uint32 {
	if t.fixed != 0 {
		return fixedSum(t.fixed, name)
	}
	return uint32(maphash.String(t.seed, name))
}

// fixedSum is a hash that is the same in every process (FNV-1a, and the
// finalizer of MurmurHash3: place takes the lowest bits).
func fixedSum(seed uint64, name string) uint32 {
	h := seed
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return uint32(h ^ h>>33)
}

// may reports whether there may be an entry of that name. Any goroutine; it
// takes no lock and waits for nobody.
func (t *table[T, P]) may(name string) bool {
	shape := t.shape.Load()
	return shape != 0 && t.mayIn(shape, name)
}

// mayIn is may for who has seen that shape, however long ago.
//
// It answers false only when the bucket of the name had no such mark while the
// shape was the same before and after looking. The owner completes the marks of
// the bucket that entries move to, then publishes the shape, then reduces the
// marks of the one that they left; and as Go's atomic operations are in one
// order, who saw a mark missing in the old bucket sees a new shape as well.
func (t *table[T, P]) mayIn(shape uint64, name string) bool {
	hash := t.sum(name)
	if b := t.directory.Load().bucket(place(hash, uint32(shape))); b != nil {
		if want := mark(hash); b.marks.Load()&want == want {
			return true
		}
	}
	return t.shape.Load() != shape
}

// find returns the entry of that name and hash, or nil.
func (t *table[T, P]) find(name string, hash uint32) P {
	for e := P(t.bucket(hash).first); e != nil; e = *e.chain() {
		if its, h := e.key(); h == hash && its == name {
			return e
		}
	}
	return nil
}

// ready lets an empty table take entries: sum and find need it.
func (t *table[T, P]) ready() {
	if t.shape.Load() != 0 {
		return
	}
	t.seed = maphash.MakeSeed()
	t.reserve(0)
	t.reshape(segmentLen)
}

// insert adds an entry that is not in the table.
func (t *table[T, P]) insert(e P) {
	_, hash := e.key()
	b := t.bucket(hash)
	*e.chain(), b.first = b.first, e
	b.marks.Store(b.marks.Load() | mark(hash))
	t.held++
	if n := t.buckets(); t.held > int(n) && n < 1<<31 {
		t.split(n)
	}
}

// remove takes out an entry that is in the table.
func (t *table[T, P]) remove(e P) {
	_, hash := e.key()
	b := t.bucket(hash)
	*link[T, P](b, e) = *e.chain()
	*e.chain() = nil
	b.marks.Store(marks[T, P](b.first))
	t.held--
	// Two merges a removal keep pace with what goes. Between growing and
	// shrinking lies a factor of two, so that coming and going cost nothing.
	for range 2 {
		if n := t.buckets(); n > segmentLen && t.held < int(n/2) {
			t.merge(n - 1)
		}
	}
}

// replace puts one entry into the place of another of the same name.
func (t *table[T, P]) replace(e, with P) {
	_, hash := e.key()
	*link[T, P](t.bucket(hash), e) = with
	*with.chain(), *e.chain() = *e.chain(), nil
}

// link is where the chain of b leads to e.
func link[T any, P entry[T]](b *bucket[T], e P) **T {
	at := &b.first
	for *at != e {
		at = P(*at).chain()
	}
	return at
}

// marks are those of the chain that begins at e.
func marks[T any, P entry[T]](e P) (all uint64) {
	for ; e != nil; e = *e.chain() {
		_, hash := e.key()
		all |= mark(hash)
	}
	return all
}

func (t *table[T, P]) buckets() uint32 { return uint32(t.shape.Load()) }

// bucket is where a hash belongs now. Owner only.
func (t *table[T, P]) bucket(hash uint32) *bucket[T] {
	return t.directory.Load().bucket(place(hash, t.buckets()))
}

// reshape publishes another number of buckets.
func (t *table[T, P]) reshape(n uint32) {
	t.shape.Store((t.shape.Load()>>32+1)<<32 | uint64(n))
}

// split adds bucket n, and moves to it what was in the bucket below it for as
// long as it was not there.
func (t *table[T, P]) split(n uint32) {
	full := uint32(1) << (bits.Len32(n) - 1)
	t.reserve(n)
	d := t.directory.Load()
	from, to := d.bucket(n-full), d.bucket(n)
	for at := &from.first; *at != nil; {
		e := P(*at)
		if _, hash := e.key(); hash&full == 0 {
			at = e.chain()
			continue
		}
		*at = *e.chain()
		*e.chain(), to.first = to.first, e
	}
	to.marks.Store(marks[T, P](to.first))
	t.reshape(n + 1)
	from.marks.Store(marks[T, P](from.first))
}

// merge gives up bucket n, the last one, for the one that it was split from.
func (t *table[T, P]) merge(n uint32) {
	full := uint32(1) << (bits.Len32(n) - 1)
	d := t.directory.Load()
	from, to := d.bucket(n), d.bucket(n-full)
	*link[T, P](to, nil) = from.first
	to.marks.Store(to.marks.Load() | from.marks.Load())
	t.reshape(n)
	from.first = nil
	from.marks.Store(0)
	if n%segmentLen == 0 {
		t.release(n)
	}
}

// reserve makes the segment of bucket n if there is none, and room for it in
// the directory.
func (t *table[T, P]) reserve(n uint32) {
	at := int(n / segmentLen)
	d := t.directory.Load()
	if d == nil || at == len(d.segments) {
		d = d.resized(max(1, 2*at))
		t.directory.Store(d)
	}
	if d.segments[at].Load() == nil {
		d.segments[at].Store(new(segment[T]))
	}
}

// release gives up the segment of bucket n, which is the first that is not in
// use any more, and half of the directory when a quarter of it would do.
func (t *table[T, P]) release(n uint32) {
	at := int(n / segmentLen)
	d := t.directory.Load()
	d.segments[at].Store(nil)
	if at <= len(d.segments)/4 {
		t.directory.Store(d.resized(len(d.segments) / 2))
	}
}

// resized is a copy of the directory with room for n segments.
func (d *directory[T]) resized(n int) *directory[T] {
	to := &directory[T]{segments: make([]atomic.Pointer[segment[T]], n)}
	if d != nil {
		for i := range min(n, len(d.segments)) {
			to.segments[i].Store(d.segments[i].Load())
		}
	}
	return to
}

// bucket is the n-th, or nil when there is none. A reader whose shape is no
// longer the table's may ask for one that has been given up.
func (d *directory[T]) bucket(n uint32) *bucket[T] {
	at := int(n / segmentLen)
	if at >= len(d.segments) {
		return nil
	}
	s := d.segments[at].Load()
	if s == nil {
		return nil
	}
	return &s[n%segmentLen]
}
