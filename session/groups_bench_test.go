package session

import (
	"math/rand/v2"
	"testing"
)

// crowd lets 100,000 members join the group "crowd" in random order, so that
// its seats are not in the order of their memory.
func crowd(g *Groups) []Member {
	ms := members(100_000)
	for _, i := range rand.Perm(len(ms)) {
		g.Join(&ms[i], "crowd")
	}
	return ms
}

// BenchmarkGroupsJoinLeave joins and leaves a crowd, and a group that begins
// and ends with it.
func BenchmarkGroupsJoinLeave(b *testing.B) {
	var g Groups
	ms := crowd(&g)
	for i := range ms {
		g.Leave(&ms[i], "crowd")
		if i%2 == 0 {
			g.Join(&ms[i], "crowd")
		}
	}
	for _, name := range []string{"crowd", "alone"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m := &ms[1+2*rand.IntN(len(ms)/2)]
				g.Join(m, name)
				g.Leave(m, name)
			}
		})
	}
}

func BenchmarkGroupsHas(b *testing.B) {
	var g Groups
	ms := crowd(&g)
	b.ReportAllocs()
	for b.Loop() {
		g.Has(&ms[rand.IntN(len(ms))], "crowd")
	}
}

func BenchmarkGroupsMay(b *testing.B) {
	var g Groups
	ms := members(100_000)
	for i := range ms {
		g.Join(&ms[i], ms[i].User)
	}
	b.ReportAllocs()
	for b.Loop() {
		g.May(ms[rand.IntN(len(ms))].User)
	}
}

func BenchmarkGroupsSlotsOf100000(b *testing.B) {
	var g Groups
	ms := crowd(&g)
	dst := make([]uint32, 0, len(ms))
	b.ReportAllocs()
	for b.Loop() {
		dst = g.Slots("crowd", dst[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(dst)), "ns/slot")
}

// BenchmarkGroupsGrow lets a million members join one group and end.
func BenchmarkGroupsGrow(b *testing.B) {
	ms := members(million)
	var g Groups
	benchmarkGrow(b, ms, func(m *Member) { g.Join(m, "crowd") }, g.LeaveAll)
}
