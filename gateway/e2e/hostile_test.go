package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

// fault is one way for a backend to answer a message.
type fault struct {
	name string
	do   func(http.ResponseWriter, *http.Request, event)
	// What becomes of the client, and of the event in the metrics.
	answer  string // "" for none
	close   websocket.StatusCode
	outcome string
}

// faults are the ways that the contract has an end for. The gateway is
// configured with hostile.
func faults() []fault {
	const failed = websocket.StatusInternalError
	status := func(code int) func(http.ResponseWriter, *http.Request, event) {
		return func(w http.ResponseWriter, _ *http.Request, _ event) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
			io.WriteString(w, "not for the client")
		}
	}
	typed := func(kind, body string) func(http.ResponseWriter, *http.Request, event) {
		return func(w http.ResponseWriter, _ *http.Request, _ event) {
			w.Header()["Content-Type"] = []string{kind}
			if kind == "" {
				w.Header()["Content-Type"] = nil
			}
			io.WriteString(w, body)
		}
	}
	raw := func(bytes string, reset bool) func(http.ResponseWriter, *http.Request, event) {
		return func(w http.ResponseWriter, _ *http.Request, _ event) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			io.WriteString(conn, bytes)
			if reset {
				conn.(*net.TCPConn).SetLinger(0)
			}
			conn.Close()
		}
	}
	slow := func(w http.ResponseWriter, r *http.Request, _ event) {
		select {
		case <-time.After(300 * time.Millisecond):
			typed("text/plain", "late")(w, r, event{})
		case <-r.Context().Done():
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request, _ event) { <-r.Context().Done() }
	trickle := func(w http.ResponseWriter, r *http.Request, _ event) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, "."); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond) // the pace of the fault, nobody waits for it
		}
	}
	return []fault{
		{"text", typed("text/plain; charset=utf-8", "yes"), "yes", 0, "ok"},
		{"json", typed("application/json", `{"a":1}`), `{"a":1}`, 0, "ok"},
		{"slow", slow, "late", 0, "ok"},
		{"200 without a body", typed("", ""), "", 0, "ok"},
		{"200 without a body of an unknown type", typed("image/png", ""), "", 0, "ok"},
		{"204", status(http.StatusNoContent), "", 0, "ok"},

		{"200 of an unknown type", typed("application/xml", "<no/>"), "", failed, "refused"},
		{"200 of no type", typed("", "no"), "", failed, "refused"},
		{"text that is not UTF-8", typed("text/plain", "\xff\xfe"), "", failed, "refused"},
		{"201", status(http.StatusCreated), "", failed, "refused"},
		{"302", status(http.StatusFound), "", failed, "refused"},
		{"400", status(http.StatusBadRequest), "", failed, "refused"},
		{"404", status(http.StatusNotFound), "", failed, "refused"},
		{"500", status(http.StatusInternalServerError), "", failed, "refused"},
		{"10 MiB", typed("text/plain", strings.Repeat("x", 10<<20)), "", failed, "refused"},
		{"a header of 10 MiB", raw("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 10<<20)+"\r\n\r\n", false), "", failed, "refused"},
		{"garbage", raw("SSH-2.0-OpenSSH_9.9\r\n\r\n", false), "", failed, "refused"},

		{"503", status(http.StatusServiceUnavailable), "", failed, "failed"},
		{"reset", raw("", true), "", failed, "failed"},
		{"closed", raw("", false), "", failed, "failed"},
		{"dies within its answer", raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", false), "", failed, "failed"},

		{"hangs", hang, "", failed, "timeout"},
		{"never ends", trickle, "", failed, "timeout"},
	}
}

// hostile is the hub of a backend that does everything wrong: it may fail as
// often as it likes.
const hostile = `
hubs:
  default:
    paths: ["/"]
    anonymous: true
    upstream:
      url: 'http://%s/'
      events: ["*"]
      timeout: 1s
      budget: 2s
      breaker: {attempts: 1000000}
`

// serveFaults is a backend whose answer to a message is the fault of that name.
func serveFaults(t *testing.T) *hooks {
	ways := map[string]fault{}
	for _, f := range faults() {
		ways[f.name] = f
	}
	return serveHooks(t, func(w http.ResponseWriter, r *http.Request, e event) { ways[e.body].do(w, r, e) })
}

func TestEveryFaultOfABackendHasTheEndThatTheContractSays(t *testing.T) {
	gatewaytest.EachLoopCount(t, testEveryFault)
}

func testEveryFault(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\n"+hostile, loops, serveFaults(t).address))
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			before := g.Metric(t, "sluice_upstream_requests_total", "event=message", "outcome="+f.outcome)
			conn := gatewaytest.Dial(t, g.URL(), nil)
			ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
			defer cancel()
			if err := conn.Write(ctx, websocket.MessageText, []byte(f.name)); err != nil {
				t.Fatal(err)
			}
			ends := before + 1
			switch {
			case f.close != 0:
				if closed := gatewaytest.CloseOf(t, conn); closed.Code != f.close {
					t.Errorf("closed with %v, want %d", closed, f.close)
				}
			case f.answer != "":
				if _, got, err := conn.Read(ctx); err != nil || string(got) != f.answer {
					t.Errorf("answer %q, %v; want %q", got, err, f.answer)
				}
			default: // what has no answer is seen by the answer to the next
				exchange(t, conn, websocket.MessageText, "text", websocket.MessageText, "yes")
				ends++
			}
			g.AwaitMetric(t, "sluice_upstream_requests_total", ends, "event=message", "outcome="+f.outcome)
		})
	}
}

// tally is what clients saw of their messages' ends.
type tally struct {
	mu       sync.Mutex
	outcomes map[string]int
	closes   map[websocket.StatusCode]int
}

// TestTheCountsOfAHostileBackendAddUp has many clients meet faults at the same
// time. What they saw and what the gateway counted must be the same.
func TestTheCountsOfAHostileBackendAddUp(t *testing.T) {
	gatewaytest.EachLoopCount(t, testHostileCounts)
}

func testHostileCounts(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	all := faults()
	mild := all[:slices.IndexFunc(all, func(f fault) bool { return f.close != 0 })]
	g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\n"+hostile, loops, serveFaults(t).address))
	seen := &tally{outcomes: map[string]int{}, closes: map[websocket.StatusCode]int{}}
	before := resident(t, g)
	random := rand.New(rand.NewPCG(1, 2))
	var wg sync.WaitGroup
	for i := range 2 * len(all) { // every fault comes twice, behind others that end well
		var script []fault
		for range random.IntN(10) {
			script = append(script, mild[random.IntN(len(mild))])
		}
		script = append(script, all[i%len(all)], mild[0])
		conn := gatewaytest.Dial(t, g.URL(), nil)
		wg.Go(func() {
			if err := seen.provoke(t.Context(), conn, script); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()

	total := 0
	for outcome, n := range seen.outcomes {
		total += n
		g.AwaitMetric(t, "sluice_upstream_requests_total", float64(n), "event=message", "outcome="+outcome)
	}
	g.AwaitMetric(t, "sluice_upstream_requests_total", float64(total), "event=message")
	for code, n := range seen.closes {
		g.AwaitMetric(t, "sluice_connections_closed_total", float64(n), fmt.Sprint("code=", int(code)))
	}
	g.AwaitMetric(t, "sluice_connections_closed_total", float64(seen.closes[websocket.StatusInternalError]), "reason=upstream_failed")
	if grown := resident(t, g) - before; grown > roomier(64<<20) {
		t.Errorf("the gateway has grown by %d MiB", grown>>20)
	}
}

// provoke meets faults one after the other until one of them ends the
// connection. What has no answer is seen by the answer to the next.
func (s *tally) provoke(ctx context.Context, conn *websocket.Conn, script []fault) error {
	ctx, cancel := context.WithTimeout(ctx, 2*gatewaytest.Patience)
	defer cancel()
	for _, f := range script {
		if err := conn.Write(ctx, websocket.MessageText, []byte(f.name)); err != nil {
			return fmt.Errorf("send %q: %w", f.name, err)
		}
		s.count(f)
		if f.answer == "" && f.close == 0 {
			continue
		}
		_, got, err := conn.Read(ctx)
		if closed := (websocket.CloseError{}); f.close != 0 && errors.As(err, &closed) && closed.Code == f.close {
			return nil
		}
		if err != nil || string(got) != f.answer {
			return fmt.Errorf("after %q: %q, %w; want %q or close code %d", f.name, got, err, f.answer, f.close)
		}
	}
	s.mu.Lock()
	s.closes[websocket.StatusNormalClosure]++
	s.mu.Unlock()
	return conn.Close(websocket.StatusNormalClosure, "")
}

func (s *tally) count(f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[f.outcome]++
	if f.close != 0 {
		s.closes[f.close]++
	}
}
