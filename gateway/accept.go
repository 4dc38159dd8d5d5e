package gateway

import (
	"errors"
	"net/http"
	"time"

	"sluice/gateway/handshake"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// entrance is a listener as one loop sees it. A listener of ours belongs to
// one loop, its neighbours share the port by SO_REUSEPORT. One that was handed
// in is watched by all loops, of which epoll wakes one (EPOLLEXCLUSIVE).
type entrance struct {
	loop     *loop
	listener listener
	until    session.Tick // when accepting goes on
	delay    session.Tick // of the last pause; 0: no trouble of late
	open     bool         // the poller watches it
	shut     bool         // for good
}

// acceptsPerCall bounds how many newcomers one callback takes before the
// sessions have their turn.
const acceptsPerCall = 64

// longestPause bounds the back-off of an entrance.
const longestPause = session.Tick(time.Second / tick)

// watch makes the poller report newcomers.
func (e *entrance) watch() error {
	ev := netpoll.In
	if e.listener.Inherited() {
		ev |= netpoll.Exclusive
	}
	if err := e.loop.sys.Add(e.listener.FD(), ev, e.onEvent()); err != nil {
		return err
	}
	e.open = true
	return nil
}

// onEvent is what the poller calls.
func (e *entrance) onEvent() func(netpoll.Event) {
	accept := e.loop.guarded(e.accept)
	return func(netpoll.Event) { accept() }
}

// accept takes newcomers.
func (e *entrance) accept() {
	l := e.loop
	for range acceptsPerCall {
		if !e.open {
			return
		}
		conn, err := l.g.reserve.Accept(e.listener)
		switch {
		case err == nil:
			e.delay = 0
			l.metrics.Inc(metrics.AcceptedConnections)
			l.welcome(conn)
		case errors.Is(err, netpoll.ErrWouldBlock):
			return
		case errors.Is(err, netpoll.ErrNoDescriptors):
			// The kernel looks for a descriptor before it looks for a client,
			// so perhaps there is none.
			switch refused := l.g.reserve.Refuse(e.listener, busyNow); refused {
			case nil:
				l.metrics.AcceptError(netpoll.Errno(err))
				l.metrics.Inc(metrics.AcceptedConnections)
				l.metrics.Handshake(nil, metrics.ResultOverloaded, 0)
			case netpoll.ErrWouldBlock:
				return
			default:
				l.metrics.AcceptError(netpoll.Errno(err))
				e.pause()
				return
			}
		default:
			l.metrics.AcceptError(netpoll.Errno(err))
			l.g.log.Error("accept failed", "err", err)
			e.pause()
			return
		}
	}
}

// pause takes the listener out of the poller's sight for a while: it would
// report the same newcomer for ever.
func (e *entrance) pause() {
	e.delay = min(max(2*e.delay, 1), longestPause)
	e.until = e.loop.now + e.delay
	e.unwatch()
}

// resume ends a pause that has lasted long enough.
func (e *entrance) resume() {
	if e.open || e.shut || e.loop.now.Before(e.until) {
		return
	}
	e.loop.g.reserve.Refill() // what it lacks, the next Refuse misses
	if err := e.watch(); err != nil {
		e.pause()
	}
}

func (e *entrance) unwatch() {
	if e.open {
		e.open = false
		e.loop.sys.Del(e.listener.FD())
	}
}

// close lets in whoever has reached the queue, and nobody else. A listener
// that was handed in keeps its queue for whoever serves it next.
func (e *entrance) close() {
	if e.shut {
		return
	}
	if e.listener.Inherited() {
		e.unwatch()
		e.shut = true
		return
	}
	for queued := e.open; queued; {
		conn, err := e.listener.Accept()
		if queued = err == nil; queued {
			e.loop.metrics.Inc(metrics.AcceptedConnections)
			e.loop.welcome(conn)
		}
	}
	e.unwatch()
	e.shut = true
	e.listener.Close()
}

// errBusy is the answer to newcomers over a limit of the node.
var errBusy = &handshake.Error{Status: http.StatusServiceUnavailable, Reason: "too many connections"}

// errDraining is the answer to newcomers while the node goes away.
var errDraining = &handshake.Error{Status: http.StatusServiceUnavailable, Reason: "going away"}

// busyNow is errBusy on the wire, for newcomers that get no slot.
var busyNow = handshake.AppendResponse(nil, errBusy, handshake.Answer{RetryAfter: retryAfter})

// retryAfter is the seconds after which a refused client may come again.
const retryAfter = 5

// welcome gives a newcomer a slot, and reads at once: most have spoken before
// they are accepted.
func (l *loop) welcome(conn netpoll.Conn) {
	if !l.makeRoom() {
		l.turnAway(conn)
		return
	}
	c := l.admit(conn)
	defer c.guard()
	l.readHead(c)
	l.register(c)
	l.quieten(c)
}

// turnAway refuses a newcomer without spending a slot on it.
func (l *loop) turnAway(conn netpoll.Conn) {
	l.metrics.Handshake(nil, metrics.ResultOverloaded, 0)
	l.sys.Read(conn, l.in[:]) // unread input would turn the close into a reset
	l.sys.Write(conn, busyNow)
	l.sys.CloseWrite(conn)
	l.sys.Close(&conn)
}

// admit gives conn a slot and the time to send a request head.
func (l *loop) admit(conn netpoll.Conn) *client {
	c := l.slab.take(l)
	c.conn = conn
	l.pend(c, heading)
	c.began = l.micros()
	l.g.pending.Add(1)
	l.metrics.Gauge(metrics.HandshakesInFlight, 1)
	l.wheel.Arm(&c.timer, l.now+1+l.g.settings.Load().headTime)
	return c
}

// register makes the poller report what happens to c, if c is still there.
// What has happened before is reported at once, so that nothing is missed.
func (l *loop) register(c *client) {
	if c.registered || !c.conn.Open() {
		return
	}
	if err := l.sys.Add(c.conn.FD(), c.interest(), c.onEvent); err != nil {
		l.g.log.Error("connection cannot be polled", "err", err)
		l.drop(c, metrics.ReasonReset)
		return
	}
	c.registered = true
}
