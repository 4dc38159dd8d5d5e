//go:build !race

package handshake

import "testing"

// Under the race detector sync.Pool forgets at random, and with it the buffers
// that ws.Upgrader borrows.
func TestUpgradeAllocatesOnce(t *testing.T) {
	u, dst := NewUpgrader(), make([]byte, 0, 512)
	for _, head := range []string{smallHead, browserHead, longHead} {
		h := parse(t, head)
		if err := h.Check(); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(200, func() {
			if _, _, err := u.Upgrade(dst, h, &benchOptions); err != nil {
				t.Error(err)
			}
		}); n > 1 {
			t.Errorf("%v allocations for a head of %d octets, want 1", n, len(head))
		}
	}
}
