package session

// Users finds the sessions of a user: those of one hub in one loop. A user
// costs 17 bytes beyond its members, or 33 after many others have gone, and no
// change takes longer because there are many. The zero Users is ready for use.
// It belongs to the goroutine of its loop but for May.
type Users struct {
	// firsts has the first session of each user.
	firsts   table[Member, *Member]
	sessions int
}

// Seed has names hashed by a seed that is known, so that May answers
// the same in every process: for simulations. Whoever knows the seed can choose
// names that are slow to find. 0, as without Seed: one that nobody knows. It must
// be called before anything else.
func (u *Users) Seed(seed uint64) { u.firsts.fixed = seed }

// Add makes m known as a session of m.User, which must not be empty. A user may
// have any number of them. m must not be in a Users already.
func (u *Users) Add(m *Member) {
	if m.User == "" {
		panic("session: an anonymous session has no place among the users")
	}
	u.firsts.ready()
	u.sessions++
	m.hash = u.firsts.sum(m.User)
	first := u.firsts.find(m.User, m.hash)
	if first == nil {
		u.firsts.insert(m)
		return
	}
	m.next, m.kin = first.kin, first
	if m.next != nil {
		m.next.kin = m
	}
	first.kin = m
}

// Remove undoes Add, in constant time however many sessions the user has. It
// does nothing when m is not here.
func (u *Users) Remove(m *Member) {
	if u.sessions == 0 {
		return
	}
	first := u.firsts.find(m.User, m.hash)
	switch {
	case first == m:
		u.removeFirst(m)
	case m.kin != nil:
		m.stepOut(first)
	default:
		return
	}
	m.hash, m.next, m.kin = 0, nil, nil
	u.sessions--
}

// removeFirst lets the second session of the user take the place of the first.
func (u *Users) removeFirst(first *Member) {
	second := first.kin
	if second == nil {
		u.firsts.remove(first)
		return
	}
	second.kin = second.next
	u.firsts.replace(first, second)
}

// stepOut closes the line behind first over m.
func (m *Member) stepOut(first *Member) {
	ahead, behind := m.kin, m.next
	if ahead == first {
		first.kin = behind
	} else {
		ahead.next = behind
	}
	if behind != nil {
		behind.kin = ahead
	}
}

// Slots appends the slots of the user's sessions to dst, in no order that means
// anything, and returns it.
func (u *Users) Slots(user string, dst []uint32) []uint32 {
	if u.sessions == 0 {
		return dst
	}
	first := u.firsts.find(user, u.firsts.sum(user))
	if first == nil {
		return dst
	}
	dst = append(dst, first.Slot)
	for m := first.kin; m != nil; m = m.next {
		dst = append(dst, m.Slot)
	}
	return dst
}

// May reports whether the user may have a session here. It is false only when
// the user has none, and true wrongly once in some hundreds of questions. Any
// goroutine may ask, without a lock, to spare the loop a letter about nobody;
// an Add or Remove that runs meanwhile may or may not have happened.
func (u *Users) May(user string) bool { return u.firsts.may(user) }

// Len is the number of sessions here.
func (u *Users) Len() int { return u.sessions }
