package gateway

import (
	"math/rand/v2"
	"sync"

	"github.com/gobwas/ws"

	"sluice/gateway/engine"
	"sluice/gateway/handshake"
	"sluice/gateway/ordered"
	"sluice/gateway/trace"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// loop is one engine, and what the node does with its streams. Every method runs
// on the engine's goroutine unless it says otherwise; that is why nothing here has
// a lock but the mailbox.
type loop struct {
	*engine.Engine
	g       *Gateway
	index   int
	mail    mailbox
	clients clients
	metrics *metrics.Loop
	random  *rand.Rand

	upgrade  *handshake.Upgrader
	head     handshake.Head // of the client at hand
	bodiless bool           // the request at hand is a HEAD: no answer to it has a body
	event    upstream.Event // what the upstream is told: on the heap once, not once a message

	petitions map[*client]*petition          // who waits for a verdict
	partings  map[*client]parting            // closes that wait for an answer
	withheld  map[*mailbox][]withheld        // replies that wait for room, by whose; nil: the budget's
	remains   ordered.Map[*client, *remains] // of sessions that have ended
	traced    map[*client]*trace.Span        // handshakes under way whose head is known; nil: nothing is traced
	drain     *drain                         // nil while serving
	over      bool                           // everything was dropped; the last letters are read
	stopped   sync.Once
}

// newLoop makes a loop that reads its mail, so that it can be stopped; run
// lets clients in.
func newLoop(g *Gateway, index int, sys netpoll.System, listeners []engine.Listener, seed uint64) (l *loop, err error) {
	l = &loop{
		g:       g,
		index:   index,
		metrics: g.metrics.Loop(index),
		random:  rand.New(rand.NewPCG(seed, uint64(index)+1<<32)),
		upgrade: handshake.NewUpgrader(),

		petitions: make(map[*client]*petition),
		partings:  make(map[*client]parting),
		withheld:  make(map[*mailbox][]withheld),
	}
	if g.tracer != nil {
		l.traced = make(map[*client]*trace.Span)
	}
	l.Engine, err = engine.New(&g.set, index, sys, listeners, seed, l)
	return l, err
}

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
	return l.Run()
}

// stop drops every session and ends the loop. It reports whether somebody was
// cut off. Called by any other goroutine.
func (l *loop) stop() (cut bool) {
	l.stopped.Do(func() {
		l.do(func(l *loop) { cut = l.end() })
		l.Shut()
	})
	return cut
}

// end is in the last letter but those that are in the mailbox already: these
// are read still, so that nobody waits for them for ever. It reports whether
// somebody was cut off.
func (l *loop) end() (cut bool) {
	l.mail.close()
	l.over = true
	l.CloseEntrances()
	l.all(func(c *client) {
		defer l.Guard(c.Stream)
		cut = cut || c.Engaged()
		l.abandon(c, metrics.ReasonShutdown)
	})
	l.cutDrain()
	l.Stop()
	l.metrics.Publish()
	return cut
}

// do runs f on the loop and waits for it. It must not be called by a loop.
func (l *loop) do(f func(*loop)) bool {
	done := make(chan struct{})
	if !l.post(letter{run: func(l *loop) bool {
		defer close(done)
		f(l)
		return true
	}}) {
		return false
	}
	<-done
	return true
}

// What follows is the [Owner] of the loop's streams.

// Room implements Owner.
func (l *loop) Room() bool { return l.g.descriptorsLeft() > 0 }

// Came implements Owner.
func (l *loop) Came(s *engine.Stream) {
	l.clients.reach(l.Engine, s.Slot())
	*l.of(s) = client{Stream: s, began: l.Micros()} // of whoever was here before it has nothing
}

// Dialled implements Owner. Nobody dials yet.
func (l *loop) Dialled(*engine.Stream) {}

// Head implements Owner.
func (l *loop) Head(s *engine.Stream, head, rest []byte) {
	l.bodiless = handshake.AsksForHead(head)
	defer func() { l.bodiless = false }()
	l.answerHead(l.of(s), head, rest)
}

// BadHead implements Owner.
func (l *loop) BadHead(s *engine.Stream, got []byte, err error) {
	l.bodiless = handshake.AsksForHead(got)
	defer func() { l.bodiless = false }()
	l.refuse(l.of(s), err)
}

// Message implements Owner.
func (l *loop) Message(s *engine.Stream, op ws.OpCode, payload []byte) {
	c := l.of(s)
	l.message(c, c.hub.now.Load(), op, payload)
}

// Due implements Owner.
func (l *loop) Due(s *engine.Stream) (next session.Tick, some bool) { return l.due(l.of(s)) }

// Ending implements Owner.
func (l *loop) Ending(s *engine.Stream, socket bool) {
	c := l.of(s)
	if !socket {
		l.leaveBehind(c)
	} else if l.leaveAll(c) {
		s.SetReason(metrics.ReasonClientClose)
	}
	l.unpart(c)
	if s.State() != engine.Open { // or the answers would find a session: Gone goes on
		l.carryOn(c)
	}
}

// Gone implements Owner.
func (l *loop) Gone(s *engine.Stream, from engine.State) { l.gone(l.of(s), from) }

// Broken implements Owner.
func (l *loop) Broken(s *engine.Stream) {
	c := l.of(s)
	if c.State() == engine.Gone { // it was the farewell that panicked
		l.vacate(c)
		return
	}
	l.abandon(c, metrics.ReasonPanic)
}

// Pressed implements Owner.
func (l *loop) Pressed() { l.g.relieve() }

// Woken implements Owner.
func (l *loop) Woken() { l.readMail() }

// Ticked implements Owner.
func (l *loop) Ticked() {
	if l.g.set.Crowded() {
		l.relieveRemains()
		l.g.relieve()
	}
	if l.Thirsty() {
		l.quench()
	}
	if len(l.withheld[nil]) > 0 {
		l.post(letter{run: func(l *loop) bool { return l.publishWithheld(nil) }})
	}
	if l.drain != nil {
		l.drainTick()
	}
}
