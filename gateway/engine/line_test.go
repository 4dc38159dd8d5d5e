package engine

import "testing"

// A line forgets whom nobody waits for: it stays as short as its bound, and
// keeps the order.
func TestLineOfThoseWhoWaitStaysShort(t *testing.T) {
	const most = 10
	var q line
	waiting := make(map[ticket]bool)
	waits := func(t ticket) bool { return waiting[t] }
	for i := range uint32(100_000) {
		c := &Stream{generation: i}
		waiting[ticket{0, i}] = true
		q.join(c, most, waits)
		if i%1000 != 0 { // all the others speak at once
			delete(waiting, ticket{0, i})
		}
		if len(waiting) > most {
			oldest, ok := q.oldest(waits)
			if want := i - most*1000; !ok || oldest.generation != want {
				t.Fatalf("%v, %v, want the ticket of %d", oldest, ok, want)
			}
			delete(waiting, oldest)
		}
		if len(q.tickets) > 2*most+Chunk {
			t.Fatalf("%d tickets for %d who wait", len(q.tickets), len(waiting))
		}
	}
}
