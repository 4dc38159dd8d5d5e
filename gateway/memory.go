package gateway

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The Go runtime keeps what a burst of handshakes or long messages has left:
// garbage until the heap has doubled, and free pages for a while. A gateway of
// idle connections allocates next to nothing, so that could be for ever. So
// when the heap has been quiet for a look and something was allocated since
// the last time, the node collects once and gives the rest to the kernel.
const (
	lookEvery   = 5 * time.Second
	quietBytes  = 1 << 20   // allocated between two looks: little enough to be idle
	worthReturn = 512 << 10 // allocated since memory was returned: enough to bother
)

// returnMemory runs until done is closed.
func returnMemory(done <-chan struct{}) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var last, returned uint64
	for {
		select {
		case <-done:
			return
		case <-look.C:
		}
		metrics.Read(allocated)
		now := allocated[0].Value.Uint64()
		if now-last < quietBytes && now-returned > worthReturn {
			debug.FreeOSMemory()
			returned = now
		}
		last = now
	}
}
