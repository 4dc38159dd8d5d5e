package session

// seats are the members of one group, in no order: who leaves is replaced by
// the last. They are in pages, of which only the last one grows and shrinks, so
// that no change of a large group has to move it.
type seats struct {
	full [][]seat
	last []seat
}

// seat is a member's place in a group. The slot is here too, so that asking for
// all of them does not have to visit each member.
type seat struct {
	of   *membership
	slot uint32
}

// pageLen seats are 64 KiB.
const pageLen = 4096

func (s *seats) len() int { return len(s.full)*pageLen + len(s.last) }

// take gives of a seat behind all others.
func (s *seats) take(of *membership, slot uint32) {
	if len(s.last) == pageLen {
		s.full = append(s.full, s.last)
		s.last = nil
	}
	if n := len(s.last); n == cap(s.last) {
		s.resize(min(max(1, 2*n), pageLen))
	}
	of.at = uint32(s.len())
	s.last = append(s.last, seat{of: of, slot: slot})
}

// vacate lets the last one move to the seat of who leaves.
func (s *seats) vacate(of *membership) {
	if len(s.last) == 0 {
		end := len(s.full) - 1
		s.last, s.full[end] = s.full[end], nil
		s.full = s.full[:end]
	}
	end := len(s.last) - 1
	mover := s.last[end]
	mover.of.at = of.at
	*s.seat(of.at) = mover
	s.last[end] = seat{}
	s.last = s.last[:end]
	if end <= cap(s.last)/4 {
		s.resize(2 * end)
	}
}

func (s *seats) seat(at uint32) *seat {
	if page := int(at / pageLen); page < len(s.full) {
		return &s.full[page][at%pageLen]
	}
	return &s.last[at%pageLen]
}

// resize moves the last page to where there is room for n.
func (s *seats) resize(n int) { s.last = append(make([]seat, 0, n), s.last...) }

// slots appends the slots of all.
func (s *seats) slots(dst []uint32) []uint32 {
	for _, page := range s.full {
		dst = appendSlots(dst, page)
	}
	return appendSlots(dst, s.last)
}

func appendSlots(dst []uint32, page []seat) []uint32 {
	for i := range page {
		dst = append(dst, page[i].slot)
	}
	return dst
}
