package session

import (
	"sync"
	"sync/atomic"
	"testing"
)

// verify fails unless the table is as it promises to be: each entry once, in
// the bucket of its hash, with the marks that the bucket shows and no others,
// and no more buckets and segments than that many entries may have.
func (t *table[T, P]) verify(tb interface{ Fatalf(string, ...any) }) {
	n := t.buckets()
	if n == 0 {
		if t.held != 0 {
			tb.Fatalf("%d entries in no bucket", t.held)
		}
		return
	}
	if n > segmentLen && (t.held < int(n/2) || t.held > int(n)) || n < segmentLen {
		tb.Fatalf("%d entries in %d buckets", t.held, n)
	}
	found := 0
	for i := range n {
		b := t.directory.Load().bucket(i)
		for e := P(b.first); e != nil; e = *e.chain() {
			found++
			name, hash := e.key()
			if at := place(hash, n); at != i || hash != t.sum(name) {
				tb.Fatalf("%q is in bucket %d of %d, and belongs to %d", name, i, n, at)
			}
		}
		if got, want := b.marks.Load(), marks[T, P](b.first); got != want {
			tb.Fatalf("bucket %d of %d shows the marks %x, its entries %x", i, n, got, want)
		}
	}
	if found != t.held {
		tb.Fatalf("%d entries in the buckets, %d counted", found, t.held)
	}
	segments := t.directory.Load().segments
	for i := range segments {
		if used, there := i*segmentLen < int(n), segments[i].Load() != nil; there && !used {
			tb.Fatalf("segment %d is kept for %d buckets", i, n)
		}
	}
	if used := (int(n) + segmentLen - 1) / segmentLen; len(segments) > 4*used {
		tb.Fatalf("a directory of %d for %d segments", len(segments), used)
	}
}

func TestTableGrowsAndShrinksByOneBucketAtATime(t *testing.T) {
	ms := members(1_000)
	var u Users
	buckets := func() int { return int(u.firsts.buckets()) }
	for i := range ms {
		before := buckets()
		u.Add(&ms[i])
		if after := buckets(); i > 0 && after-before > 1 {
			t.Fatalf("%d more buckets for one entry", after-before)
		}
		u.firsts.verify(t)
	}
	for i := range ms {
		before := buckets()
		u.Remove(&ms[i])
		if after := buckets(); before-after > 2 {
			t.Fatalf("%d fewer buckets for one entry", before-after)
		}
		u.firsts.verify(t)
	}
	if got := buckets(); got != segmentLen {
		t.Errorf("%d buckets are left of an empty table", got)
	}
}

// TestPlaceIsWhereTheSplitsPutIt follows a hash through the splits: it moves
// only when the bucket that takes half of its own is added, and only there.
func TestPlaceIsWhereTheSplitsPutIt(t *testing.T) {
	for _, hash := range []uint32{0, 1, 31, 32, 33, 0x5555_5555, 0xdead_beef, 1<<32 - 1} {
		at := place(hash, segmentLen)
		if at != hash%segmentLen {
			t.Fatalf("%x is in bucket %d of the first segment", hash, at)
		}
		for n := uint32(segmentLen); n < 5_000; n++ {
			now := place(hash, n+1)
			if now != at && now != n {
				t.Fatalf("%x went from %d to %d when bucket %d was added", hash, at, now, n)
			}
			at = now
		}
	}
}

func TestMayIsSeldomWrongAboutStrangers(t *testing.T) {
	const asked = 20_000
	for _, n := range []int{100, 20_000, 33_000, 65_536} {
		ms := members(n)
		var u Users
		for i := range ms {
			u.Add(&ms[i])
		}
		wrong := 0
		for i := range asked {
			if u.May(someone(n + i)) {
				wrong++
			}
		}
		t.Logf("%d users: wrong once in %d", n, asked/max(wrong, 1))
		if wrong > asked/100 {
			t.Errorf("%d users: %d of %d strangers may be here", n, wrong, asked)
		}
	}
}

// TestMayBelievesNoShapeOfThePast is about a goroutine that was held up after
// it had seen the shape of the table, while the table grew or shrank.
func TestMayBelievesNoShapeOfThePast(t *testing.T) {
	ms := members(1_000)
	var u Users
	var past []uint64
	verify := func(stays []Member) {
		past = append(past, u.firsts.shape.Load())
		for i := range stays {
			for _, shape := range past {
				if !u.firsts.mayIn(shape, stays[i].User) {
					t.Fatalf("%q is here, and was denied to who saw %x", stays[i].User, shape)
				}
			}
		}
	}
	for i := range ms {
		u.Add(&ms[i])
		if i%50 == 0 {
			verify(ms[:i+1])
		}
	}
	for i := range ms {
		u.Remove(&ms[i])
		if i%50 == 0 {
			verify(ms[i+1:])
		}
	}
}

// TestMayNeverDeniesWhoIsMoved asks about one entry while its bucket is split
// and merged as fast as can be, within a segment and with one that comes and
// goes.
func TestMayNeverDeniesWhoIsMoved(t *testing.T) {
	for _, n := range []uint32{segmentLen, segmentLen + 1} {
		var users table[Member, *Member]
		users.ready()
		for at := uint32(segmentLen); at < n; at++ {
			users.split(at)
		}
		var m Member
		for i := 0; m.User == "" || place(m.hash, 2*segmentLen) != n; i++ {
			m.User = someone(i)
			m.hash = users.sum(m.User)
		}
		users.insert(&m)
		ask(t, []string{m.User}, users.may, func() {
			for range 100_000 {
				users.split(n)
				users.merge(n)
			}
		})
	}
}

// ask asks for the names from two other goroutines while change runs here, and
// fails when one of them is denied.
func ask(t *testing.T, names []string, may func(string) bool, change func()) {
	t.Helper()
	var done atomic.Bool
	var started, asking sync.WaitGroup
	started.Add(2)
	for range 2 {
		asking.Go(func() {
			started.Done()
			for !done.Load() {
				for _, name := range names {
					if !may(name) {
						t.Errorf("%q is here, and was denied", name)
						return
					}
				}
			}
		})
	}
	started.Wait()
	change()
	done.Store(true)
	asking.Wait()
}

// TestMayNeverDeniesWhoStays asks from other goroutines about users and groups
// that are there all the time, while those around them come and go, so that
// their buckets are split and merged and segments given up, and while first
// sessions and seats are handed on.
func TestMayNeverDeniesWhoStays(t *testing.T) {
	const stay, guests, waves = 8, 3 * segmentLen, 200
	var (
		u       Users
		g       Groups
		staying = members(stay)
		twins   = members(stay)
		coming  = members(stay + guests)[stay:]
		names   []string
	)
	come := func(m *Member) {
		u.Add(m)
		g.Join(m, m.User)
	}
	leave := func(m *Member) {
		u.Remove(m)
		g.LeaveAll(m)
	}
	for i := range staying {
		come(&staying[i])
		names = append(names, staying[i].User)
	}
	may := func(name string) bool { return u.May(name) && g.May(name) }
	ask(t, names, may, func() {
		for range waves {
			for i := range coming {
				come(&coming[i])
			}
			for i := range staying {
				come(&twins[i])
				leave(&staying[i])
				come(&staying[i])
				leave(&twins[i])
			}
			for i := range coming {
				leave(&coming[i])
			}
		}
	})
	u.firsts.verify(t)
	g.groups.verify(t)
}
