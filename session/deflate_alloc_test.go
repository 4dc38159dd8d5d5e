//go:build !race

package session

import (
	"testing"

	"github.com/gobwas/ws"
)

// The encoder keeps its state in a sync.Pool, which under the race detector
// drops things at random.
func TestDeflateAllocatesNothing(t *testing.T) {
	d := NewDeflater()
	for _, windowBits := range []int{9, 15} {
		for _, n := range []int{128, 4096, 60_000} {
			message, dst := chat(n), make([]byte, 0, 1<<17)
			if allocs := testing.AllocsPerRun(20, func() { d.AppendFrame(dst, ws.OpText, message, windowBits) }); allocs != 0 {
				t.Errorf("window %d, %d bytes: %v allocations", windowBits, n, allocs)
			}
		}
	}
}
