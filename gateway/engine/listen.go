package engine

import (
	"errors"
	"net/netip"
	"time"

	"sluice/gateway/engine/transport"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// Listener is [netpoll.Listener], or one in memory.
type Listener interface {
	netpoll.Acceptor
	FD() int
	Addr() netip.AddrPort
	Inherited() bool
	Quiesce() error
	Close() error
}

// Reserve is [netpoll.Reserve], or one in memory.
type Reserve interface {
	Accept(l netpoll.Acceptor) (netpoll.Conn, error)
	Refuse(l netpoll.Acceptor, response []byte) error
	Refill() error
	Close() error
}

// entrance is a listener as one engine sees it. A listener of ours belongs to
// one engine, its neighbours share the port by SO_REUSEPORT. One that was handed
// in is watched by all, of which epoll wakes one (EPOLLEXCLUSIVE).
type entrance struct {
	engine   *Engine
	listener Listener
	maker    transport.Maker // nil: its connections are plain
	busy     []byte          // what is told to whom there is no slot for
	until    session.Tick    // when accepting goes on
	delay    session.Tick    // of the last pause; 0: no trouble of late
	open     bool            // the poller watches it
	shut     bool            // for good
}

// acceptsPerCall bounds how many newcomers one callback takes before the
// sessions have their turn.
const acceptsPerCall = 64

// longestPause bounds the back-off of an entrance.
const longestPause = session.Tick(time.Second / Tick)

// watch makes the poller report newcomers.
func (x *entrance) watch() error {
	ev := netpoll.In
	if x.listener.Inherited() {
		ev |= netpoll.Exclusive
	}
	if err := x.engine.sys.Add(x.listener.FD(), ev, x.onEvent()); err != nil {
		return err
	}
	x.open = true
	return nil
}

// onEvent is what the poller calls.
func (x *entrance) onEvent() func(netpoll.Event) {
	accept := x.engine.guarded(x.accept)
	return func(netpoll.Event) { accept() }
}

// accept takes newcomers.
func (x *entrance) accept() {
	e := x.engine
	for range acceptsPerCall {
		if !x.open {
			return
		}
		conn, err := e.set.Reserve.Accept(x.listener)
		switch {
		case err == nil:
			x.delay = 0
			e.metrics.Inc(metrics.AcceptedConnections)
			x.welcome(conn)
		case errors.Is(err, netpoll.ErrWouldBlock):
			return
		case errors.Is(err, netpoll.ErrNoDescriptors):
			// The kernel looks for a descriptor before it looks for a client,
			// so perhaps there is none.
			switch refused := e.set.Reserve.Refuse(x.listener, x.busy); refused {
			case nil:
				e.metrics.AcceptError(netpoll.Errno(err))
				e.metrics.Inc(metrics.AcceptedConnections)
				e.metrics.Handshake(nil, metrics.ResultOverloaded, 0)
			case netpoll.ErrWouldBlock:
				return
			default:
				e.metrics.AcceptError(netpoll.Errno(err))
				x.pause()
				return
			}
		default:
			e.metrics.AcceptError(netpoll.Errno(err))
			e.set.Log.Error("accept failed", "err", err)
			x.pause()
			return
		}
	}
}

// pause takes the listener out of the poller's sight for a while: it would
// report the same newcomer for ever.
func (x *entrance) pause() {
	x.delay = min(max(2*x.delay, 1), longestPause)
	x.until = x.engine.now + x.delay
	x.unwatch()
}

// resume ends a pause that has lasted long enough.
func (x *entrance) resume() {
	if x.open || x.shut || x.engine.now.Before(x.until) {
		return
	}
	x.engine.set.Reserve.Refill() // what it lacks, the next Refuse misses
	if err := x.watch(); err != nil {
		x.pause()
	}
}

func (x *entrance) unwatch() {
	if x.open {
		x.open = false
		x.engine.sys.Del(x.listener.FD())
	}
}

// close lets in whoever has reached the queue, and nobody else. A listener
// that was handed in keeps its queue for whoever serves it next.
func (x *entrance) close() {
	if x.shut {
		return
	}
	if x.listener.Inherited() {
		x.unwatch()
		x.shut = true
		return
	}
	for queued := x.open; queued; {
		conn, err := x.listener.Accept()
		if queued = err == nil; queued {
			x.engine.metrics.Inc(metrics.AcceptedConnections)
			x.welcome(conn)
		}
	}
	x.unwatch()
	x.shut = true
	x.listener.Close()
}

// Quiesce has the listeners take no newcomers that are not under way.
func (e *Engine) Quiesce() (err error) {
	for _, x := range e.entrances {
		err = errors.Join(err, x.listener.Quiesce())
	}
	return err
}

// CloseEntrances ends this engine's accepting for good.
func (e *Engine) CloseEntrances() {
	for _, x := range e.entrances {
		x.close()
	}
}

// welcome gives a newcomer a slot, and reads at once: most have spoken before
// they are accepted.
func (x *entrance) welcome(conn netpoll.Conn) {
	e := x.engine
	if !e.makeRoom() {
		e.turnAway(conn, x.busy)
		return
	}
	s := e.admit(conn)
	defer e.Guard(s)
	if x.maker != nil {
		e.newWire(s, x.maker)
	}
	e.owner.Came(s)
	e.readHead(s)
	e.register(s)
	e.quieten(s)
}

// makeRoom sends away who has waited for longest until there is a descriptor for
// a newcomer, and reports whether there is one.
func (e *Engine) makeRoom() bool {
	if e.owner.Room() {
		return true
	}
	e.set.Metrics.Reached(metrics.LimitDescriptors)
	for e.evictDeparting() || e.evictSilent() {
		if e.owner.Room() {
			return true
		}
	}
	return false
}

// turnAway refuses a newcomer without spending a slot on it.
func (e *Engine) turnAway(conn netpoll.Conn, busy []byte) {
	e.metrics.Handshake(nil, metrics.ResultOverloaded, 0)
	e.sys.Read(conn, e.in[:ReadSize]) // unread input would turn the close into a reset
	e.sys.Write(conn, busy)
	e.sys.CloseWrite(conn)
	e.sys.Close(&conn)
}

// admit gives conn a slot and the time to send a request head. The caller, who
// guards it, tells the owner.
func (e *Engine) admit(conn netpoll.Conn) *Stream {
	s := e.vacant()
	s.conn = conn
	s.class = &e.set.Newcomers
	e.pend(s, Heading)
	e.set.Pending.Add(1)
	e.metrics.Gauge(metrics.HandshakesInFlight, 1)
	e.wheel.Arm(&s.timer, e.now+1+s.limits().HeadTime)
	return s
}

// TakeOver takes a socket of which somebody else has read a request head, and
// perhaps more: as if it had come by a listener. over is its transport, nil if it
// has none; what that has opened already is in read.
func (e *Engine) TakeOver(conn netpoll.Conn, read []byte, over *transport.State) {
	line, err := e.resumeLine(over)
	if err != nil {
		e.metrics.Handshake(nil, metrics.ResultOverloaded, 0)
		e.Discard(conn, over)
		return
	}
	s := e.admit(conn)
	defer e.Guard(s)
	e.rewire(s, line)
	if e.owner.Came(s); s.state == Heading {
		e.takeHead(s, read, 0)
	}
	e.readHead(s)
	e.register(s)
	e.quieten(s)
	if s.is(wired) && s.state == Open {
		e.Resume(s) // what was read and not opened no event will tell of
	}
}

// Discard closes a socket that no slot has, and its transport, nil if it has none.
func (e *Engine) Discard(conn netpoll.Conn, over *transport.State) {
	e.sys.Close(&conn)
	if over != nil {
		over.Transport.Close()
	}
}

// newWire makes the transport of a newcomer.
func (e *Engine) newWire(s *Stream, m transport.Maker) {
	ref := s.Ref()
	e.wire(s, transport.NewLine(m.New(func() { e.woken.add(e, ref) })))
}
