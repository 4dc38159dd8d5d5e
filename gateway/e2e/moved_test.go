package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

// The events of 200 clients wait at an address where nobody is, or where all is
// refused for the moment, and the URL is changed: none of them is closed, each
// gets its answers in order, and the backend knows events again that it was
// asked to take before.
func TestWhatWaitsAtADeadAddressGoesWhereAReloadSays(t *testing.T) {
	t.Run("nobody there", func(t *testing.T) {
		gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
			t.Parallel() // it mostly waits
			nobody, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			nobody.Close()
			testDeadAddress(t, loops, nobody.Addr().String(), func() []event { return nil })
		})
	})
	t.Run("overloaded", func(t *testing.T) {
		gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
			t.Parallel() // it mostly waits
			overloaded := serveHooks(t, func(w http.ResponseWriter, _ *http.Request, _ event) {
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			testDeadAddress(t, loops, overloaded.address, func() []event { return overloaded.named("message") })
		})
	})
}

func testDeadAddress(t *testing.T, loops int, dead string, attempted func() []event) {
	const clients, messages = 200, 3
	newer := serveHooks(t, nil)
	at := func(address string) string {
		return fmt.Sprintf("loops: %d\nhubs: {default: {paths: [/], anonymous: true, upstream: {url: 'http://%s/', events: ['*'], budget: 5m, validate: false}}}\n", loops, address)
	}
	g := gatewaytest.Launch(t, at(dead))
	everybody := gather(t, g, clients)
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	defer cancel()
	for client, conn := range everybody {
		for i := range messages {
			if err := conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, "%d %d", client, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Those that have been tried rest, or are tried; the others wait for their turn.
	const tried = 64 + 20
	gatewaytest.EventuallyOr(t, func() string {
		return fmt.Sprintf("only %v events wait", g.Metric(t, "sluice_upstream_waiting"))
	}, func() bool {
		return g.Metric(t, "sluice_upstream_breaker_state") == 2 && g.Metric(t, "sluice_upstream_waiting") >= clients-tried
	})
	g.Configure(t, at(newer.address))
	g.Signal(t, syscall.SIGHUP)
	g.Log.Await(t, "configuration reloaded")

	var wg sync.WaitGroup
	for client, conn := range everybody {
		wg.Go(func() {
			for i := range messages {
				if _, got, err := conn.Read(ctx); err != nil || string(got) != fmt.Sprintf("%d %d", client, i) {
					t.Errorf("client %d: answer %d is %q, %v", client, i, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if closed := g.Metric(t, "sluice_connections_closed_total"); closed != 0 {
		t.Errorf("%v clients were closed", closed)
	}
	ids, arrived := map[string]string{}, map[string]bool{}
	for _, e := range newer.named("message") {
		if ids[e.body] != "" || arrived[e.id] {
			t.Errorf("%q (%s) came twice", e.body, e.id)
		}
		ids[e.body], arrived[e.id] = e.id, true
	}
	if len(ids) != clients*messages {
		t.Errorf("%d messages have arrived, want %d", len(ids), clients*messages)
	}
	for _, e := range attempted() {
		if ids[e.body] != e.id {
			t.Errorf("%q was %s at the older address and %s at the newer", e.body, e.id, ids[e.body])
		}
	}
}
