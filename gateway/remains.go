package gateway

import (
	"sluice/gateway/config"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// remains are what a client has said that the upstream could not be asked yet
// when its session ended. They go there in order, one message after the answer
// to the other, before the upstream is told of the end; the answers reach
// nobody. A client that has remains has an event under way: so there are never
// more of them than an upstream lets wait, and no clock has to look after them.
type remains struct {
	held   *held
	reader session.Reader // stands where the held input begins
	until  session.Tick   // the rest is given up then
}

const (
	// mostKept is how many bytes of a client that is gone are kept at most:
	// more than a socket holds that is not read.
	mostKept = 256 << 10
	// mostCounted is how many more are looked at, to count what is lost.
	mostCounted = 1 << 20
	// remainsPatience is how many times the budget of an event all that is left
	// of a client may take.
	remainsPatience = 2
)

// leaveBehind keeps what was read of c and waits, when its session ends in
// another callback than that of its frames. The caller calls carryOn when the
// end has been made.
func (l *loop) leaveBehind(c *client) {
	h := c.held
	if h == nil || !c.upgraded {
		return
	}
	o := c.Reader.Outline()
	o.Read(h.buf[h.off:])
	if l.g.crowded() { // it may be just for that
		l.forsakeHeld(c, metrics.DiscardMemory)
		l.outlines[c] = o // of what is gone the reader has seen nothing
		return
	}
	if o.Messages == 0 || !l.asks(c) {
		return
	}
	c.held = nil
	l.metrics.Gauge(metrics.ParkedSessions, -1)
	l.remain(c, h)
	l.outlines[c] = o // the peer's Close frame is still to come
}

// asks reports whether the upstream of c is one that messages wait for.
func (l *loop) asks(c *client) bool {
	t := c.hub.now.Load().traits
	return !t.Inline && t.Events&upstream.Message != 0
}

// leaveAll is leaveBehind for a client whose socket is about to be closed, with
// what the socket still has. It reports whether the client's Close frame is
// among that, and takes it.
func (l *loop) leaveAll(c *client) (closed bool) {
	if !l.asks(c) {
		return false
	}
	n, err := l.sys.Read(c.conn, l.in[:])
	if err != nil && c.held == nil {
		return false // the usual case
	}
	o := c.Reader.Outline()
	if c.held != nil {
		o.Read(c.held.buf[c.held.off:])
	}
	kept, keeping := o.Messages, true
	for total := 0; err == nil && !o.Ended() && total < mostKept+mostCounted; n, err = l.sys.Read(c.conn, l.in[:]) {
		total += n
		l.metrics.ReceivedBytes(c.counts(), n)
		o.Read(l.in[:n])
		if keeping = keeping && l.keep(c, l.in[:n]); keeping {
			kept = o.Messages
		}
	}
	l.metrics.Discarded(c.hub.metrics, metrics.DiscardMemory, o.Messages-kept)
	if h := c.held; h != nil && kept > 0 {
		c.held = nil
		l.metrics.Gauge(metrics.ParkedSessions, -1)
		l.remain(c, h)
	}
	if o.Closed {
		c.Closing.Receive(nil, o.Code) // nobody is there to be answered
	}
	return o.Closed
}

// keep adds p to the input of c that waits, and reports whether there was room.
func (l *loop) keep(c *client, p []byte) bool {
	if l.g.crowded() {
		return false
	}
	h := c.held
	if h == nil {
		if !l.hold(c, p) {
			return false
		}
		l.metrics.Gauge(metrics.ParkedSessions, 1)
		return true
	}
	if len(h.buf)+len(p) > mostKept {
		return false
	}
	grown := l.context.Pool.Grow(h.buf, len(h.buf)+len(p))
	if grown == nil {
		return false
	}
	h.buf = append(grown, p...)
	return true
}

// remain makes remains of h and of what the reader holds.
func (l *loop) remain(c *client, h *held) {
	budget := remainsPatience * c.hub.now.Load().config.Upstream.Budget
	l.remains.set(c, &remains{held: h, reader: c.Reader, until: l.now + 1 + ticks(config.Duration(budget))})
	c.Reader = session.Reader{}
}

// carryOn takes what c has left behind to its upstream, up to a message whose
// answer has to be waited for. It reports whether an answer is waited for.
func (l *loop) carryOn(c *client) (waits bool) {
	for !c.waiting {
		r, ok := l.remains.get(c)
		if !ok {
			break // an answer at once may end them
		}
		if !l.now.Before(r.until) {
			l.forsake(c, metrics.DiscardTimeout)
			break
		}
		hs := c.hub.now.Load()
		in, n, err := r.reader.Next(l.context, &hs.limits, r.held.buf[r.held.off:], true)
		r.held.off += n
		switch {
		case err == session.ErrBudget:
			l.forsake(c, metrics.DiscardMemory)
		case err != nil || in.Kind == session.None || in.Kind == session.Close:
			r.held.off = len(r.held.buf)
			l.forsake(c, metrics.DiscardTimeout) // of nothing
		case in.Kind == session.Message:
			l.message(c, hs, in)
		}
	}
	return c.waiting
}

// forsake gives up what is left of c, and counts the messages in it.
func (l *loop) forsake(c *client, why metrics.Discard) {
	r, ok := l.remains.get(c)
	if !ok {
		return
	}
	l.remains.delete(c)
	o := r.reader.Outline()
	o.Read(r.held.buf[r.held.off:])
	l.metrics.Discarded(c.hub.metrics, why, o.Messages)
	r.reader.Release(l.context)
	l.giveBack(r.held)
}

// forsakeHeld gives up all that c has said and the upstream was not asked.
func (l *loop) forsakeHeld(c *client, why metrics.Discard) {
	l.forsake(c, why)
	if h := c.held; h != nil {
		o := c.Reader.Outline()
		o.Read(h.buf[h.off:])
		l.metrics.Discarded(c.hub.metrics, why, o.Messages)
		l.unhold(c)
	}
}

// heed looks for the Close frame in the input p of a client that has remains:
// all else that comes now is too late.
func (l *loop) heed(c *client, o *session.Outline, p []byte) {
	before := o.Messages
	o.Read(p)
	l.metrics.Discarded(c.hub.metrics, metrics.DiscardClosing, o.Messages-before)
	switch {
	case o.Err != nil:
		l.violated(c, o.Err)
	case o.Closed:
		l.closed(c, session.Input{Kind: session.Close, Code: o.Code})
	}
}

// relieveRemains gives up what those have left who are gone, while the buffers
// of the node are almost used up: before anybody who is there has to go.
func (l *loop) relieveRemains() {
	for c := range l.remains.keys() {
		if !l.g.crowded() {
			return
		}
		l.forsake(c, metrics.DiscardMemory)
	}
}
