package e2e_test

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

// expectFarewells waits until as many connections have had their disconnected
// event, and fails if one of them had two under different ids.
func expectFarewells(t *testing.T, backend *hooks, connections int) {
	t.Helper()
	ids := map[string]string{}
	gatewaytest.EventuallyOr(t, func() string {
		return fmt.Sprintf("%d of %d connections have had their farewell", len(ids), connections)
	}, func() bool {
		for _, e := range backend.named("disconnected") {
			if id, repeated := ids[e.connection]; repeated && id != e.id {
				t.Fatalf("%s left with id %s and again with %s", e.connection, id, e.id)
			}
			ids[e.connection] = e.id
		}
		return len(ids) == connections
	})
	unique := map[string]bool{}
	for _, id := range ids {
		unique[id] = true
	}
	if len(unique) != connections {
		t.Errorf("%d farewells have %d ids", connections, len(unique))
	}
}

func TestADrainTellsTheBackendOfEveryConnectionThatEnds(t *testing.T) {
	gatewaytest.EachLoopCount(t, testDrainTellsAll)
}

func testDrainTellsAll(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	const connections, parked = 50, 10
	release := make(chan struct{})
	backend := serveHooks(t, func(w http.ResponseWriter, _ *http.Request, e event) {
		if e.body == "wait" {
			<-release
		}
		reply(w, e)
	})
	g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\ndrain: {delay: 0s, window: 200ms, timeout: 20s}\nhubs: {default: {paths: [/], anonymous: true, upstream: {url: 'http://%s/'}}}\n", loops, backend.address))
	everybody := gather(t, g, connections)
	for i, conn := range everybody {
		if i < parked { // these have an event under way when the end comes
			if err := conn.Write(t.Context(), websocket.MessageText, []byte("wait")); err != nil {
				t.Fatal(err)
			}
		} else {
			gatewaytest.Echo(t, conn, "hello")
		}
	}
	gatewaytest.EventuallyOr(t, func() string { return "the parked ones were not heard" }, func() bool {
		return len(backend.named("message")) == connections && len(backend.named("connected")) == connections
	})
	g.Signal(t, syscall.SIGTERM)
	g.Log.Await(t, "draining")
	close(release)
	for i, conn := range everybody {
		if closed := gatewaytest.CloseOf(t, conn); closed.Code != websocket.StatusGoingAway {
			t.Errorf("connection %d closed with %v, want 1001", i, closed)
		}
	}
	if status := g.AwaitExit(t); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	if n := len(backend.named("connect")); n != connections {
		t.Errorf("%d connect events of %d connections", n, connections)
	}
	expectFarewells(t, backend, connections)
}

func TestADrainWhoseBackendIsDeadEndsInTimeAndSaysWhatWasLost(t *testing.T) {
	gatewaytest.EachLoopCount(t, testDrainWithoutBackend)
}

func testDrainWithoutBackend(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	const connections = 20
	backend := serveHooks(t, nil)
	way := connectTo(t, backend.address)
	g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\ndrain: {delay: 0s, window: 100ms, timeout: 3s}\nhubs: {default: {paths: [/], anonymous: true, upstream: {url: 'http://%s/'}}}\n", loops, way.Listen))
	everybody := gather(t, g, connections)
	if r := everybody.say(t.Context(), "alive"); r.answered.Load() != connections {
		t.Fatalf("alive: %v", r)
	}
	way.down(t)
	g.Signal(t, syscall.SIGTERM)
	for i, conn := range everybody {
		if closed := gatewaytest.CloseOf(t, conn); closed.Code != websocket.StatusGoingAway {
			t.Errorf("connection %d closed with %v, want 1001", i, closed)
		}
	}
	if lost := g.Log.Await(t, "events not delivered")["lost"]; lost != float64(connections) {
		t.Errorf("%v events were lost by the log, want %d", lost, connections)
	}
	if status := g.AwaitExit(t); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
}
