package session

import (
	"fmt"
	"runtime"
	"testing"
	"unsafe"
)

func TestMemberHas48Bytes(t *testing.T) {
	if got := unsafe.Sizeof(Member{}); got != 48 {
		t.Errorf("%d bytes; each session has one", got)
	}
}

func TestMembershipHas24Bytes(t *testing.T) {
	if got := unsafe.Sizeof(membership{}); got != 24 {
		t.Errorf("%d bytes; each member has one for each of its groups", got)
	}
}

// someone is the name of a user, or of a group, of 16 bytes.
func someone(i int) string { return fmt.Sprintf("name-%011d", i) }

// members returns n members, each a user of its own, whose slots are their
// indexes.
func members(n int) []Member {
	ms := make([]Member, n)
	for i := range ms {
		ms[i] = Member{User: someone(i), Slot: uint32(i)}
	}
	return ms
}

// allocated is the number of bytes that are in use after a collection.
func allocated() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
