package webhook

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway/config"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// replies is a Sink that counts the closes.
type replies struct {
	sync.WaitGroup
	mu     sync.Mutex
	closed int
}

func (r *replies) Reply(_ session.Ref, reply upstream.Reply) {
	r.mu.Lock()
	if reply.Close.Code != 0 {
		r.closed++
	}
	r.mu.Unlock()
	r.Done()
}

// crowd is 300 clients of a hub.
type crowd struct {
	t        *testing.T
	upstream upstream.Upstream
	replies
	sent int
}

const crowdSize = 300

func newCrowd(t *testing.T, url string, edit func(*config.Upstream)) *crowd {
	o := options(url)
	o.Config.Breaker.Attempts = 1_000_000
	if edit != nil {
		edit(&o.Config)
	}
	o.Metrics = metrics.NewUpstream()
	o.Budget = session.NewBudget(1 << 20)
	u, err := Open(o)
	wantNoError(t, err)
	t.Cleanup(func() { u.Close(context.Background()) })
	return &crowd{t: t, upstream: u}
}

// speak lets all of them speak at once, and waits for what becomes of it.
func (c *crowd) speak() {
	c.t.Helper()
	for slot := range crowdSize {
		c.Add(1)
		ev := message("x").Event
		ev.From.Slot = uint32(slot)
		if _, inline := c.upstream.Send(&ev, &c.replies); inline {
			c.t.Fatal("answered at once")
		}
	}
	c.sent += crowdSize
	c.Wait()
}

// total returns how many events were executed, and how many times one was again.
func (l *ledger) total() (once, again int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.seen {
		once++
		again += n - 1
	}
	return once, again
}

// 300 clients speak at once, to a backend of which nothing is known yet, just
// when it ends the connections of the last time. None of them is closed, and
// nothing is executed twice, with the settings as they are by default.
func TestABackendThatRecyclesConnectionsClosesNobody(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		idle   time.Duration // when it ends what rests, 0: up to 20 ms after the answer
		rounds int
	}{
		"after 1.2 s":           {noContent, 1200 * time.Millisecond, 4},
		"after 2 s":             {noContent, 2 * time.Second, 4},
		"after 2 s, announced":  {"HTTP/1.1 204 No\r\nKeep-Alive: timeout=2\r\n\r\n", 2 * time.Second, 4},
		"at once":               {noContent, 0, 6},
		"with the answer, said": {"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n", 0, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrived := ledger{seen: map[string]int{}}
			var connections atomic.Int32
			ending := make(chan struct{}, 1)
			crowd := newCrowd(t, serveRaw(t, func(n int, tcp *net.TCPConn, in *bufio.Reader) {
				connections.Add(1)
				for r := readRequest(in); r != nil; r = readRequest(in) {
					arrived.enter(r.Header.Get("ce-id"))
					io.WriteString(tcp, c.answer)
					if c.idle == 0 {
						time.Sleep(time.Duration(n%21) * time.Millisecond) // the backend's way; nothing waits for it
						return
					}
					tcp.SetReadDeadline(time.Now().Add(c.idle))
					if _, err := in.Peek(1); err != nil {
						if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
							select {
							case ending <- struct{}{}:
							default:
							}
						}
						return
					}
				}
			}), nil)
			for round := range c.rounds {
				if round > 0 && c.idle > 0 {
					select {
					case <-ending:
					case <-time.After(time.Minute):
						t.Fatal("no connection was let rest")
					}
				}
				crowd.speak()
			}
			if once, again := arrived.total(); crowd.closed > 0 || once != crowd.sent || again != 0 {
				t.Errorf("of %d events %d were executed, %d times more than once, and %d clients closed", crowd.sent, once, again, crowd.closed)
			}
			t.Logf("%d events over %d connections", crowd.sent, connections.Load())
		})
	}
}

// Every seventh request meets the death of the worker that has it. Whether the
// worker had executed it cannot be told, so that by default the client is closed
// and nothing executed twice. Where the hub repeats, nobody is closed, and what
// is sent again is known by its key.
func TestWhatIsOnAKilledWorkerIsLostOrRepeatedAsTheHubSays(t *testing.T) {
	const every = 7
	for name, c := range map[string]struct{ executes, rests bool }{
		"before it executes": {},
		"after it executed":  {executes: true},
		"while it rests":     {executes: true, rests: true},
	} {
		for setting, edit := range map[string]func(*config.Upstream){
			"nothing":    nil,
			"resets":     func(u *config.Upstream) { u.RepeatReset = true },
			"all":        func(u *config.Upstream) { u.RepeatReset, u.RepeatUnanswered = true, true },
			"unanswered": func(u *config.Upstream) { u.RepeatUnanswered = true },
		} {
			t.Run(fmt.Sprintf("%s, repeats %s", name, setting), func(t *testing.T) {
				t.Parallel()
				arrived, keys := ledger{seen: map[string]int{}}, ledger{seen: map[string]int{}}
				var requests, kills atomic.Int32
				crowd := newCrowd(t, serveRaw(t, func(_ int, tcp *net.TCPConn, in *bufio.Reader) {
					for r := readRequest(in); r != nil; r = readRequest(in) {
						killed := requests.Add(1)%every == 0
						if !killed || c.executes {
							arrived.enter(r.Header.Get("ce-id"))
							if key := r.Header.Get("Idempotency-Key"); key != "" {
								keys.enter(key)
							}
						}
						if !killed || c.rests {
							// That it is kept is said, so that from the first on each may be used again.
							io.WriteString(tcp, "HTTP/1.1 204 No\r\nKeep-Alive: timeout=60\r\n\r\n")
						}
						if killed {
							kills.Add(1)
							tcp.SetLinger(0)
							return
						}
					}
				}), edit)
				for range 3 {
					crowd.speak()
				}
				once, again := arrived.total()
				repeatsAll := setting == "all" || setting == "unanswered"
				if repeatsAll && (crowd.closed > 0 || once != crowd.sent) {
					t.Errorf("%d of %d are closed, %d executed", crowd.closed, crowd.sent, once)
				}
				if again > 0 && (edit == nil || !c.executes || c.rests) {
					t.Errorf("%d were executed again", again)
				}
				if distinct, _ := keys.total(); (edit != nil) != (distinct > 0) || edit != nil && distinct != once {
					t.Errorf("%d were executed under %d keys", once, distinct)
				}
				if !repeatsAll && !c.rests && crowd.closed == 0 {
					t.Error("nobody is closed: no worker was killed in time")
				}
				if once+crowd.closed < crowd.sent {
					t.Errorf("%d executed, %d closed: of %d some are neither", once, crowd.closed, crowd.sent)
				}
				t.Logf("%d events, %d kills: %d clients closed, %d executed, %d of them again, %d never",
					crowd.sent, kills.Load(), crowd.closed, once, again, crowd.sent-once)
			})
		}
	}
}
