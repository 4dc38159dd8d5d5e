package session

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNobodyIsInTheZeroUsers(t *testing.T) {
	var u Users
	u.Remove(&Member{User: "ann"})
	if u.May("ann") || u.Len() != 0 || len(u.Slots("ann", nil)) != 0 {
		t.Errorf("may %v, %d sessions, slots %v", u.May("ann"), u.Len(), u.Slots("ann", nil))
	}
}

func TestAddRefusesTheAnonymous(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an anonymous session was added")
		}
	}()
	new(Users).Add(&Member{Slot: 1})
}

func TestRemoveOfAStrangerDoesNothing(t *testing.T) {
	ms := []Member{{User: "ann", Slot: 1}, {User: "ann", Slot: 2}, {User: "bob", Slot: 3}}
	var u Users
	u.Add(&ms[0])
	u.Remove(&ms[1])
	u.Remove(&ms[2])
	u.Remove(&Member{})
	if got := u.Slots("ann", nil); !slices.Equal(got, []uint32{1}) || u.Len() != 1 {
		t.Errorf("slots %v, %d sessions", got, u.Len())
	}
}

func TestSlotsAppends(t *testing.T) {
	var u Users
	u.Add(&Member{User: "ann", Slot: 5})
	if got := u.Slots("ann", []uint32{9}); !slices.Equal(got, []uint32{9, 5}) {
		t.Errorf("slots %v", got)
	}
}

// TestUsersFollowTheModel lets sessions come and go, a few users with many
// sessions among many with one, and compares with a map.
func TestUsersFollowTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			u     Users
			pool  = make([]Member, 300)
			users = rapid.SampledFrom([]int{1, 5, 300}).Draw(t, "users")
			here  = map[*Member]bool{}
		)
		for i := range pool {
			pool[i] = Member{User: someone(i % users), Slot: uint32(i)}
		}
		some := rapid.Custom(func(t *rapid.T) []Member {
			from := rapid.IntRange(0, len(pool)-1).Draw(t, "from")
			return pool[from:rapid.IntRange(from, len(pool)).Draw(t, "to")]
		})
		one := rapid.IntRange(0, len(pool)-1)
		add := func(m *Member) {
			if !here[m] {
				u.Add(m)
				here[m] = true
			}
		}
		remove := func(m *Member) {
			u.Remove(m)
			delete(here, m)
		}
		t.Repeat(map[string]func(*rapid.T){
			"add":    func(t *rapid.T) { add(&pool[one.Draw(t, "who")]) },
			"remove": func(t *rapid.T) { remove(&pool[one.Draw(t, "who")]) },
			"add many": func(t *rapid.T) {
				for ms, i := some.Draw(t, "who"), 0; i < len(ms); i++ {
					add(&ms[i])
				}
			},
			"remove many": func(t *rapid.T) {
				for ms, i := some.Draw(t, "who"), 0; i < len(ms); i++ {
					remove(&ms[i])
				}
			},
			"": func(t *rapid.T) {
				u.firsts.verify(t)
				want := map[string][]uint32{}
				for m := range here {
					want[m.User] = append(want[m.User], m.Slot)
				}
				if u.Len() != len(here) || u.firsts.held != len(want) {
					t.Fatalf("%d sessions of %d users, want %d of %d", u.Len(), u.firsts.held, len(here), len(want))
				}
				for i := range users {
					name := someone(i)
					got := slices.Sorted(slices.Values(u.Slots(name, nil)))
					if !slices.Equal(got, slices.Sorted(slices.Values(want[name]))) {
						t.Fatalf("%q has %v, want %v", name, got, want[name])
					}
					if len(got) > 0 && !u.May(name) {
						t.Fatalf("%q is here, and was denied", name)
					}
				}
			},
		})
	})
}

// TestAUserWithManySessionsEndsThemInAnyOrder would run into the time limit if
// a removal looked at the other sessions.
func TestAUserWithManySessionsEndsThemInAnyOrder(t *testing.T) {
	const n = 100_000
	ms := make([]Member, n)
	forward := make([]int, n)
	for i := range ms {
		ms[i] = Member{User: "ann", Slot: uint32(i)}
		forward[i] = i
	}
	backward := slices.Clone(forward)
	slices.Reverse(backward)
	for name, order := range map[string][]int{
		"first come first": forward,
		"last come first":  backward,
		"at random":        rand.Perm(n),
	} {
		var u Users
		for i := range ms {
			u.Add(&ms[i])
		}
		slots := u.Slots("ann", make([]uint32, 0, n))
		slices.Sort(slots)
		if distinct := slices.Compact(slots); len(distinct) != n || u.Len() != n {
			t.Fatalf("%s: %d slots of %d sessions", name, len(distinct), u.Len())
		}
		for _, i := range order[:n/2] {
			u.Remove(&ms[i])
		}
		left := map[uint32]bool{}
		for _, slot := range u.Slots("ann", nil) {
			left[slot] = true
		}
		for _, i := range order[n/2:] {
			if !left[uint32(i)] {
				t.Fatalf("%s: slot %d is gone too soon", name, i)
			}
			u.Remove(&ms[i])
		}
		if u.Len() != 0 || len(left) != n/2 || u.May("ann") {
			t.Errorf("%s: %d sessions left in the end, %d half-way", name, u.Len(), len(left))
		}
	}
}

func TestUsersDoNotAllocate(t *testing.T) {
	ms := members(1_000)
	var u Users
	for i := range ms {
		u.Add(&ms[i])
	}
	dst := make([]uint32, 0, 4)
	who, stranger := someone(7), someone(-1)
	if got := testing.AllocsPerRun(100, func() {
		u.Remove(&ms[7])
		u.Add(&ms[7])
		u.May(who)
		u.May(stranger)
		dst = u.Slots(who, dst[:0])
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestAUserCostsAtMost36BytesBeyondItsMember(t *testing.T) {
	for _, n := range []int{16_384, 20_000, 100_000} {
		ms := members(n)
		var u Users
		before := allocated()
		for i := range ms {
			u.Add(&ms[i])
		}
		full := allocated()
		for i := range ms[:n/2] {
			u.Remove(&ms[i])
		}
		half := allocated()
		for i := range ms[n/2:] {
			u.Remove(&ms[n/2+i])
		}
		empty := allocated()
		perFull := float64(full-before) / float64(n)
		perHalf := float64(half-before) / float64(n-n/2)
		t.Logf("%d users: %.1f B each; after half have gone %.1f; after all have %d B", n, perFull, perHalf, empty-before)
		if perFull > 36 || perHalf > 36 {
			t.Errorf("%d users cost %.1f B each, and %.1f after half have gone", n, perFull, perHalf)
		}
		if empty-before > 16<<10 {
			t.Errorf("%d B are left of %d users", empty-before, n)
		}
		runtime.KeepAlive(ms)
		runtime.KeepAlive(&u)
	}
}
