package session

import (
	"iter"
	"strings"
)

// Groups finds the members of a group, and the groups of a member: those of one
// hub in one loop. A group exists while it has members. A membership costs 40
// bytes, or 56 in a group that has just grown and is small, and no change takes
// longer because a group has many members or because there are many groups. The
// zero Groups is ready for use. It belongs to the goroutine of its loop but for
// May.
type Groups struct {
	groups table[group, *group]
}

// group is a named set of members.
type group struct {
	name  string
	hash  uint32
	next  *group
	seats seats
}

// key and chain make a group the entry of a table.
func (g *group) key() (string, uint32) { return g.name, g.hash }
func (g *group) chain() **group        { return &g.next }

// membership is a group's place in the list of a member.
type membership struct {
	group *group
	next  *membership
	// at is the index of the seat.
	at uint32
}

// Seed is what [Users.Seed] is.
func (g *Groups) Seed(seed uint64) { g.groups.fixed = seed }

// Join makes m a member of the group, and reports whether that is news. The
// group keeps a copy of the name. The time grows with the groups that m is in.
func (g *Groups) Join(m *Member, name string) bool {
	g.groups.ready()
	hash := g.groups.sum(name)
	to := g.groups.find(name, hash)
	if to == nil {
		to = &group{name: strings.Clone(name), hash: hash}
		g.groups.insert(to)
	} else if *m.membership(to) != nil {
		return false
	}
	m.groups = &membership{group: to, next: m.groups}
	to.seats.take(m.groups, m.Slot)
	return true
}

// Leave ends m's membership in the group, and reports whether there was one.
// The time grows with the groups that m is in, and not with their members.
func (g *Groups) Leave(m *Member, name string) bool {
	from := g.find(name)
	if from == nil {
		return false
	}
	link := m.membership(from)
	s := *link
	if s == nil {
		return false
	}
	*link = s.next
	g.vacate(s)
	return true
}

// LeaveAll ends all memberships of m. The time grows with their number.
func (g *Groups) LeaveAll(m *Member) {
	for s := m.groups; s != nil; s = s.next {
		g.vacate(s)
	}
	m.groups = nil
}

// Has reports whether m is in the group.
func (g *Groups) Has(m *Member, name string) bool {
	in := g.find(name)
	return in != nil && *m.membership(in) != nil
}

// Count is the number of groups that m is in. It counts them.
func (g *Groups) Count(m *Member) (n int) {
	for s := m.groups; s != nil; s = s.next {
		n++
	}
	return n
}

// Names are the groups that m is in, the latest first. While ranging over them
// m may leave the one that is at hand, and join others, which are not shown.
func (g *Groups) Names(m *Member) iter.Seq[string] {
	return func(yield func(string) bool) {
		for s := m.groups; s != nil; {
			next := s.next
			if !yield(s.group.name) {
				return
			}
			s = next
		}
	}
}

// Slots appends the slots of the group's members to dst, in no order that means
// anything, and returns it.
func (g *Groups) Slots(name string, dst []uint32) []uint32 {
	if in := g.find(name); in != nil {
		return in.seats.slots(dst)
	}
	return dst
}

// Size is the number of the group's members here.
func (g *Groups) Size(name string) int {
	if in := g.find(name); in != nil {
		return in.seats.len()
	}
	return 0
}

// May reports whether the group may have a member here. It is false only when
// it has none, and true wrongly once in some hundreds of questions. Any
// goroutine may ask, without a lock, to spare the loop a letter to nobody; a
// Join or Leave that runs meanwhile may or may not have happened.
func (g *Groups) May(name string) bool { return g.groups.may(name) }

// Len is the number of groups that have a member here.
func (g *Groups) Len() int { return g.groups.held }

func (g *Groups) find(name string) *group {
	if g.groups.held == 0 {
		return nil
	}
	return g.groups.find(name, g.groups.sum(name))
}

// membership is where the list of m leads to its membership in g, or the end of
// the list.
func (m *Member) membership(g *group) **membership {
	link := &m.groups
	for *link != nil && (*link).group != g {
		link = &(*link).next
	}
	return link
}

// vacate ends the membership s in its group, and the group with its last member.
func (g *Groups) vacate(s *membership) {
	s.group.seats.vacate(s)
	if s.group.seats.len() == 0 {
		g.groups.remove(s.group)
	}
}
