package engine

import (
	"testing"

	"sluice/session"
)

// A callback can run after its descriptor was deleted, within the batch of
// events that was collected before. Until then its slot must stay vacant.
func TestSlotIsNotReusedBeforeTwoTicks(t *testing.T) {
	l := new(Engine)
	s := &l.slab
	first := l.vacant()
	first.state = Open
	ref := session.Ref{Slot: first.timer.Slot, Generation: first.generation}
	if s.find(ref) != first {
		t.Fatal("a session is not found by its name")
	}
	s.put(first)
	for tick := range 2 {
		for range Chunk { // more than were vacant
			if c := l.vacant(); c == first {
				t.Fatalf("the slot has a new tenant after %d ticks", tick)
			}
		}
		s.settle()
	}
	again := l.vacant()
	if again != first {
		t.Fatal("the slot is never used again")
	}
	again.state = Open
	if s.find(ref) != nil {
		t.Error("the name of the former tenant finds the new one")
	}
	if s.find(session.Ref{Slot: s.slots()}) != nil {
		t.Error("a slot that does not exist was found")
	}
}
