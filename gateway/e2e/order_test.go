package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

func TestTheMessagesOfAClientReachTheBackendInOrderAndOneAtATime(t *testing.T) {
	gatewaytest.EachLoopCount(t, testOrder)
}

func testOrder(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	const clients, messages = 20, 50
	var underWay [clients]atomic.Int32
	backend := serveHooks(t, func(w http.ResponseWriter, _ *http.Request, e event) {
		var client, number int
		if n, _ := fmt.Sscanf(e.body, "%d %d", &client, &number); n == 2 {
			if underWay[client].Add(1) != 1 {
				t.Errorf("client %d has two messages under way", client)
			}
			defer underWay[client].Add(-1)
		}
		reply(w, e)
	})
	g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\nhubs: {default: {paths: [/], anonymous: true, upstream: {url: 'http://%s/'}}}\n", loops, backend.address))
	var wg sync.WaitGroup
	for client, conn := range gather(t, g, clients) {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
			defer cancel()
			for i := range messages { // none waits for an answer
				if err := conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, "%d %d", client, i)); err != nil {
					t.Error(err)
					return
				}
			}
			for i := range messages {
				if _, got, err := conn.Read(ctx); err != nil || string(got) != fmt.Sprintf("%d %d", client, i) {
					t.Errorf("client %d: answer %d is %q, %v", client, i, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	last := map[string]int{}
	for _, e := range backend.named("message") {
		var client, number int
		fmt.Sscanf(e.body, "%d %d", &client, &number)
		if number != last[e.connection] {
			t.Fatalf("message %d of client %d came when it was the turn of %d", number, client, last[e.connection])
		}
		last[e.connection]++
	}
}

func TestAReloadThatMovesTheUpstreamLosesNothingThatIsUnderWay(t *testing.T) {
	gatewaytest.EachLoopCount(t, testMovedUpstream)
}

func testMovedUpstream(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	const clients = 30
	release := make(chan struct{})
	older := serveHooks(t, func(w http.ResponseWriter, _ *http.Request, e event) {
		<-release
		reply(w, e)
	})
	newer := serveHooks(t, nil)
	at := func(h *hooks) string {
		return fmt.Sprintf("loops: %d\nhubs: {default: {paths: [/], anonymous: true, upstream: {url: 'http://%s/', events: ['*']}}}\n", loops, h.address)
	}
	g := gatewaytest.Launch(t, at(older))
	everybody := gather(t, g, clients)
	said := make(chan *round)
	go func() { said <- everybody.say(t.Context(), "to the older one") }()
	gatewaytest.EventuallyOr(t, func() string { return "not all messages have come" }, func() bool { return len(older.named("message")) == clients })
	g.Configure(t, at(newer))
	g.Signal(t, syscall.SIGHUP)
	g.Log.Await(t, "configuration reloaded")
	close(release)
	if r := <-said; r.answered.Load() != clients {
		t.Errorf("under way: %v", r)
	}
	if r := everybody.say(t.Context(), "to the newer one"); r.answered.Load() != clients {
		t.Errorf("behind the reload: %v", r)
	}
	if n, m := len(older.named("message")), len(newer.named("message")); n != clients || m != clients {
		t.Errorf("the older upstream had %d messages, the newer %d", n, m)
	}
}
