package engine

import (
	"math/rand/v2"
	"runtime/debug"
	"time"

	"sluice/gateway/engine/transport"
	"sluice/gateway/ordered"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// Tick is the period of the wheel, and so the precision of every deadline. Each
// tick wakes a sleeping process, and the Go runtime's monitor with it, which is
// most of what an idle gateway costs.
const Tick = 200 * time.Millisecond

// ReadSize is the engine's read buffer, and how much one socket may say before
// the others have their turn.
const ReadSize = 64 << 10

// wheelSlots times a tick is the turn of the wheel: 102.4 s.
const wheelSlots = 512

// Engine is one loop: a goroutine (the poller's), one epoll set, and the streams
// that it owns. Every method runs on that goroutine unless it says otherwise;
// that is why nothing here has a lock.
type Engine struct {
	set     *Set
	owner   Owner
	index   int
	sys     netpoll.System // the kernel as this engine sees it
	metrics *metrics.Loop
	random  *rand.Rand

	entrances []*entrance
	slab      slab
	wheel     *session.Wheel
	context   *session.Context
	deflate   *session.Deflater

	now      session.Tick
	attended session.Tick  // how many ticks it was there, from 1: while it was away it heard nobody
	pieces   [64][]byte    // what one write is made of
	out      []byte        // bytes for the stream at hand; empty between two callbacks
	answered int           // how many bytes at its front are no frames: a head, or the answer to one
	masked   []byte        // what was in it, as a client says it
	keys     *rand.ChaCha8 // for that

	silent    line // streams whose request head has not come
	departing line // streams that were refused and have not left

	stalled  map[*Stream]struct{}               // whose socket does not take what we write
	thirsty  ordered.Map[*Stream, session.Tick] // that wait for buffers, and since when
	tight    bool                               // buffers were short at the last tick, or since
	outlines map[*Stream]*session.Outline       // of what those say whose input is only skimmed
	idleHeld []*Held

	io    transport.IO
	wires wires
	woken woken

	// What was read last; nobody's between two callbacks. Behind a head that is not
	// complete there is room for a read, and for the rest of a record.
	in [2*ReadSize + transport.MaxSealed]byte
}

// Wake has the owner's Woken called. Any goroutine, until Shut.
func (e *Engine) Wake() { e.sys.Wake() }

// Uptime is the engine's clock. Any goroutine.
func (e *Engine) Uptime() time.Duration { return e.sys.Now() }

// Now is the current tick.
func (e *Engine) Now() session.Tick { return e.now }

// Micros is the engine's fine clock, in microseconds. It begins again after 71
// minutes: it is for durations under an hour.
func (e *Engine) Micros() uint32 { return uint32(e.sys.Now() / time.Microsecond) }

// Since is the time from a reading of Micros until now.
func (e *Engine) Since(t uint32) time.Duration {
	return time.Duration(e.Micros()-t) * time.Microsecond
}

// guarded keeps a panic in one of the engine's own callbacks from ending the
// process.
func (e *Engine) guarded(cb func()) func() {
	return func() {
		defer func() {
			if v := recover(); v != nil {
				e.Panicked(v)
			}
		}()
		cb()
	}
}

// Panicked counts and logs a panic.
func (e *Engine) Panicked(v any) {
	e.out, e.answered = e.out[:0], 0
	e.metrics.Inc(metrics.Panics)
	e.set.Log.Error("panic in a callback", "panic", v, "stack", string(debug.Stack()))
}

// System is the kernel as this engine sees it. Any goroutine may close a socket
// with it that no stream has.
func (e *Engine) System() netpoll.System { return e.sys }
