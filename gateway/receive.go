package gateway

import (
	"errors"
	"io"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// handle is what the poller calls when something happens to the socket of c.
func (c *client) handle(ev netpoll.Event) {
	l := c.loop
	if !c.conn.Open() {
		l.metrics.Inc(metrics.StaleEvents)
		return
	}
	defer c.guard()
	if ev&netpoll.Out != 0 && c.writing {
		l.drainQueue(c)
	}
	if ev&(netpoll.In|hangup) == 0 {
		return
	}
	if c.state == heading {
		more := l.readHead(c)
		if c.state == asking && (more || ev&hangup != 0) {
			c.missed |= ev
		}
		if c.state != open || !more && ev&hangup == 0 {
			return
		}
	}
	l.receive(c, ev)
}

// receive reads what the socket has and serves it. Replies to what came with
// one read leave with one write.
func (l *loop) receive(c *client, ev netpoll.Event) {
	for taken := 0; c.conn.Open(); {
		if c.held != nil {
			// Reading is stopped: TCP slows the client down. What the event
			// said is kept for when it goes on. Only an end of both
			// directions needs no waiting.
			c.missed |= ev
			if ev&(netpoll.Hup|netpoll.Err) != 0 {
				l.drop(c, metrics.ReasonReset)
			}
			return
		}
		size := l.readSize(c)
		n, err := l.sys.Read(c.conn, l.in[:size])
		switch {
		case err == netpoll.ErrWouldBlock:
			return
		case err == io.EOF && (c.parked() || c.writing) && ev&(netpoll.Hup|netpoll.Err) == 0:
			// The peer says no more, but may still hear what its last message
			// is answered. The end is found again when that is done.
			c.missed |= ev
			return
		case err != nil:
			l.drop(c, lost(err))
			return
		}
		l.metrics.ReceivedBytes(c.counts(), n)
		c.Heartbeat.Seen(l.now)
		l.take(c, l.in[:n])
		l.flush(c)
		if n < size && ev&hangup == 0 {
			return // a short read is the end, unless data and FIN came as one event
		}
		if taken += n; taken >= readSize && c.conn.Open() && c.held == nil {
			// The others first: Mod reports a socket that is still readable again.
			l.sys.Mod(c.conn.FD(), c.interest())
			return
		}
	}
}

// readSize is how much is read of c at once. Where sessions get parked it is
// little, so that little has to wait, until a long message is announced.
func (l *loop) readSize(c *client) int {
	if c.hub == nil {
		return readSize
	}
	if l.tight {
		return tightRead
	}
	return min(max(c.hub.now.Load().read, c.Announced()), readSize)
}

// lost is the reason for a read or write error.
func lost(err error) metrics.Reason {
	if err == io.EOF {
		return metrics.ReasonEOF
	}
	return metrics.ReasonReset
}

// take serves the frames in p, and holds what has to wait.
func (l *loop) take(c *client, p []byte) {
	n := l.serve(c, p)
	if c.state != open {
		return
	}
	if n < len(p) {
		if !l.hold(c, p[n:]) {
			l.fail(c, tryAgainLater, metrics.ReasonMemory, "out of buffers")
			return
		}
		l.metrics.Gauge(metrics.ParkedSessions, 1)
	}
}

// reading reports whether input of c still means anything.
func (c *client) reading() bool { return c.state == open || c.state == closing }

// serve serves the frames at the front of p and returns how many bytes it
// took. It stops at a data frame that has to wait, and takes everything of a
// client whose input does not matter any more.
func (l *loop) serve(c *client, p []byte) (taken int) {
	if !c.reading() {
		return len(p)
	}
	if c.state == closing && len(l.outlines) > 0 {
		if o := l.outlines[c]; o != nil {
			l.heed(c, o, p)
			return len(p)
		}
	}
	hs := c.hub.now.Load()
	for {
		if len(l.out) >= readSize {
			if l.flush(c); !c.reading() {
				return len(p)
			}
		}
		in, n, err := c.Next(l.context, &hs.limits, p[taken:], !c.parked())
		taken += n
		if err == session.ErrBudget && c.state == open {
			l.thirst(c)
			return taken
		}
		if err != nil {
			l.violated(c, err)
			return len(p)
		}
		switch in.Kind {
		case session.None, session.Held:
			if c.state == open && c.Partial() && c.Started() == l.now {
				l.wheel.Hasten(&c.timer, l.now+1+l.g.settings.Load().messageAge)
			}
			return taken
		case session.Message:
			if c.state == open {
				l.message(c, hs, in)
			} else {
				l.metrics.Discarded(c.hub.metrics, metrics.DiscardClosing, 1)
			}
		case session.Ping, session.Pong:
			l.control(c, in)
		case session.Close:
			l.closed(c, in)
		}
		if !c.reading() {
			return len(p)
		}
	}
}

// message sends a message of c to its upstream and, if it has an answer at
// once, the answer back.
func (l *loop) message(c *client, hs *hubSettings, in session.Input) {
	l.metrics.Received(c.hub.metrics, len(in.Payload))
	l.ask(c, hs, upstream.Event{Type: upstream.Message, Name: "message", Op: in.Op, Data: in.Payload})
}

// control answers a ping and takes a pong.
func (l *loop) control(c *client, in session.Input) {
	s := l.g.settings.Load()
	if !c.control.Allow(time.Duration(l.now)*tick, s.control) {
		l.metrics.RateLimited(c.hub.metrics, metrics.ScopeControl)
		l.fail(c, ws.StatusPolicyViolation, metrics.ReasonControlRate, "too many control frames")
		return
	}
	if in.Kind == session.Ping {
		if c.state == open { // behind our Close frame nothing follows
			l.out = session.AppendFrame(l.out, ws.OpPong, in.Payload)
		}
		return
	}
	if sent, ok := c.Heartbeat.Answered(); ok {
		l.metrics.PingRTT(l.since(sent))
	}
}

// closed takes the peer's Close frame.
func (l *loop) closed(c *client, in session.Input) {
	if c.Closing.Open() {
		c.reason = metrics.ReasonClientClose
	}
	l.out = c.Closing.Receive(l.out, in.Code)
	l.leave(c)
}

// violated ends a session whose client broke a rule or a limit of framing.
func (l *loop) violated(c *client, err error) {
	var e *session.Error
	if !errors.As(err, &e) {
		panic(err) // the reader has no other errors
	}
	reason := metrics.ReasonProtocolError
	switch {
	case e == session.ErrBudget:
		reason = metrics.ReasonMemory
	case e == session.ErrFragments:
		reason = metrics.ReasonFragments
	case e.Code == ws.StatusMessageTooBig:
		reason = metrics.ReasonMessageTooBig
	case e.Code == ws.StatusInvalidFramePayloadData:
		reason = metrics.ReasonInvalidPayload
	}
	l.metrics.ProtocolError(l.g.metrics.KindIndex(e.Kind))
	l.fail(c, e.Code, reason, e.Error())
}

// resume goes on with a client that was parked: with what was held first,
// then with what the socket has meanwhile.
func (l *loop) resume(c *client) {
	if h := c.held; h != nil {
		if c.parked() {
			return
		}
		since, thirsty := l.thirsty.get(c)
		l.thirsty.delete(c)
		p := h.buf[h.off:]
		h.off = len(h.buf) // while it is served, nothing is left of it
		n := l.serve(c, p)
		if c.held == h { // nothing has ended the session meanwhile
			if _, still := l.thirsty.get(c); still && thirsty && n == 0 {
				l.thirsty.set(c, since)
			}
			if h.off -= len(p) - n; h.off == len(h.buf) {
				l.letGo(c)
				l.metrics.Gauge(metrics.ParkedSessions, -1)
			}
		}
		if l.flush(c); c.held != nil {
			return // parked again
		}
	}
	if ev := c.missed; ev != 0 && c.conn.Open() {
		c.missed = 0
		l.receive(c, ev)
	}
}
