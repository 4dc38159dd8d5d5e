package session

// Tick is a moment on a loop's clock, counted in turns of its timer. It wraps
// around, so moments are compared with Before and never with <; two of them
// must lie less than 2^31 ticks apart.
type Tick uint32

// Before reports whether t is earlier than u.
func (t Tick) Before(u Tick) bool { return int32(t-u) < 0 }

// Timer is one deadline of one owner, linked into a Wheel while it is armed.
// The zero Timer is ready to be armed. It must stay where it is in memory while
// armed, and belongs to the goroutine that runs the wheel.
type Timer struct {
	next, prev *Timer
	at         Tick
	// Slot names the owner to the function that Advance calls. The wheel does
	// not read it.
	Slot uint32
}

// Wheel holds the deadlines of one loop: a hashed timer wheel (Varghese and
// Lauck, scheme 6) whose lists run through the timers themselves, so nothing is
// allocated after NewWheel and arming costs the same however many there are.
// One goroutine only.
type Wheel struct {
	now   Tick
	mask  Tick
	armed int
	// slots are the heads of circular lists; a timer waits in the list of the
	// low bits of its tick, and one that is farther away than a turn is passed
	// over until its turn comes.
	slots []Timer
	// due is the head of the timers that Advance has collected and not fired
	// yet. A timer in it still counts as armed, so that it can be disarmed or
	// moved by the one that fires before it.
	due Timer
}

// NewWheel returns a wheel at the tick now. slots must be a power of two; a
// turn should be longer than the usual deadline.
func NewWheel(slots int, now Tick) *Wheel {
	if slots <= 0 || slots&(slots-1) != 0 {
		panic("session: the slots of a wheel must be a power of two")
	}
	w := &Wheel{now: now, mask: Tick(slots - 1), slots: make([]Timer, slots)}
	for i := range w.slots {
		w.slots[i].empty()
	}
	w.due.empty()
	return w
}

// Len is the number of armed timers.
func (w *Wheel) Len() int { return w.armed }

// Armed reports whether t waits in the wheel.
func (w *Wheel) Armed(t *Timer) bool { return t.next != nil }

// Hasten lets t fire at the given tick unless it is armed to fire before that.
func (w *Wheel) Hasten(t *Timer, at Tick) {
	if t.next == nil || at.Before(t.at) {
		w.Arm(t, at)
	}
}

// Arm lets t fire at the given tick, and moves it when it is armed already. A
// tick that is not after Now fires at the next one.
func (w *Wheel) Arm(t *Timer, at Tick) {
	w.Disarm(t)
	if !w.now.Before(at) {
		at = w.now + 1
	}
	t.at = at
	w.slots[at&w.mask].push(t)
	w.armed++
}

// Disarm takes t out of the wheel. It does nothing when t is not armed.
func (w *Wheel) Disarm(t *Timer) {
	if t.next == nil {
		return
	}
	t.unlink()
	w.armed--
}

// Advance moves the clock to the tick to and fires every timer that is due by
// then: each is disarmed first and then given to fire, which may arm and disarm
// any timer, also those that are about to fire, but must not call Advance.
// During fire the clock shows to. Timers fire in the order of their ticks as
// long as the step is shorter than a turn. However long the step, each slot is
// visited once. When fire panics, the timers behind it fire at the next call.
func (w *Wheel) Advance(to Tick, fire func(*Timer)) {
	if w.now.Before(to) {
		w.collect(to)
		w.now = to
	}
	for w.due.next != &w.due {
		t := w.due.next
		w.Disarm(t)
		fire(t)
	}
}

// collect moves the timers that are due at the tick to from their slots to the
// list of due ones.
func (w *Wheel) collect(to Tick) {
	steps := min(to-w.now, Tick(len(w.slots)))
	for i := range steps {
		head := &w.slots[(w.now+1+i)&w.mask]
		for t := head.next; t != head; {
			next := t.next
			if !to.Before(t.at) {
				t.unlink()
				w.due.push(t)
			}
			t = next
		}
	}
}

// empty makes t the head of an empty list.
func (t *Timer) empty() { t.next, t.prev = t, t }

// push puts last at the end of the list whose head is t.
func (t *Timer) push(last *Timer) {
	last.prev, last.next = t.prev, t
	last.prev.next, t.prev = last, last
}

func (t *Timer) unlink() {
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
}
