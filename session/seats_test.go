package session

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSeatsFollowTheModelAcrossPages takes and vacates seats up and down over
// the ends of pages.
func TestSeatsFollowTheModelAcrossPages(t *testing.T) {
	const most = 3*pageLen + 1
	var (
		s    seats
		all  = make([]membership, most)
		in   []int // who has a seat
		free = rand.Perm(most)
	)
	for _, goal := range []int{
		1, 0, 3, pageLen, pageLen + 1, pageLen - 1, pageLen + 1, pageLen, 2*pageLen + 7, most, pageLen / 3, most, 1, 0,
	} {
		for len(in) < goal {
			who := free[len(free)-1]
			in, free = append(in, who), free[:len(free)-1]
			s.take(&all[who], uint32(who))
		}
		for len(in) > goal {
			at := rand.IntN(len(in))
			s.vacate(&all[in[at]])
			free = append(free, in[at])
			in[at] = in[len(in)-1]
			in = in[:len(in)-1]
		}
		want := make([]uint32, 0, len(in))
		for _, who := range in {
			want = append(want, uint32(who))
			if got := s.seat(all[who].at); got.of != &all[who] || got.slot != uint32(who) {
				t.Fatalf("at %d: %d thinks that it has seat %d, which has slot %d", goal, who, all[who].at, got.slot)
			}
		}
		got := s.slots(nil)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || s.len() != goal {
			t.Fatalf("at %d: %d seats with %d slots", goal, s.len(), len(got))
		}
		if room := cap(s.last); room > pageLen || goal > 0 && room > max(4*len(s.last), 1) && len(s.full) == 0 {
			t.Errorf("at %d: room for %d in the last page, which has %d", goal, room, len(s.last))
		}
	}
}
