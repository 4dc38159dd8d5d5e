package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/metrics"
	"sluice/session"
)

// drain is how a loop sends its sessions away.
type drain struct {
	order []departure // who is still to be told, in random order
	total int
	begun session.Tick
	took  session.Tick // the window
	until session.Tick // when no answer is waited for any longer
	empty chan struct{}
	gone  bool
	going bool // more are due than a slice of time was enough for
}

// departure names a session of the loop.
type departure struct{ slot, generation uint32 }

// beginDrain starts closing the sessions of l, spread over window. Answers to
// messages are waited for as long as the time left, in which everything is to
// be done, allows for: peers need some of it to answer their Close frames.
func (l *loop) beginDrain(window session.Tick, left time.Duration) <-chan struct{} {
	rest := session.Tick(max(0, left) / tick)
	d := &drain{begun: l.now, took: window, empty: make(chan struct{})}
	d.until = l.now + rest - min(rest/2, l.g.settings.Load().closeTime+1)
	l.slab.all(func(c *client) {
		if c.state == open {
			d.order = append(d.order, departure{c.timer.Slot, c.generation})
		}
	})
	l.random.Shuffle(len(d.order), func(i, j int) { d.order[i], d.order[j] = d.order[j], d.order[i] })
	d.total = len(d.order)
	l.drain = d
	l.metrics.Gauge(metrics.DrainRemaining, int64(d.total))
	return d.empty
}

// drainTick closes as many sessions as are due by now, without keeping the
// sockets waiting.
func (l *loop) drainTick() {
	d := l.drain
	if !d.going && !l.closeDue() {
		d.going = l.inSlices((*loop).closeDue)
	}
	if l.slab.used == 0 && !d.gone {
		d.gone = true
		close(d.empty)
	}
}

// closeDue closes sessions that are due for a slice of time, and is true when
// no more are.
func (l *loop) closeDue() bool {
	d := l.drain
	left := 0
	if elapsed := l.now - d.begun; elapsed < d.took {
		left = int(int64(d.total) * int64(d.took-elapsed) / int64(d.took))
	}
	for begin := l.micros(); len(d.order) > left; {
		if l.since(begin) > slice {
			return false
		}
		last := len(d.order) - 1
		next := d.order[last]
		d.order = d.order[:last]
		c := l.slab.find(session.Ref{Slot: next.slot, Generation: next.generation})
		if c == nil || !l.sendAway(c, goingAway(d.until)) {
			l.metrics.Gauge(metrics.DrainRemaining, -1)
		}
	}
	d.going = false
	return true
}

// goingAway is what sessions are told by a drain.
func goingAway(until session.Tick) parting {
	return parting{code: ws.StatusGoingAway, reason: metrics.ReasonDrain, text: "going away", until: until, drained: true}
}

// ErrCut is returned by Shutdown when connections were cut before they had
// closed.
var ErrCut = errors.New("connections were cut before they had closed")

// settleTime is how long a quiesced listener is kept open: until every client
// whose TCP handshake was under way has reached the queue, also one whose last
// segment must be sent again after the first retransmission time-out, a second.
const settleTime = 1200 * time.Millisecond

// Shutdown takes the node out of service: it is not ready at once; newcomers
// are answered 503 for drain.delay; then the port is closed without resetting
// anybody, and the sessions are closed with 1001 in random order, spread over
// drain.window; one with a message at its upstream gets the answer first. It
// returns when all are gone. When drain.timeout or ctx ends
// first, or at Close, the rest is cut off and the error is [ErrCut] if there was
// any. Serve returns then.
//
// Sockets that were handed in are left to whoever serves them next, at once.
//
// Calls after the first wait for it.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.shutdown.Do(func() {
		cfg := g.drainConfig.Load()
		ctx, cancel := context.WithTimeout(ctx, time.Duration(cfg.Timeout))
		defer cancel()
		defer context.AfterFunc(g.waiting, cancel)()
		complete := g.leave(ctx, cfg)
		if cut := g.stop(ctx); cut && !complete {
			g.shutdownErr = ErrCut
		}
	})
	return g.shutdownErr
}

// leave does what Shutdown says. It is false if ctx ended before all of it was
// done.
func (g *Gateway) leave(ctx context.Context, cfg *config.Drain) bool {
	if g.inherited != nil {
		// The successor may be there already: whom it could serve is not ours to
		// refuse. If it is not, they wait in the queue.
		g.closeEntrances()
	}
	g.draining.Store(true)
	g.log.Info("draining", "delay", cfg.Delay.String(), "window", cfg.Window.String(), "connections", g.sessions.Load())
	if !sleep(ctx, time.Duration(cfg.Delay)) {
		return false
	}
	var empty []<-chan struct{}
	end, _ := ctx.Deadline()
	for _, l := range g.loops {
		l.do(func(l *loop) {
			for _, e := range l.entrances {
				if err := e.listener.Quiesce(); err != nil {
					g.log.Warn("listener not quiesced: clients may be reset", "err", err)
				}
			}
			empty = append(empty, l.beginDrain(ticks(cfg.Window), time.Until(end)))
		})
	}
	settled := g.inherited != nil || sleep(ctx, settleTime)
	g.closeEntrances()
	if !settled {
		return false
	}
	g.http.Shutdown(ctx)
	for _, ch := range empty {
		select {
		case <-ch:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// closeEntrances ends the node's accepting for good.
func (g *Gateway) closeEntrances() {
	for _, l := range g.loops {
		l.do((*loop).closeEntrances)
	}
}

// sleep waits for d, and is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
