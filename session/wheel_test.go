package session

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestTicksCompareAcrossTheWrap(t *testing.T) {
	for _, tt := range []struct {
		t, u Tick
		want bool
	}{
		{0, 0, false}, {0, 1, true}, {1, 0, false},
		{math.MaxUint32, 0, true}, {0, math.MaxUint32, false},
		{math.MaxUint32 - 5, 5, true}, {0, 1<<31 - 1, true},
	} {
		if got := tt.t.Before(tt.u); got != tt.want {
			t.Errorf("%d before %d: %v", tt.t, tt.u, got)
		}
	}
}

func TestTimerHas24Bytes(t *testing.T) {
	if got := unsafe.Sizeof(Timer{}); got != 24 {
		t.Errorf("%d bytes; each idle session has one", got)
	}
}

// fired advances the wheel and returns the slots that fire, in order.
func fired(w *Wheel, to Tick) []uint32 {
	var slots []uint32
	w.Advance(to, func(t *Timer) { slots = append(slots, t.Slot) })
	return slots
}

// timers returns n timers whose Slot is their index.
func timers(n int) []Timer {
	ts := make([]Timer, n)
	for i := range ts {
		ts[i].Slot = uint32(i)
	}
	return ts
}

func TestTimerFiresAtItsTickAndOnlyOnce(t *testing.T) {
	w := NewWheel(8, 100)
	ts := timers(3)
	w.Arm(&ts[0], 103)
	w.Arm(&ts[1], 103+8)    // a turn later, in the same slot
	w.Arm(&ts[2], 103+8*50) // many turns later
	for tick := Tick(101); tick <= 600; tick++ {
		var want []uint32
		for i := range ts {
			if at := []Tick{103, 111, 503}[i]; at == tick {
				want = append(want, uint32(i))
			}
		}
		if got := fired(w, tick); !slices.Equal(got, want) {
			t.Errorf("tick %d: fired %v, want %v", tick, got, want)
		}
	}
	if w.Len() != 0 {
		t.Errorf("%d timers are armed", w.Len())
	}
}

func TestDeadlineThatHasPassedFiresAtTheNextTick(t *testing.T) {
	for _, at := range []Tick{50, 49, 0, 51} {
		w := NewWheel(8, 50)
		var timer Timer
		w.Arm(&timer, at)
		if got := fired(w, 50); got != nil {
			t.Errorf("at %d: fired without a tick", at)
		}
		if got := fired(w, 51); len(got) != 1 {
			t.Errorf("at %d: did not fire at the next tick", at)
		}
	}
}

func TestTimersOfOneStepFireInTheOrderOfTheirTicks(t *testing.T) {
	w := NewWheel(16, math.MaxUint32-5) // the clock wraps on the way
	ts := timers(10)
	for _, i := range rand.Perm(len(ts)) {
		w.Arm(&ts[i], w.now+1+Tick(i))
	}
	if got := fired(w, w.now+10); !slices.IsSorted(got) || len(got) != len(ts) {
		t.Errorf("fired %v", got)
	}
}

func TestHastenOnlyEverBringsATimerForward(t *testing.T) {
	w := NewWheel(8, 0)
	var timer Timer
	w.Hasten(&timer, 20)
	w.Hasten(&timer, 30)
	if got := fired(w, 19); got != nil {
		t.Fatal("fired early")
	}
	w.Hasten(&timer, 30)
	if got := fired(w, 20); len(got) != 1 {
		t.Error("a later deadline put the timer off")
	}
	w.Hasten(&timer, 40)
	w.Hasten(&timer, 25)
	if got := fired(w, 25); len(got) != 1 {
		t.Error("an earlier deadline did not bring the timer forward")
	}
}

func TestFireMayChangeTimersThatAreAboutToFire(t *testing.T) {
	w := NewWheel(8, 0)
	ts := timers(5)
	for i := range ts {
		w.Arm(&ts[i], 3)
	}
	var got []uint32
	w.Advance(3, func(timer *Timer) {
		got = append(got, timer.Slot)
		if w.Armed(timer) {
			t.Error("a timer is armed while it fires")
		}
		switch timer.Slot {
		case 0:
			w.Disarm(&ts[1])
			w.Disarm(&ts[1])
			w.Arm(&ts[2], 3)    // now: at the next tick
			w.Arm(&ts[3], 3+16) // in the slot that is being served
			w.Arm(timer, 0)
		case 4:
			w.Arm(timer, 5)
		}
	})
	if want := []uint32{0, 4}; !slices.Equal(got, want) {
		t.Errorf("tick 3: fired %v, want %v", got, want)
	}
	for _, step := range []struct {
		to   Tick
		want []uint32
	}{{4, []uint32{2, 0}}, {5, []uint32{4}}, {18, nil}, {19, []uint32{3}}} {
		if got := fired(w, step.to); !slices.Equal(got, step.want) {
			t.Errorf("tick %d: fired %v, want %v", step.to, got, step.want)
		}
	}
}

func TestTimersBehindAPanicFireAtTheNextCall(t *testing.T) {
	w := NewWheel(8, 0)
	ts := timers(3)
	for i := range ts {
		w.Arm(&ts[i], 1)
	}
	func() {
		defer func() { recover() }()
		w.Advance(1, func(*Timer) { panic("a bug") })
	}()
	if w.Len() != 2 {
		t.Errorf("%d timers are armed after the first has panicked", w.Len())
	}
	if got := fired(w, 1); !slices.Equal(got, []uint32{1, 2}) {
		t.Errorf("fired %v, want 1 and 2", got)
	}
}

func TestClockThatGoesBackFiresNothing(t *testing.T) {
	w := NewWheel(8, 10)
	var timer Timer
	w.Arm(&timer, 11)
	if got := fired(w, 9); got != nil || w.now != 10 {
		t.Errorf("fired %v, now %d", got, w.now)
	}
}

func TestWheelRefusesSlotsThatAreNoPowerOfTwo(t *testing.T) {
	for _, slots := range []int{0, -8, 3, 500} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d slots: no panic", slots)
				}
			}()
			NewWheel(slots, 0)
		}()
	}
}

func TestArmingAllocatesNothing(t *testing.T) {
	w := NewWheel(512, 0)
	ts := timers(1000)
	if n := testing.AllocsPerRun(10, func() {
		for i := range ts {
			w.Arm(&ts[i], w.now+Tick(i))
		}
		w.Advance(w.now+2000, func(*Timer) {})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestWheelAgreesWithASortedModel arms, moves, disarms and advances at random,
// also from within fire, and compares with a map from timer to tick.
func TestWheelAgreesWithASortedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := Tick(rapid.Uint32().Draw(t, "start"))
		w := NewWheel(1<<rapid.IntRange(0, 6).Draw(t, "bits"), now)
		ts := timers(8)
		model := make(map[int]Tick)
		index := rapid.IntRange(0, len(ts)-1)
		delay := rapid.Int32Range(-10, 300)
		arm := func(t *rapid.T) {
			i, d := index.Draw(t, "timer"), delay.Draw(t, "delay")
			w.Arm(&ts[i], now+Tick(d))
			model[i] = now + Tick(max(d, 1))
		}
		disarm := func(t *rapid.T) {
			i := index.Draw(t, "timer")
			w.Disarm(&ts[i])
			delete(model, i)
		}
		t.Repeat(map[string]func(*rapid.T){
			"arm":    arm,
			"disarm": disarm,
			"hasten": func(t *rapid.T) {
				i, d := index.Draw(t, "timer"), delay.Draw(t, "delay")
				w.Hasten(&ts[i], now+Tick(d))
				if at, armed := model[i]; !armed || (now + Tick(d)).Before(at) {
					model[i] = now + Tick(max(d, 1))
				}
			},
			"advance": func(t *rapid.T) {
				now += Tick(rapid.IntRange(0, 200).Draw(t, "ticks"))
				w.Advance(now, func(timer *Timer) {
					i := int(timer.Slot)
					at, armed := model[i]
					if !armed || now.Before(at) {
						t.Fatalf("timer %d fired at %d; armed %v for %d", i, now, armed, at)
					}
					delete(model, i)
					switch rapid.IntRange(0, 3).Draw(t, "in fire") {
					case 0:
						arm(t)
					case 1:
						disarm(t)
					}
				})
				for i, at := range model {
					if !now.Before(at) {
						t.Fatalf("timer %d, due at %d, did not fire by %d", i, at, now)
					}
				}
			},
			"": func(t *rapid.T) {
				if w.Len() != len(model) || w.now != now {
					t.Fatalf("%d timers at %d, want %d at %d", w.Len(), w.now, len(model), now)
				}
				for i := range ts {
					if _, armed := model[i]; w.Armed(&ts[i]) != armed {
						t.Fatalf("timer %d: armed %v, model %v", i, w.Armed(&ts[i]), slices.Collect(maps.Keys(model)))
					}
				}
			},
		})
	})
}

// BenchmarkWheelArm moves one of many timers, as a session does that got a
// message.
func BenchmarkWheelArm(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("timers=%d", n), func(b *testing.B) {
			w, ts := fullWheel(n)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				w.Arm(&ts[i], w.now+250)
				i = (i + 7919) % n
			}
		})
	}
}

// BenchmarkWheelAdvance serves a tick in which a 250th of the timers fire and
// are armed again. The cost of one timer is reported apart.
func BenchmarkWheelAdvance(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("timers=%d", n), func(b *testing.B) {
			w, _ := fullWheel(n)
			fires := 0
			b.ReportAllocs()
			for b.Loop() {
				w.Advance(w.now+1, func(t *Timer) {
					fires++
					w.Arm(t, w.now+250)
				})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(fires, 1)), "ns/timer")
		})
	}
}

// fullWheel is the wheel of a loop with n idle sessions whose heartbeats are
// spread over 25 s of 100 ms ticks.
func fullWheel(n int) (*Wheel, []Timer) {
	w := NewWheel(512, 0)
	ts := timers(n)
	for i := range ts {
		w.Arm(&ts[i], 1+Tick(i%250))
	}
	return w, ts
}
