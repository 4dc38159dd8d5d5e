package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

// ErrClosed is what Serve returns after Shutdown or Close.
var ErrClosed = errors.New("gateway closed")

// Serve serves clients. It returns [ErrClosed] after Shutdown or Close, and
// any other error when a loop has died: the process can only end then.
func (g *Gateway) Serve() error {
	for _, l := range g.loops {
		if err := l.run(); err != nil {
			g.Close()
			return err
		}
	}
	var beside sync.WaitGroup
	done := make(chan struct{})
	beside.Go(func() { returnMemory(done) })
	beside.Go(func() { g.http.Serve() })
	err := <-g.ended
	close(done)
	g.http.Close()
	beside.Wait()
	g.http.Close() // what the HTTP server has accepted beside the first
	return err
}

// fatal ends Serve: a loop cannot go on.
func (g *Gateway) fatal(err error) {
	select {
	case g.ended <- fmt.Errorf("event loop: %w", err):
	default:
	}
}

// Addr is where clients connect.
func (g *Gateway) Addr() netip.AddrPort { return g.addr }

// Ready is nil while newcomers are welcome.
func (g *Gateway) Ready() error {
	switch {
	case g.draining.Load():
		return errors.New("draining")
	case g.places.Load() >= g.settings.Load().connections:
		return errors.New("connection limit reached")
	case g.set.Crowded():
		return errors.New("buffers almost used up")
	}
	return nil
}

// Alive is nil if every loop answers before ctx ends.
func (g *Gateway) Alive(ctx context.Context) error {
	answers := make(chan struct{}, len(g.loops))
	for _, l := range g.loops {
		answer := func(*loop) bool {
			answers <- struct{}{}
			return true
		}
		if !l.post(letter{run: answer}) {
			return ErrClosed
		}
	}
	for range g.loops {
		select {
		case <-answers:
		case <-ctx.Done():
			return fmt.Errorf("a loop does not answer: %w", ctx.Err())
		}
	}
	return nil
}
