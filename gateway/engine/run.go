package engine

import (
	"fmt"
	"math/rand/v2"
	"time"

	"sluice/gateway/engine/transport"
	"sluice/netpoll"
	"sluice/session"
)

// New makes an engine, the index-th of a set. It runs its owner's Woken from now
// on; Run lets newcomers in.
func New(set *Set, index int, sys netpoll.System, listeners []Listener, seed uint64, owner Owner) (*Engine, error) {
	e := &Engine{
		set:      set,
		owner:    owner,
		index:    index,
		sys:      sys,
		metrics:  set.Metrics.Loop(index),
		attended: 1,
		random:   rand.New(rand.NewPCG(seed, uint64(index))),
		keys:     rand.NewChaCha8(set.secretOf(index)),

		wheel:   session.NewWheel(wheelSlots, 0),
		context: session.NewContext(session.NewPool(set.Budget)),
		deflate: session.NewDeflater(),

		stalled:  make(map[*Stream]struct{}),
		outlines: make(map[*Stream]*session.Outline),
	}
	for _, l := range listeners {
		x := &entrance{engine: e, listener: l, busy: busyNow}
		if over, ok := l.(overTransport); ok {
			x.maker, x.busy = over.maker, over.maker.Refusal()
		}
		e.entrances = append(e.entrances, x)
	}
	e.io = transport.IO{Socket: sys, Pool: e.context.Pool, HighWater: highWater}
	if err := sys.OnWake(e.guarded(e.onWake)); err != nil {
		return nil, fmt.Errorf("doorbell: %w", err)
	}
	return e, nil
}

// Run starts the clock and lets newcomers in.
func (e *Engine) Run() error {
	if err := e.sys.OnTick(Tick, func(due uint64) { e.guarded(func() { e.onTick(due) })() }); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	for _, x := range e.entrances {
		if err := x.watch(); err != nil {
			return fmt.Errorf("listener: %w", err)
		}
	}
	return nil
}

// Stop ends the clock and the doorbell, once nothing is there any more.
func (e *Engine) Stop() {
	e.woken.close()
	e.sys.StopTicking()
	e.sys.Mute()
}

// Shut gives back the engine's own descriptors after Stop. Nothing may be in the
// epoll set any more. Called by any other goroutine.
func (e *Engine) Shut() { e.sys.Shut() }

// onTick runs the deadlines and whatever else is done by the clock.
func (e *Engine) onTick(due uint64) {
	elapsed := e.sys.Now()
	e.now = session.Tick(elapsed / Tick)
	e.context.Now = e.now
	e.attended++
	e.metrics.LoopLag(elapsed%Tick + time.Duration(due-1)*Tick)

	e.wheel.Advance(e.now, e.expire)
	e.slab.settle()
	for _, x := range e.entrances {
		x.resume()
	}
	e.tight = e.set.Crowded()
	e.owner.Ticked()
	if e.now%trimTicks == 0 {
		e.Trim()
	}
	e.metrics.Publish()
}

// trimTicks is how often an engine gives back what a burst has left it.
const trimTicks = session.Tick(10 * time.Second / Tick)

// Trim gives back what a burst has left.
func (e *Engine) Trim() {
	e.context.Pool.Trim()
	e.idleHeld = nil
	e.masked = nil
	if cap(e.out) > ReadSize {
		e.out = nil
	}
}
