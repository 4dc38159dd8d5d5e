package session

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestNobodyIsInTheZeroGroups(t *testing.T) {
	var g Groups
	var m Member
	g.LeaveAll(&m)
	if g.Leave(&m, "chess") || g.Has(&m, "chess") || g.May("chess") || g.Len()+g.Size("chess")+g.Count(&m) != 0 {
		t.Error("somebody is in the zero Groups")
	}
	for name := range g.Names(&m) {
		t.Errorf("a member of %q", name)
	}
}

func TestJoinAndLeaveSayWhetherSomethingChanged(t *testing.T) {
	var g Groups
	var m, other Member
	for i, step := range []struct{ got, want bool }{
		{g.Join(&m, "chess"), true},
		{g.Join(&m, "chess"), false},
		{g.Leave(&other, "chess"), false},
		{g.Leave(&m, "go"), false},
		{g.Leave(&m, "chess"), true},
		{g.Leave(&m, "chess"), false},
	} {
		if step.got != step.want {
			t.Errorf("step %d: %v", i, step.got)
		}
	}
}

func TestAnEmptyGroupVanishes(t *testing.T) {
	var g Groups
	ms := members(2)
	for _, leave := range []func(*Member){
		func(m *Member) { g.Leave(m, "chess") },
		g.LeaveAll,
	} {
		g.Join(&ms[0], "chess")
		g.Join(&ms[1], "chess")
		leave(&ms[0])
		if g.Len() != 1 || !g.May("chess") || g.Size("chess") != 1 {
			t.Errorf("%d groups while one has a member", g.Len())
		}
		leave(&ms[1])
		if g.Len() != 0 || g.May("chess") || len(g.Slots("chess", nil)) != 0 {
			t.Errorf("%d groups while none has a member", g.Len())
		}
	}
}

func TestJoinCopiesTheName(t *testing.T) {
	frame := strings.Repeat("chess", 1_000)
	var g Groups
	var m Member
	g.Join(&m, frame[:5])
	for name := range g.Names(&m) {
		if name != "chess" || unsafe.StringData(name) == unsafe.StringData(frame) {
			t.Errorf("the group keeps %d bytes for the name %q", len(frame), name)
		}
	}
}

func TestNamesMayBeLeftWhileRanging(t *testing.T) {
	var g Groups
	var m Member
	for i := range 10 {
		g.Join(&m, someone(i))
	}
	var seen []string
	for name := range g.Names(&m) {
		seen = append(seen, name)
		g.Leave(&m, name)
		g.Join(&m, "late")
	}
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 10 || slices.Contains(seen, "late") || g.Count(&m) != 1 {
		t.Errorf("saw %v", seen)
	}
	g.Join(&m, "later")
	for range g.Names(&m) {
		break // and nothing is called after that
	}
}

// TestGroupsFollowTheModel lets members join and leave, and compares with maps.
func TestGroupsFollowTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			g     Groups
			pool  = members(20)
			names = rapid.SampledFrom([]int{1, 4, 120}).Draw(t, "names")
			model = map[string]map[*Member]bool{}
		)
		who := rapid.Custom(func(t *rapid.T) *Member { return &pool[rapid.IntRange(0, len(pool)-1).Draw(t, "member")] })
		what := rapid.Custom(func(t *rapid.T) string { return someone(rapid.IntRange(0, names-1).Draw(t, "group")) })
		verifyHas := func(t *rapid.T, m *Member, name string) {
			if got := g.Has(m, name); got != model[name][m] {
				t.Fatalf("%q has %d: %v", name, m.Slot, got)
			}
		}
		join := func(t *rapid.T, m *Member, name string) {
			verifyHas(t, m, name)
			if got := g.Join(m, name); got == model[name][m] {
				t.Fatalf("join: %v", got)
			}
			if model[name] == nil {
				model[name] = map[*Member]bool{}
			}
			model[name][m] = true
		}
		forget := func(m *Member, name string) {
			if delete(model[name], m); len(model[name]) == 0 {
				delete(model, name)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) { join(t, who.Draw(t, "who"), what.Draw(t, "what")) },
			"join many": func(t *rapid.T) {
				m := who.Draw(t, "who")
				for _, name := range rapid.SliceOfN(what, 1, 100).Draw(t, "what") {
					join(t, m, name)
				}
			},
			"all join": func(t *rapid.T) {
				name := what.Draw(t, "what")
				for i := range pool {
					join(t, &pool[i], name)
				}
			},
			"leave": func(t *rapid.T) {
				m, name := who.Draw(t, "who"), what.Draw(t, "what")
				verifyHas(t, m, name)
				if got := g.Leave(m, name); got != model[name][m] {
					t.Fatalf("leave: %v", got)
				}
				forget(m, name)
			},
			"leave all": func(t *rapid.T) {
				m := who.Draw(t, "who")
				g.LeaveAll(m)
				for name := range maps.Clone(model) {
					forget(m, name)
				}
			},
			"": func(t *rapid.T) {
				g.groups.verify(t)
				if g.Len() != len(model) {
					t.Fatalf("%d groups, want %d", g.Len(), len(model))
				}
				for i := range names {
					verifyGroup(t, &g, someone(i), model[someone(i)])
				}
				for i := range pool {
					verifyMember(t, &g, &pool[i], model)
				}
			},
		})
	})
}

// verifyGroup compares what is found by the name of a group with the model.
func verifyGroup(t *rapid.T, g *Groups, name string, model map[*Member]bool) {
	var want []uint32
	for m := range model {
		want = append(want, m.Slot)
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(g.Slots(name, nil))); !slices.Equal(got, want) {
		t.Fatalf("%q has %v, want %v", name, got, want)
	}
	if g.Size(name) != len(want) || len(want) > 0 && !g.May(name) {
		t.Fatalf("%q: size %d, may %v, want %d", name, g.Size(name), g.May(name), len(want))
	}
}

// verifyMember compares what is found by a member with the model.
func verifyMember(t *rapid.T, g *Groups, m *Member, model map[string]map[*Member]bool) {
	var want []string
	for name, in := range model {
		if in[m] {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(g.Names(m)); !slices.Equal(got, want) || g.Count(m) != len(want) {
		t.Fatalf("%d is in %v (%d), want %v", m.Slot, got, g.Count(m), want)
	}
}

func TestGroupsDoNotAllocateToAnswer(t *testing.T) {
	const n = 100
	ms := members(n)
	var g Groups
	for i := range ms {
		g.Join(&ms[i], "chess")
		g.Join(&ms[i], "go")
	}
	dst := make([]uint32, 0, n)
	seen := 0
	if got := testing.AllocsPerRun(100, func() {
		g.Has(&ms[7], "chess")
		g.Has(&ms[7], "whist")
		g.May("chess")
		g.May("whist")
		g.Size("go")
		g.Count(&ms[7])
		dst = g.Slots("chess", dst[:0])
		for name := range g.Names(&ms[7]) {
			seen += len(name)
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
	if len(dst) != n || seen == 0 {
		t.Errorf("%d slots, %d bytes of names", len(dst), seen)
	}
}

func TestAMembershipCostsAtMost60Bytes(t *testing.T) {
	for _, tt := range []struct{ names, members int }{{1, 100_000}, {8, 25_000}} {
		names, n := tt.names, tt.members
		ms := make([]Member, n)
		var g Groups
		before := allocated()
		for i := range ms {
			for name := range names {
				g.Join(&ms[i], someone(name))
			}
		}
		full := allocated()
		for i := range ms[n/10:] {
			g.LeaveAll(&ms[n/10+i])
		}
		tenth := allocated()
		for i := range ms[:n/10] {
			g.LeaveAll(&ms[i])
		}
		empty := allocated()
		perFull := float64(full-before) / float64(n*names)
		perTenth := float64(tenth-before) / float64(n/10*names)
		t.Logf("%d groups of %d: %.1f B a membership; of the last tenth %.1f; after all have gone %d B", names, n, perFull, perTenth, empty-before)
		if perFull > 60 || perTenth > 60 {
			t.Errorf("%d groups: %.1f B a membership, and %.1f after most have gone", names, perFull, perTenth)
		}
		if empty-before > 16<<10 {
			t.Errorf("%d B are left of %d groups", empty-before, names)
		}
		runtime.KeepAlive(ms)
		runtime.KeepAlive(&g)
	}
}
