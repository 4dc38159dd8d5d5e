package engine

import (
	"testing"
	"unsafe"
)

// A million of them are held at once, and two cache lines are what one takes.
func TestStreamTakesTwoCacheLines(t *testing.T) {
	if size := unsafe.Sizeof(Stream{}); size != 128 {
		t.Errorf("a stream takes %d bytes, want 128", size)
	}
}
