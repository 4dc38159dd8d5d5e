package gateway

import (
	"context"
	"errors"
	"time"

	"sluice/gateway/config"
	"sluice/gateway/engine"
)

// ErrCut is returned by Shutdown when connections were cut before they had
// closed.
var ErrCut = errors.New("connections were cut before they had closed")

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
		cfg := &g.settings.Load().drain
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
			if err := l.Quiesce(); err != nil {
				g.log.Warn("listener not quiesced: clients may be reset", "err", err)
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

// settleTime is how long a quiesced listener is kept open: until every client
// whose TCP handshake was under way has reached the queue, also one whose last
// segment must be sent again after the first retransmission time-out, a second.
const settleTime = 1200 * time.Millisecond

// closeEntrances ends the node's accepting for good.
func (g *Gateway) closeEntrances() {
	for _, l := range g.loops {
		l.do(func(l *loop) { l.CloseEntrances() })
	}
}

// Close cuts every connection and ends Serve, also while Shutdown waits, which
// returns then.
func (g *Gateway) Close() error {
	g.cut()
	g.shutdown.Do(func() {
		g.draining.Store(true)
		g.stop(g.waiting)
	})
	return nil
}

// stop ends the loops and what runs beside them, and reports whether it has cut
// anybody off. What upstreams have not been told yet they are told until ctx
// ends.
func (g *Gateway) stop(ctx context.Context) (cut bool) {
	defer g.hush()
	defer context.AfterFunc(ctx, g.hush)()
	for _, l := range g.loops {
		cut = l.stop() || cut
	}
	g.halt()
	cut = g.http.Shutdown(ctx) || cut
	g.http.Close() // after the loops, which hand sockets over to the last
	g.beside.close()
	for _, h := range g.settings.Load().hubs.All() {
		g.retired.Go(func() { g.end(h.now.Load()) })
	}
	g.retired.Wait()
	g.release()
	select {
	case g.ended <- ErrClosed:
	default:
	}
	return cut
}

// release gives back what belongs to no loop.
func (g *Gateway) release() {
	if g.set.Reserve != nil {
		g.set.Reserve.Close()
	}
	closeAll(g.inherited)
}

func closeAll(listeners []engine.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}
