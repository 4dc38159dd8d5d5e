// Package gatewaytest runs gateways for tests: in the test's own process (Start),
// or as the built command (Launch, in a package whose TestMain calls Main). Either
// is ready when it is returned, on a free port of the loopback, and ends with the
// test.
//
// It knows the gateway by an interface, so that the gateway's own tests can use
// it. What a backend has to be is not its business.
package gatewaytest

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sluice/gateway/config"
)

// Patience bounds every wait of a test for what takes no time on a machine that
// has nothing else to do. It is no part of what is tested.
const Patience = 30 * time.Second

// Config is the default configuration on a free port of the loopback, of a node
// whose drain waits for nobody. edits change it.
func Config(edits ...func(*config.Config)) *config.Config {
	cfg := config.Default()
	cfg.Listen = "127.0.0.1:0"
	cfg.Drain = config.Drain{}
	for _, edit := range edits {
		edit(cfg)
	}
	return cfg
}

// Gateway is a gateway, or what wraps one. It has a listener already: who comes
// before Serve waits in that.
type Gateway interface {
	Addr() netip.AddrPort
	Serve() error
	Close() error
}

// Start opens a gateway and serves it until the end of the test, which closes it
// unless the test has. Serve must return closed then.
func Start[O any, G Gateway](t testing.TB, open func(O) (G, error), options O, closed error) G {
	t.Helper()
	g, err := open(options)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve() }()
	t.Cleanup(func() {
		g.Close()
		if err := <-served; !errors.Is(err, closed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return g
}

// EachLoopCount runs test with one loop, and with several.
func EachLoopCount(t *testing.T, test func(t *testing.T, loops int)) {
	for _, loops := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d loops", loops), func(t *testing.T) { test(t, loops) })
	}
}

// Eventually waits until it is so.
func Eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	EventuallyOr(t, func() string { return what }, so)
}

// EventuallyOr is [Eventually], and fails with what otherwise says then.
func EventuallyOr(t testing.TB, otherwise func() string, so func() bool) {
	t.Helper()
	for begun := time.Now(); !so(); {
		waited := time.Since(begun)
		if waited > Patience {
			t.Fatalf("not within %v: %s", Patience, otherwise())
		}
		time.Sleep(min(max(waited/64, 5*time.Millisecond), 50*time.Millisecond))
	}
}
