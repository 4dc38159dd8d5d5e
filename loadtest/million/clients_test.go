package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	gw "sluice/gateway"
	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream/echo"
	"sluice/metrics"
	"sluice/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = gatewaytest.Patience

// start serves a gateway and returns its clients.
func start(t *testing.T, edit func(*config.Config)) (*gw.Gateway, *clients) {
	t.Helper()
	g, clients, _ := startMeasured(t, edit)
	return g, clients
}

// startMeasured is start, and returns where the gateway's metrics are gathered.
func startMeasured(t *testing.T, edit func(*config.Config)) (*gw.Gateway, *clients, prometheus.Gatherer) {
	t.Helper()
	c := gatewaytest.Config(edit)
	c.Drain.Timeout = config.Duration(patience)
	set := metrics.New(metrics.Options{Loops: gw.Loops(c), ProtocolErrorKinds: session.Kinds()})
	registry := prometheus.NewRegistry()
	registry.MustRegister(set)
	g := gatewaytest.Start(t, gw.New, gw.Options{
		Config:   c,
		Log:      slog.New(slog.DiscardHandler),
		Metrics:  set,
		Schemes:  map[string]gw.Open{"echo": echo.Open},
		Buffered: 1 << 30,
	}, gw.ErrClosed)
	clients, err := newClients(loopback(int(g.Addr().Port())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for fd := range clients.byFD {
			if clients.byFD[fd].state != absent {
				clients.forget(fd)
			}
		}
		unix.Close(clients.epfd)
	})
	return g, clients, registry
}

// inTime takes it that clients are behind.
func inTime(time.Duration) error { return nil }

func TestClientsGoThroughAllStages(t *testing.T) {
	const n = 600 // more than twice the window
	g, c := start(t, func(c *config.Config) { c.Heartbeat = heartbeat(time.Second) })
	for _, mark := range []int{n / 3, n} {
		if err := c.connect(mark, patience); err != nil {
			t.Fatal(err)
		}
		if c.open != mark || c.opening != 0 || c.lost != 0 {
			t.Fatalf("%d open, %d opening, %d lost (%s), want %d open", c.open, c.opening, c.lost, c.why, mark)
		}
	}
	for range 2 {
		if echoed, err := c.exchange(patience); err != nil || echoed != n || c.echoes != 0 {
			t.Fatalf("%d echoed, %d awaited: %v", echoed, c.echoes, err)
		}
	}
	push := func(message []byte) error {
		_, err := g.Do(t.Context(), delivery.Target{Hub: "default"}, delivery.Send{Op: ws.OpBinary, Data: message})
		return err
	}
	if pushed, err := c.broadcast(push, patience); err != nil || pushed != n || c.lost != 0 {
		t.Fatalf("%d of %d had the broadcast, %d lost (%s): %v", pushed, n, c.lost, c.why, err)
	}
	if answered, err := c.heartbeats(2, inTime, patience); err != nil || answered < 2*n || c.lost != 0 {
		t.Fatalf("%d pings answered, %d lost (%s): %v", answered, c.lost, c.why, err)
	}
	drained := make(chan error, 1)
	go func() { drained <- g.Shutdown(t.Context()) }()
	if closed, err := c.part(patience); err != nil || closed != n || c.lost != 0 {
		t.Errorf("%d closed, %d lost (%s): %v", closed, c.lost, c.why, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestRefusedClientsAreLost(t *testing.T) {
	_, c := start(t, func(c *config.Config) { c.Limits.Connections = 3 })
	if err := c.connect(5, patience); err != nil {
		t.Fatal(err)
	}
	if c.open != 3 || c.opening != 0 || c.lost != 2 || !strings.Contains(c.why, "503") {
		t.Errorf("%d open, %d opening, %d lost: %s", c.open, c.opening, c.lost, c.why)
	}
}

func TestClientsThatTheGatewayLeavesAreLost(t *testing.T) {
	g, c := start(t, func(c *config.Config) { c.Heartbeat = heartbeat(time.Minute) })
	if err := c.connect(5, patience); err != nil {
		t.Fatal(err)
	}
	g.Close()
	// Whoever is not there need not answer.
	if _, err := c.heartbeats(1, inTime, patience); err != nil {
		t.Fatal(err)
	}
	if c.open != 0 || c.lost != 5 || c.why == "" {
		t.Errorf("%d open, %d lost: %s", c.open, c.lost, c.why)
	}
}

func TestClientsThatAreBehindAreTold(t *testing.T) {
	const n = 2*window + 10
	g, c := start(t, func(c *config.Config) { c.Heartbeat = heartbeat(time.Second) })
	if err := c.connect(n, patience); err != nil {
		t.Fatal(err)
	}
	push := delivery.Send{Op: ws.OpBinary, Data: bytes.Repeat([]byte{'p'}, messageSize)}
	if _, err := g.Do(t.Context(), delivery.Target{Hub: "default"}, push); err != nil {
		t.Fatal(err)
	}
	were, caughtUp := false, false
	_, err := c.heartbeats(2, func(behind time.Duration) error {
		were = were || behind > 0
		caughtUp = were && behind == 0 || caughtUp
		return nil
	}, patience)
	if err != nil || c.lost != 0 || c.pushed != n || !were || !caughtUp {
		t.Errorf("%d pushed, %d lost (%s), behind %t, caught up %t: %v", c.pushed, c.lost, c.why, were, caughtUp, err)
	}
	failed := errors.New("failed")
	if _, err := c.heartbeats(1, func(time.Duration) error { return failed }, patience); err != failed {
		t.Errorf("have %v, want what was returned", err)
	}
}

func TestLoadGoesOnWhileSomethingIsDone(t *testing.T) {
	for _, n := range []int{3, window + 44} {
		_, c, registry := startMeasured(t, func(c *config.Config) { c.Heartbeat = heartbeat(time.Minute) })
		if err := c.connect(n, patience); err != nil {
			t.Fatal(err)
		}
		taken := func() float64 { return gatewaytest.Gather(t, registry).Sum("sluice_messages_received_total") }
		echoed, err := c.load(func() error {
			for first, end := taken(), time.Now().Add(patience); taken() < first+float64(3*n); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					return errors.New("the gateway has no load")
				}
			}
			return nil
		}, patience)
		if err != nil || echoed < 3*n || c.echoes != 0 || c.lost != 0 {
			t.Errorf("%d clients: %d echoed, %d awaited, %d lost (%s): %v", n, echoed, c.echoes, c.lost, c.why, err)
		}
		failed := errors.New("failed")
		if _, err := c.load(func() error { return failed }, patience); err != failed {
			t.Errorf("have %v, want what was returned", err)
		}
	}
}

// Time in which nobody could wait, because the machine stood still, is no silence of the clients'.
func TestPatienceIsNotTriedByTimeThatWasNotWaited(t *testing.T) {
	_, c := start(t, func(c *config.Config) { c.Heartbeat = heartbeat(time.Hour) })
	if err := c.connect(1, patience); err != nil {
		t.Fatal(err)
	}
	looks := 0
	err := c.each(3*wait, func() (bool, error) {
		if looks++; looks == 2 {
			time.Sleep(6 * wait)
		}
		return looks < 4, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestClientsAreServedWhileSomethingElseIsDone(t *testing.T) {
	g, c := start(t, func(c *config.Config) { c.Heartbeat = heartbeat(time.Minute) })
	if err := c.connect(5, patience); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	if err := c.beside(func() error { return failed }, patience); err != failed {
		t.Errorf("have %v, want what was returned", err)
	}
	c.leaving = true
	err := c.beside(func() error { return g.Shutdown(t.Context()) }, patience) // takes the answers of all
	if err != nil || c.closed != 5 || c.lost != 0 {
		t.Errorf("%v, %d closed, %d lost (%s)", err, c.closed, c.lost, c.why)
	}
}

func TestClientsAreNotWaitedForInVain(t *testing.T) {
	_, c := start(t, func(c *config.Config) { c.Heartbeat = heartbeat(time.Hour) })
	if err := c.connect(1, patience); err != nil {
		t.Fatal(err)
	}
	_, err := c.heartbeats(1, inTime, 200*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "nothing has happened for 200ms") {
		t.Errorf("waited for a ping: %v", err)
	}
}
