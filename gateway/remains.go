package gateway

import (
	"sluice/gateway/config"
	"sluice/gateway/engine"
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
	held   *engine.Held
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
	if !c.Holding() {
		return
	}
	o := c.Outline()
	if l.g.set.Crowded() { // it may be just for that
		l.forsakeHeld(c, metrics.DiscardMemory)
		l.Skim(c.Stream, o) // of what is gone the reader has seen nothing
		return
	}
	if o.Messages == 0 || !l.asks(c) {
		return
	}
	l.remain(c)
	l.Skim(c.Stream, o) // the peer's Close frame is still to come
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
	p, err := l.ReadRest(c.Stream)
	if err != nil && !c.Holding() {
		return false // the usual case
	}
	o := c.Outline()
	kept, keeping := o.Messages, true
	for total := 0; err == nil && !o.Ended() && total < mostKept+mostCounted; p, err = l.ReadRest(c.Stream) {
		total += len(p)
		o.Read(p)
		keeping = keeping && !l.g.set.Crowded() && l.HoldMore(c.Stream, p, mostKept)
		if keeping {
			kept = o.Messages
		}
	}
	l.metrics.Discarded(c.hub.metrics, metrics.DiscardMemory, o.Messages-kept)
	if c.Holding() && kept > 0 {
		l.remain(c)
	}
	if o.Closed {
		c.Closing.Receive(nil, o.Code) // nobody is there to be answered
	}
	return o.Closed
}

// remain makes remains of the input of c that waits.
func (l *loop) remain(c *client) {
	budget := remainsPatience * c.hub.now.Load().config.Upstream.Budget
	h, reader := l.TakeInput(c.Stream)
	l.remains.Set(c, &remains{held: h, reader: reader, until: l.Now() + 1 + ticks(config.Duration(budget))})
}

// forsake gives up what is left of c, and counts the messages in it.
func (l *loop) forsake(c *client, why metrics.Discard) {
	r, ok := l.remains.Get(c)
	if !ok {
		return
	}
	l.remains.Delete(c)
	o := r.reader.Outline()
	o.Read(r.held.Bytes())
	l.metrics.Discarded(c.hub.metrics, why, o.Messages)
	l.ReleaseReader(&r.reader)
	l.GiveBack(r.held)
}

// forsakeHeld gives up all that c has said and the upstream was not asked.
func (l *loop) forsakeHeld(c *client, why metrics.Discard) {
	l.forsake(c, why)
	if c.Holding() {
		l.metrics.Discarded(c.hub.metrics, why, c.Outline().Messages)
		l.LoseInput(c.Stream)
	}
}

// relieveRemains gives up what those have left who are gone, while the buffers
// of the node are almost used up: before anybody who is there has to go.
func (l *loop) relieveRemains() {
	for c := range l.remains.Keys() {
		if !l.g.set.Crowded() {
			return
		}
		l.forsake(c, metrics.DiscardMemory)
	}
}
