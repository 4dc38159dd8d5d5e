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
	"net/netip"
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
	err := run(ctx, os.Environ(), slog.New(slog.NewTextHandler(os.Stderr, nil)), func(netip.AddrPort) {})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pushing:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then cuts every connection. It tells listening where clients connect.
func run(ctx context.Context, environ []string, log *slog.Logger, listening func(netip.AddrPort)) error {
	cfg, err := config.Load("", environ)
	if err != nil {
		return err
	}
	up := newPushing()
	g, err := gateway.New(gateway.Options{
		Config: cfg,
		Log:    log,
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
	if err != nil {
		return err
	}
	var worker sync.WaitGroup
	worker.Go(func() { up.broadcast(g, log) })
	cut := context.AfterFunc(ctx, func() { g.Close() })
	listening(g.Addr())
	err = g.Serve()
	cut()
	g.Close() // a second time unless a loop has died: no loop asks for anything any more
	close(up.asked)
	worker.Wait()
	if errors.Is(err, gateway.ErrClosed) {
		return nil
	}
	return err
}

const (
	buffered   = 256 << 20 // what the product takes on a machine of a gigabyte
	waiting    = 16        // broadcasts asked for and not yet begun
	maxMessage = 1 << 20   // that is pushed
)
