// Command pushing is Sluice with an upstream that echoes and that, told "broadcast <n>", pushes a text
// of n bytes to every client, as the servers in loadtest/peers do. With it the load generator measures
// what a broadcast costs the engine, without an HTTP request in the figure.
//
// SLUICE_... variables configure it like the product. It has no admin listener.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"sluice/gateway"
	"sluice/gateway/config"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pushing:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then cuts every connection.
func run(ctx context.Context) error {
	s, err := open(options{os.Environ(), slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(); !errors.Is(err, gateway.ErrClosed) {
		return err
	}
	return nil
}

type options struct {
	environ []string
	log     *slog.Logger
}

// server is the gateway with the goroutine that pushes.
type server struct {
	*gateway.Gateway
	upstream *pushing
	log      *slog.Logger
}

func open(o options) (*server, error) {
	cfg, err := config.Load("", o.environ)
	if err != nil {
		return nil, err
	}
	up := newPushing()
	g, err := gateway.New(gateway.Options{
		Config: cfg,
		Log:    o.log,
		Metrics: metrics.New(metrics.Options{
			Version:            "devel",
			Revision:           "unknown",
			GoVersion:          runtime.Version(),
			Loops:              gateway.Loops(cfg),
			ProtocolErrorKinds: session.Kinds(),
		}),
		Schemes:  map[string]gateway.Open{"echo": func(upstream.Options) (upstream.Upstream, error) { return up, nil }},
		Buffered: buffered,
	})
	return &server{g, up, o.log}, err
}

// Serve serves until Close.
func (s *server) Serve() error {
	var worker sync.WaitGroup
	worker.Go(func() { s.upstream.broadcast(s.Gateway, s.log) })
	err := s.Gateway.Serve()
	s.Close() // a second time unless a loop has died: no loop asks for anything any more
	close(s.upstream.asked)
	worker.Wait()
	return err
}

const (
	buffered   = 256 << 20 // what the product takes on a machine of a gigabyte
	waiting    = 16        // broadcasts asked for and not yet begun
	maxMessage = 1 << 20   // that is pushed
)
