package session

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// million is one loop's share of a very large node.
const million = 1_000_000

// BenchmarkUsersAddRemove lets a random one of a million users go and come.
func BenchmarkUsersAddRemove(b *testing.B) {
	ms := members(million)
	var u Users
	for i := range ms {
		u.Add(&ms[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		m := &ms[rand.IntN(million)]
		u.Remove(m)
		u.Add(m)
	}
}

// BenchmarkUsersAddRemoveOfOneUser is the same among 100,000 sessions of one.
func BenchmarkUsersAddRemoveOfOneUser(b *testing.B) {
	ms := make([]Member, 100_000)
	var u Users
	for i := range ms {
		ms[i] = Member{User: "ann", Slot: uint32(i)}
		u.Add(&ms[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		m := &ms[rand.IntN(len(ms))]
		u.Remove(m)
		u.Add(m)
	}
}

func BenchmarkUsersMay(b *testing.B) {
	ms := members(million)
	var u Users
	for i := range ms {
		u.Add(&ms[i])
	}
	names := make([]string, 1<<16)
	for name, from := range map[string]int{"somebody": 0, "nobody": million} {
		for i := range names {
			names[i] = someone(from + rand.IntN(million))
		}
		b.Run(name, func(b *testing.B) {
			yes := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if u.May(names[i%len(names)]) {
					yes++
				}
			}
			b.ReportMetric(float64(yes)/float64(b.N), "yes/op")
		})
	}
}

// BenchmarkUsersGrow adds a million users to an empty index and takes them out
// again.
func BenchmarkUsersGrow(b *testing.B) {
	ms := members(million)
	var u Users
	benchmarkGrow(b, ms, u.Add, u.Remove)
}

// benchmarkGrow lets all members come and go, five times an iteration, and
// shows the longest that one of them held the loop up. What growing costs is
// spent on the same member every time, and what else happens on the machine is
// not: so of each member the fastest time counts.
func benchmarkGrow(b *testing.B, ms []Member, come, leave func(*Member)) {
	const rounds = 5
	coming, leaving := make([]time.Duration, len(ms)), make([]time.Duration, len(ms))
	for i := range ms {
		coming[i], leaving[i] = time.Hour, time.Hour
	}
	runtime.GC()
	b.ReportAllocs()
	for b.Loop() {
		for range rounds {
			fastest(coming, ms, come)
			fastest(leaving, ms, leave)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rounds*2*len(ms)), "ns/change")
	b.ReportMetric(float64(slices.Max(coming).Nanoseconds())/1e3, "longest-come-µs")
	b.ReportMetric(float64(slices.Max(leaving).Nanoseconds())/1e3, "longest-leave-µs")
}

// fastest keeps the time of each call that was faster than before.
func fastest(times []time.Duration, ms []Member, call func(*Member)) {
	at := time.Now()
	for i := range ms {
		call(&ms[i])
		now := time.Now()
		times[i], at = min(times[i], now.Sub(at)), now
	}
}
