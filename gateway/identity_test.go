package gateway

import (
	"fmt"
	"runtime"
	"testing"

	"sluice/gateway/config"
)

// heapBytes is what the heap holds after a collection.
func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What a session costs beyond an anonymous one, by the heap.
func TestUsersAndGroupsAreCheap(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes what things weigh")
	}
	const count = 50_000
	n := start(t, func(cfg *config.Config) { cfg.Loops = 1 })
	n.dial()
	h := n.settings.Load().hubs.Named("default")
	n.loops[0].do(func(l *loop) {
		members := make([]*client, count)
		for i := range members {
			members[i] = l.sham(h)
		}
		before := heapBytes()
		for i, c := range members {
			c.name(fmt.Sprintf("user-%011d", i)) // 16 bytes
			l.enlist(c)
		}
		users := heapBytes()
		for _, c := range members {
			l.join(c, []string{"lobby"})
		}
		lobby := heapBytes()
		for i, c := range members {
			l.join(c, []string{fmt.Sprintf("room-%d", i%1000)})
		}
		rooms := heapBytes()
		for what, b := range map[string]struct {
			bytes int64
			most  float64
		}{
			"a unique user":        {users - before, 100},
			"a membership":         {lobby - users, 60},
			"one more, of 50 each": {rooms - lobby, 60},
		} {
			each := float64(b.bytes) / count
			t.Logf("%s: %.1f B", what, each)
			if each > b.most {
				t.Errorf("%s costs %.1f B, want at most %.0f", what, each, b.most)
			}
		}
		for _, c := range members {
			l.strike(c)
			l.dispel(c)
		}
		if left := float64(heapBytes()-before) / count; left > 5 {
			t.Errorf("%.1f B a session are left when all have gone", left)
		}
	})
}
