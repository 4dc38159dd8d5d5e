package gateway

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"sluice/gateway/config"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream/webhook"
)

// ledgerTime is how long the backends fail.
var ledgerTime = flag.Duration("ledger", 500*time.Millisecond, "how long the backends of the ledger fail")

// Backends fail in every way at the same time, one hub each, while clients
// come, speak and leave. What clients, backends and the gateway have counted
// is the same in the end: every connection, message and event has ended in one
// counter, and nothing is left.
func TestWhateverBackendsDoEveryEventIsInOneCounter(t *testing.T) {
	gatewaytest.EachLoopCount(t, testAccounts)
}

// account is a hub, its backend, and its clients.
type account struct {
	*visitors
	backend *faulty
	books   gatewaytest.Scrape // those of the gateway, in the end
}

func testAccounts(t *testing.T, loops int) {
	before := openDescriptors(t)
	var accounts []*account
	cfg := gatewaytest.Config()
	cfg.Loops = loops
	cfg.Hubs = map[string]config.Hub{}
	for _, f := range backendFaults() {
		a := &account{backend: serveFaulty(t, f), visitors: &visitors{t: t, hub: f.name, strange: f.strange}}
		u := config.DefaultUpstream("http://" + a.backend.address)
		u.Breaker.Attempts = 1_000_000
		if f.settings != nil {
			f.settings(&u)
		}
		cfg.Hubs[f.name] = config.Hub{Anonymous: true, Upstream: u}
		accounts = append(accounts, a)
	}
	n := startOptions(t, cfg, func(o *Options) { o.Schemes["http"] = webhook.Open })
	for _, a := range accounts {
		a.n = n
	}
	n.fail(accounts)

	eventually(t, "nobody and nothing is left", func() bool {
		n.publish()
		now := gatewaytest.Gather(n.t, n.registry)
		for _, gauge := range []string{"connections", "handshakes_in_flight", "send_queue_bytes", "parked_sessions", "buffered_bytes",
			"upstream_in_flight", "upstream_waiting", "upstream_farewells", "upstream_attempts_in_flight"} {
			if now.Sum("sluice_"+gauge) != 0 {
				return false
			}
		}
		return true
	})
	n.settled()
	n.audit(accounts)
	n.Close()
	for _, a := range accounts {
		a.backend.vanish()
	}
	eventually(t, "every descriptor is closed", func() bool { return openDescriptors(t) <= before })
}

// fail has backends fail and clients visit, for a time, and the backends come
// back before the last clients leave.
func (n *node) fail(accounts []*account) {
	ctx, cancel := context.WithTimeout(n.t.Context(), *ledgerTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, a := range accounts {
		b := a.backend
		b.failing.Store(true)
		wg.Go(func() {
			for b.fault.beside != nil && ctx.Err() == nil {
				b.fault.beside(b)
			}
			<-ctx.Done()
			b.failing.Store(false)
		})
		wg.Go(func() { a.stay(ctx) })
	}
	wg.Wait()
}

// audit compares the books of all.
func (n *node) audit(accounts []*account) {
	n.t.Helper()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "fault\tconnects\trefused\topened\tsent\tdelivered\trepeated\tclosed 1011\tclosed 1013\tdiscarded\tdisconnected\tunaccounted\t")
	dialed, books := 0, gatewaytest.Gather(n.t, n.registry)
	for _, a := range accounts {
		a.books = books
		dialed += a.dialed
		fmt.Fprintln(w, a.row(a.check()))
	}
	w.Flush()
	n.t.Logf("%d loops, %v of each fault:\n%s", len(n.loops), *ledgerTime, table.String())
	accepted, ended := books.Sum("sluice_connections_accepted_total"), books.Sum("sluice_handshakes_total")
	if accepted != float64(dialed) || ended != accepted {
		n.t.Errorf("%d clients have connected, %v were accepted, and %v handshakes ended", dialed, accepted, ended)
	}
	if used := n.budget.Used(); used != 0 {
		n.t.Errorf("%d bytes of the budget are lost", used)
	}
}

// count is a metric of the hub.
func (a *account) count(name string, labels ...string) int {
	return int(a.books.Sum("sluice_"+name+"_total", append(labels, "hub="+a.hub)...))
}

// requests is how many events of a name have ended so, "": in any way.
func (a *account) requests(event, outcome string) int {
	labels := []string{"event=" + event}
	if outcome != "" {
		labels = append(labels, "outcome="+outcome)
	}
	return a.count("upstream_requests", labels...)
}

// check returns how much is in no counter, or in more than one.
func (a *account) check() (unaccounted int) {
	a.t.Helper()
	// within is for a count that must be between what is known and what may be.
	within := func(what string, least, got, most int) {
		a.t.Helper()
		if got < least || got > most {
			a.t.Errorf("%s: %s: %d, want %d to %d", a.hub, what, got, least, most)
			unaccounted += max(least-got, got-most)
		}
	}
	same := func(what string, got, want int) { a.t.Helper(); within(what, want, got, want) }

	asked := a.count("handshakes")
	opened := a.count("handshakes", "result=ok")
	within("handshakes", a.dialed-a.enteredInDoubt, asked, a.dialed)
	within("sessions opened", a.entered, opened, a.entered+a.enteredInDoubt)
	same("connect events", a.requests("connect", ""), asked)
	same("sessions closed", a.count("connections_closed"), opened)

	answered := a.echoed + a.strangers
	received, taken := a.count("messages_received"), a.requests("message", "ok")
	within("messages received and discarded", a.sent-a.sentInDoubt, received+a.count("messages_discarded"), a.sent)
	same("message events", a.requests("message", ""), received)
	within("messages taken by the backend", answered, taken, answered+a.sentInDoubt+a.unheard)
	within("messages sent and not dropped", answered, a.count("messages_sent")-a.count("messages_dropped"), answered+a.sentInDoubt)
	failed, overloaded := a.count("connections_closed", "reason=upstream_failed"), a.count("connections_closed", "reason=upstream_overloaded")
	lost := received - taken + a.requests("connected", "") - a.requests("connected", "ok")
	within("sessions closed because the backend failed", a.failed, failed, lost)
	within("sessions closed for overload", a.overloaded, overloaded, lost)
	within("sessions closed because of the backend", a.failed+a.overloaded, failed+overloaded, lost)
	if a.backend.fault.spares {
		same("refused and closed by a backend that spares them", a.refused+failed+overloaded, 0)
	}
	unaccounted += a.checkBackend()
	return unaccounted
}

// checkBackend compares what the backend has heard with what it was told.
func (a *account) checkBackend() (unaccounted int) {
	a.t.Helper()
	b := a.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	wrong := slices.Clone(b.wrong)
	blame := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	farewells, times := 0, 0
	for id, s := range b.sessions {
		farewells += len(s.farewells)
		switch {
		case len(s.farewells) > 1:
			blame("%s: %d disconnected events", id, len(s.farewells))
		case s.accepted && len(s.farewells) == 0:
			blame("%s: was accepted and has no disconnected event: %q", id, s.first)
		case s.declined && !s.accepted && len(s.first) > 1:
			blame("%s: was declined, and heard of: %q", id, s.first)
		}
		if !eventsInOrder(s.first) {
			blame("%s: out of order: %q", id, s.first)
		}
	}
	bodies := map[string]string{}
	for id, e := range b.events {
		times += e.times
		if insistent := e.name == "connected" || e.name == "disconnected"; e.done > 1 && !insistent {
			blame("%s %q was done %d times", e.name, e.body, e.done)
		}
		if e.name != "message" {
			continue
		}
		if other, twice := bodies[e.body]; twice {
			blame("%q has the ids %s and %s", e.body, id, other)
		}
		bodies[e.body] = id
	}
	if told := a.requests("disconnected", ""); told != farewells {
		blame("%d disconnected events, and the backend has heard %d", told, farewells)
	}
	if lost := a.count("upstream_lost"); lost != 0 {
		blame("%d events are lost", lost)
	}
	if attempts := a.count("upstream_attempts"); times > attempts {
		blame("%d attempts, and the backend has heard %d", attempts, times)
	}
	for i, w := range wrong {
		if i == 10 {
			a.t.Errorf("%s: and %d more", a.hub, len(wrong)-i)
			break
		}
		a.t.Errorf("%s: %s", a.hub, w)
	}
	return len(wrong)
}

// eventsInOrder reports whether a session's events are what they should be: connect,
// connected, the messages by their numbers, disconnected.
func eventsInOrder(events []string) bool {
	rank := map[string]int{"connect": 0, "connected": 1, "message": 2, "disconnected": 3}
	last, next, connected := -1, 0, false
	for _, e := range events {
		name, body, _ := strings.Cut(e, " ")
		r := rank[name]
		if r < last || r == last && name != "message" {
			return false
		}
		last = r
		connected = connected || name == "connected"
		if name == "message" {
			if !connected || !strings.HasSuffix(body, fmt.Sprintf(": %d", next)) {
				return false
			}
			next++
		}
	}
	return true
}

func (a *account) row(unaccounted int) string {
	b := a.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	repeated, farewells := 0, map[string]bool{}
	for _, e := range b.events {
		repeated += e.times - 1
	}
	for _, s := range b.sessions {
		maps.Copy(farewells, s.farewells)
	}
	return fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t", a.hub, a.dialed, a.refused, a.count("handshakes", "result=ok"), a.sent,
		a.requests("message", "ok"), repeated, a.count("connections_closed", "reason=upstream_failed"),
		a.count("connections_closed", "reason=upstream_overloaded"), a.count("messages_discarded"), len(farewells), unaccounted)
}
