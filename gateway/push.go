package gateway

import (
	"errors"

	"github.com/gobwas/ws"

	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

var (
	// ErrUnknown says that an id names no session of this node.
	ErrUnknown = errors.New("no such connection")
	// ErrFull says that a loop has as much to deliver as it may hold: come
	// back later.
	ErrFull = errors.New("too much waits for delivery")
)

// Push sends a message, op being text or binary, to one session. It returns as
// soon as the session's loop has it; data belongs to the gateway from then on.
// Any goroutine.
func (g *Gateway) Push(id string, op ws.OpCode, data []byte) error {
	ref, ok := g.ids.Decode(id)
	if !ok || ref.Node != g.node || int(ref.Loop) >= len(g.loops) {
		return ErrUnknown
	}
	if !g.loops[ref.Loop].post(letter{to: ref, push: true, reply: upstream.Reply{Op: op, Data: data}}, letterSize+len(data)) {
		return ErrFull
	}
	return nil
}

// Disconnect closes one session with a code and a reason for the client.
func (g *Gateway) Disconnect(id string, code ws.StatusCode, text string) error {
	ref, ok := g.ids.Decode(id)
	if !ok || ref.Node != g.node || int(ref.Loop) >= len(g.loops) {
		return ErrUnknown
	}
	run := func(l *loop) bool {
		if c := l.slab.find(ref); c != nil {
			l.dismiss(c, code, metrics.ReasonBackend, text)
		}
		return true
	}
	if !g.loops[ref.Loop].post(letter{run: run}, 0) {
		return ErrUnknown
	}
	return nil
}

// Broadcast sends a message to every session of a hub. The frame is encoded
// once, and once more for each deflate window in use. A session gets it once,
// if it is open when its loop comes to it and stays so.
func (g *Gateway) Broadcast(hub string, op ws.OpCode, data []byte) error {
	plain := session.NewShared(session.AppendFrame(nil, op, data), nil)
	err := error(nil)
	for _, l := range g.loops {
		b := &broadcast{hub: hub, op: op, data: data}
		b.frames[0] = plain
		plain.Retain(1)
		if !l.post(letter{run: b.run}, b.size()) {
			plain.Release()
			err = ErrFull
		}
	}
	plain.Release()
	return err
}

// broadcast is a message on its way to all sessions of a hub on one loop.
type broadcast struct {
	hub    string
	op     ws.OpCode
	data   []byte
	frames [16]*session.Shared // by window bits; 0: not compressed
	cursor uint32              // the next slot
}

// size is what the broadcast takes of a mailbox.
func (b *broadcast) size() int { return letterSize + len(b.data) }

// run serves slots for a slice of time, and is true when all had their turn.
// A slot is visited once, whoever comes and goes meanwhile.
func (b *broadcast) run(l *loop) bool {
	for begin := l.micros(); b.cursor < l.slab.slots(); b.cursor++ {
		if b.cursor%64 == 63 && l.since(begin) > slice {
			b.cursor++
			b.visit(l, l.slab.at(b.cursor-1))
			return false
		}
		b.visit(l, l.slab.at(b.cursor))
	}
	for _, f := range b.frames {
		if f != nil {
			f.Release()
		}
	}
	l.mail.delivered(b.size())
	return true
}

func (b *broadcast) visit(l *loop, c *client) {
	if c.state != open || c.hub.name != b.hub {
		return
	}
	defer c.guard()
	f := b.frames[c.windowBits]
	if f == nil {
		f = session.NewShared(l.deflate.AppendFrame(nil, b.op, b.data, int(c.windowBits)), nil)
		b.frames[c.windowBits] = f
	}
	l.metrics.Sent(c.hub.index, len(b.data))
	l.sendShared(c, f)
}
