package e2e_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"
)

// manyClients is how many clients the test of a dead upstream has. The claim of
// the README is for 5,000.
var manyClients = flag.Int("clients", 300, "clients of the test of a dead upstream")

// mortal is the hub of a backend that dies. Its bounds are short for the test.
const mortal = `
hubs:
  default:
    paths: ["/"]
    anonymous: true
    upstream:
      url: 'http://%s/'
      events: ["*", disconnected]
      timeout: 2s
      budget: %s
      breaker: {window: 1s, attempts: 20, failures: 50, probe: 200ms}
`

const (
	mortalBudget = 4 * time.Second
	mortalProbe  = 200 * time.Millisecond
)

// TestADeadUpstreamCostsNoMemoryAndNoMessageUnseen has every client send into
// an outage that is shorter than the budget, and then into one that is longer.
func TestADeadUpstreamCostsNoMemoryAndNoMessageUnseen(t *testing.T) {
	gatewaytest.EachLoopCount(t, testDeadUpstream)
}

func testDeadUpstream(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	clients := *manyClients
	backend := serveHooks(t, nil)
	way := connectTo(t, backend.address)
	g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\n"+mortal, loops, way.Listen, mortalBudget))
	everybody := gather(t, g, clients)
	if r := everybody.say(t.Context(), "alive"); r.answered.Load() != int64(clients) {
		t.Fatalf("alive: %v", r)
	}
	before := resident(t, g)

	way.down(t)
	died := time.Now()
	said := make(chan *round)
	go func() { said <- everybody.say(t.Context(), "parked") }()
	open := func() bool { return g.Metric(t, "sluice_upstream_breaker_state") == 2 }
	gatewaytest.EventuallyOr(t, func() string { return "the breaker did not open" }, open)
	opened := time.Since(died)
	tried := g.Metric(t, "sluice_upstream_attempts_total")
	<-time.After(mortalBudget/2 - time.Since(died)) // the outage lasts that long
	probes := g.Metric(t, "sluice_upstream_attempts_total") - tried
	if closed := g.Metric(t, "sluice_connections_closed_total"); closed != 0 {
		t.Errorf("%v clients were closed within their budget", closed)
	}
	parked := resident(t, g)

	seen := len(backend.named("message"))
	way.up(t)
	back := time.Now()
	gatewaytest.EventuallyOr(t, func() string { return "no recovery" }, func() bool { return len(backend.named("message")) > seen })
	recovered := time.Since(back)
	r := <-said
	if r.answered.Load() != int64(clients) {
		t.Errorf("an outage shorter than the budget: %v", r)
	}
	t.Logf("%d clients: breaker open after %v, %v attempts while it was, first delivery %v after the end, all %v after it",
		clients, opened.Round(time.Millisecond), probes, recovered.Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
	if limit := 1*time.Second + roomierTime(500*time.Millisecond); opened > limit {
		t.Errorf("the breaker opened after %v, want its window of 1s", opened)
	}
	if limit := float64(mortalBudget/2/mortalProbe) + 64; probes > limit { // and what was in flight
		t.Errorf("%v attempts at a dead upstream while the breaker was open, want at most %v", probes, limit)
	}
	if limit := mortalProbe + roomierTime(500*time.Millisecond); recovered > limit {
		t.Errorf("the first event was delivered %v after the upstream was back, want one probe of %v", recovered, mortalProbe)
	}

	way.down(t)
	r = everybody.say(t.Context(), "given up")
	if r.closed.Load() != int64(clients) {
		t.Errorf("an outage longer than the budget: %v", r)
	}
	// No attempt begins when its time would be too short to succeed.
	if soonest := time.Duration(r.soonest.Load()); soonest < mortalBudget*3/4 {
		t.Errorf("the first client was closed after %v, its budget is %v", soonest, mortalBudget)
	}
	given := resident(t, g)
	t.Logf("resident: %d MiB alive, %d parked, %d given up", before>>20, parked>>20, given>>20)
	if limit := roomier(32<<20 + int64(clients)*4<<10); max(parked, given)-before > limit {
		t.Errorf("the gateway has grown from %d to %d and %d MiB", before>>20, parked>>20, given>>20)
	}

	g.AwaitMetric(t, "sluice_upstream_requests_total", float64(2*clients), "event=message", "outcome=ok")
	g.AwaitMetric(t, "sluice_upstream_requests_total", float64(3*clients), "event=message")
	g.AwaitMetric(t, "sluice_connections_closed_total", float64(clients), "initiator=server")
	expectRepeats(t, backend, false)

	way.up(t)
	expectFarewells(t, backend, clients)
}

// TestLargeMessagesForADeadUpstreamAreHeldUpToTheBudget has more bytes sent
// than a node may buffer. What it does not hold it refuses.
func TestLargeMessagesForADeadUpstreamAreHeldUpToTheBudget(t *testing.T) {
	gatewaytest.EachLoopCount(t, testLargeMessages)
}

func testLargeMessages(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	const clients, size, buffered = 100, 1 << 20, 16 << 20
	backend := serveHooks(t, nil)
	way := connectTo(t, backend.address)
	g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\n"+mortal, loops, way.Listen, mortalBudget)+fmt.Sprintf("limits: {buffered: %d}\n", buffered))
	everybody := gather(t, g, clients)
	before := resident(t, g)
	way.down(t)
	said := make(chan *round)
	go func() { said <- everybody.say(t.Context(), strings.Repeat("x", size-100)) }()
	most := before
	var r *round
	for samples := time.Tick(20 * time.Millisecond); r == nil; most = max(most, resident(t, g)) {
		select {
		case r = <-said:
		case <-samples:
		}
	}
	if r.closed.Load() != clients {
		t.Errorf("%v, want all closed", r)
	}
	t.Logf("resident: %d MiB before, at most %d with %d MiB sent", before>>20, most>>20, clients*size>>20)
	if most-before > roomier(4*buffered) { // a message that grows is copied, and garbage waits for its collection
		t.Errorf("the gateway has grown from %d to %d MiB, it may buffer %d", before>>20, most>>20, buffered>>20)
	}
}

// roomierTime is a bound on time where the race detector may slow things down.
func roomierTime(d time.Duration) time.Duration {
	if gatewaytest.Race {
		return 4 * d
	}
	return d
}
