package gateway

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"sluice/gateway/handshake"
	"sluice/gateway/trace"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// readSize is the loop's read buffer, and how much one socket may say before
// the others have their turn.
const readSize = 64 << 10

// loop is one goroutine (the poller's), one epoll set, and the sessions it
// owns. Every method runs on that goroutine unless it says otherwise; that is
// why nothing here has a lock but the mailbox.
type loop struct {
	g     *Gateway
	index int

	entrances []*entrance
	sys       netpoll.System // the kernel as this loop sees it
	pieces    [64][]byte     // what one write is made of
	mail      mailbox

	slab    slab
	wheel   *session.Wheel
	context *session.Context
	deflate *session.Deflater
	upgrade *handshake.Upgrader
	head    handshake.Head
	metrics *metrics.Loop
	random  *rand.Rand

	now      session.Tick
	attended session.Tick // how many ticks it was there, from 1: while it was away it heard nobody

	in       [readSize]byte // what was read last; nobody's between two callbacks
	out      []byte         // frames for the client at hand; empty between two callbacks
	bodiless bool           // the request at hand is a HEAD: no answer to it has a body
	event    upstream.Event // what the upstream is told: on the heap once, not once a message

	silent    line // clients whose request head has not come
	departing line // clients that were refused and have not left

	stalled  map[*client]struct{}           // clients that do not read as fast as we write
	thirsty  ordered[*client, session.Tick] // clients that wait for buffers, and since when
	tight    bool                           // buffers were short at the last tick, or since
	partings map[*client]parting            // closes that wait for an answer
	remains  ordered[*client, *remains]     // of sessions that have ended
	outlines map[*client]*session.Outline   // of what those of them say whose Close frame is awaited
	traced   map[*client]*trace.Span        // handshakes under way whose head is known; nil: nothing is traced
	idleHeld []*held
	drain    *drain // nil while serving
	over     bool   // everything was dropped; the last letters are read
	stopped  sync.Once
}

// newLoop makes a loop that reads its mail, so that it can be stopped; run
// lets clients in.
func newLoop(g *Gateway, index int, sys netpoll.System, seed uint64) (l *loop, err error) {
	pool := session.NewPool(g.budget)
	l = &loop{
		g:        g,
		index:    index,
		sys:      sys,
		wheel:    session.NewWheel(wheelSlots, 0),
		context:  session.NewContext(pool),
		deflate:  session.NewDeflater(),
		upgrade:  handshake.NewUpgrader(),
		metrics:  g.metrics.Loop(index),
		random:   rand.New(rand.NewPCG(seed, uint64(index))),
		attended: 1,
		stalled:  make(map[*client]struct{}),

		partings: make(map[*client]parting),
		outlines: make(map[*client]*session.Outline),
	}
	if g.tracer != nil {
		l.traced = make(map[*client]*trace.Span)
	}
	if err := sys.OnWake(l.guarded(l.readMail)); err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	return l, nil
}

// wheelSlots times a tick is the turn of the wheel: 102.4 s.
const wheelSlots = 512

// run starts the clock and lets clients in, unless the loop was stopped.
// Called by any other goroutine.
func (l *loop) run() (err error) {
	l.do(func(l *loop) { err = l.begin() })
	return err
}

// begin is run, on the loop.
func (l *loop) begin() error {
	if l.over {
		return nil
	}
	if err := l.sys.OnTick(tick, func(due uint64) { l.guarded(func() { l.onTick(due) })() }); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	for _, e := range l.entrances {
		if err := e.watch(); err != nil {
			return fmt.Errorf("listener: %w", err)
		}
	}
	return nil
}

// engaged reports whether c, which is there, would miss its socket. One that has
// said nothing yet, as a browser keeps it for later, would not; an orphan has
// none.
func (c *client) engaged() bool {
	return c.conn.Open() && (c.state != heading || c.held != nil)
}

// closeEntrances ends this loop's accepting for good.
func (l *loop) closeEntrances() {
	for _, e := range l.entrances {
		e.close()
	}
}

// stop drops every session and ends the loop. It reports whether somebody was
// cut off. Called by any other goroutine.
func (l *loop) stop() (cut bool) {
	l.stopped.Do(func() {
		l.do(func(l *loop) { cut = l.end() })
		l.release()
	})
	return cut
}

// end is in the last letter but those that are in the mailbox already: these
// are read still, so that nobody waits for them for ever. It reports whether
// somebody was cut off.
func (l *loop) end() (cut bool) {
	l.mail.close()
	l.over = true
	l.closeEntrances()
	l.slab.all(func(c *client) {
		defer c.guard()
		cut = cut || c.engaged()
		l.abandon(c, metrics.ReasonShutdown)
	})
	l.sys.StopTicking()
	l.sys.Mute()
	l.metrics.Publish()
	return cut
}

// release gives back the loop's own descriptors. Nothing may be in the epoll
// set any more.
func (l *loop) release() {
	l.sys.Shut()
}

// do runs f on the loop and waits for it. It must not be called by a loop.
func (l *loop) do(f func(*loop)) bool {
	done := make(chan struct{})
	if !l.post(letter{run: func(l *loop) bool {
		defer close(done)
		f(l)
		return true
	}}, 0) {
		return false
	}
	<-done
	return true
}

// guarded keeps a panic in one of the loop's own callbacks from ending the
// process.
func (l *loop) guarded(cb func()) func() {
	return func() {
		defer func() {
			if v := recover(); v != nil {
				l.panicked(v)
			}
		}()
		cb()
	}
}

// panicked counts and logs a panic.
func (l *loop) panicked(v any) {
	l.out = l.out[:0]
	l.metrics.Inc(metrics.Panics)
	l.g.log.Error("panic in a callback", "panic", v, "stack", string(debug.Stack()))
}

// guard is deferred by the callbacks of a client: a panic ends that session
// and no other.
func (c *client) guard() {
	v := recover()
	if v == nil {
		return
	}
	l := c.loop
	l.lose(c, metrics.DropGone, l.out, 0)
	l.panicked(v)
	if c.state != vacant {
		defer func() {
			if recover() != nil { // its end panics, too
				l.sys.Close(&c.conn)
				l.vacate(c)
			}
		}()
		if c.state == orphaned { // it was the farewell that panicked
			l.vacate(c)
			return
		}
		l.abandon(c, metrics.ReasonPanic)
	}
}

// uptime is the loop's clock.
func (l *loop) uptime() time.Duration { return l.sys.Now() }

// micros is the loop's fine clock, for durations under an hour.
func (l *loop) micros() uint32 { return uint32(l.uptime() / time.Microsecond) }

// since is the time from a reading of micros until now.
func (l *loop) since(t uint32) time.Duration {
	return time.Duration(l.micros()-t) * time.Microsecond
}

// onTick runs the deadlines and whatever else is done by the clock.
func (l *loop) onTick(due uint64) {
	elapsed := l.uptime()
	l.now = session.Tick(elapsed / tick)
	l.context.Now = l.now
	l.attended++
	l.metrics.LoopLag(elapsed%tick + time.Duration(due-1)*tick)

	l.wheel.Advance(l.now, l.expire)
	l.slab.settle()
	for _, e := range l.entrances {
		e.resume()
	}
	if l.tight = l.g.crowded(); l.tight {
		l.relieveRemains()
		l.g.relieve()
	}
	if l.thirsty.len() > 0 {
		l.post(letter{run: new(quench).run}, 0)
	}
	if l.drain != nil {
		l.drainTick()
	}
	if l.now%trimTicks == 0 {
		l.trim()
	}
	l.metrics.Publish()
}

// trimTicks is how often a loop gives back what a burst has left it.
const trimTicks = session.Tick(10 * time.Second / tick)

func (l *loop) trim() {
	l.context.Pool.Trim()
	l.idleHeld = nil
	if cap(l.out) > readSize {
		l.out = nil
	}
}

// hold keeps a copy of p, which could not be processed yet. It is false when
// the node's budget is used up.
func (l *loop) hold(c *client, p []byte) bool {
	h := c.held
	if h == nil {
		if n := len(l.idleHeld); n > 0 {
			h, l.idleHeld = l.idleHeld[n-1], l.idleHeld[:n-1]
		} else {
			h = new(held)
		}
		if c.upgraded { // it is read: a session's loss is more than a newcomer's
			l.context.Pool.Reserved(func() { h.buf = l.context.Pool.Get(len(p)) })
		} else {
			h.buf = l.context.Pool.Get(len(p))
		}
		if h.buf == nil {
			l.g.metrics.Reached(metrics.LimitBuffered)
			return false
		}
		c.held = h
	}
	if cap(h.buf) < len(p) {
		grown := l.context.Pool.Grow(h.buf, len(p))
		if grown == nil {
			l.g.metrics.Reached(metrics.LimitBuffered)
			return false
		}
		h.buf = grown
	}
	h.buf = append(h.buf[:0], p...)
	h.off = 0
	return true
}

// letGo gives back what hold took.
func (l *loop) letGo(c *client) {
	if h := c.held; h != nil {
		c.held = nil
		l.giveBack(h)
	}
}

// giveBack gives back what a client does not hold any more.
func (l *loop) giveBack(h *held) {
	if h != nil {
		l.context.Pool.Put(h.buf)
		*h = held{}
		l.idleHeld = append(l.idleHeld, h)
	}
}
