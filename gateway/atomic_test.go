package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
)

// peopled starts a node of that many loops with at least two clients on each,
// and returns them by loop.
func peopled(t *testing.T, loops int, edit func(*config.Config), upstreams ...upstream.Upstream) (*node, [][]*peer) {
	t.Helper()
	n := start(t, func(cfg *config.Config) {
		cfg.Loops = loops
		if edit != nil {
			edit(cfg)
		}
	}, upstreams...)
	peers := make([][]*peer, loops)
	for short := true; short; {
		p := n.dial()
		n.each(func(c *client) {
			if c.is(p) {
				on := c.Ref().Loop
				peers[on] = append(peers[on], p)
			}
		})
		short = false
		for _, on := range peers {
			short = short || len(on) < 2
		}
	}
	return n, peers
}

// occupy takes room in the mailbox of a loop, and reports whether there was some.
func (l *loop) occupy(size int) bool {
	return l.mail.take(size, l.g.settings.Load().mailbox) == taken
}

// only holds up one loop while f runs.
func (l *loop) only(f func()) {
	thaw, stopped := make(chan struct{}), make(chan struct{})
	l.post(letter{run: func(*loop) bool {
		close(stopped)
		<-thaw
		return true
	}})
	<-stopped
	defer close(thaw)
	f()
}

// A push that is refused has reached nobody, on whichever loop there is no
// room: whoever is told to come back later does, and sends it again.
func TestPushIsTakenByAllLoopsOrByNone(t *testing.T) {
	for _, loops := range []int{1, 4} {
		for full := range loops {
			t.Run(fmt.Sprintf("loop %d of %d", full, loops), func(t *testing.T) {
				n, peers := peopled(t, loops, limited(func(l *config.Limits) { l.Mailbox = 64 * config.KiB }))
				target := delivery.Target{Hub: "default"}
				l := n.loops[full]
				held := make([]int64, loops)
				l.only(func() {
					if !l.occupy(60 << 10) {
						t.Fatal("there is no room to begin with")
					}
					for i, l := range n.loops {
						held[i] = l.mail.bytes.Load()
					}
					for range 3 {
						r, err := n.Do(t.Context(), target, delivery.Send{Op: ws.OpBinary, Data: make([]byte, 10<<10)})
						if !errors.Is(err, delivery.ErrFull) || r != (delivery.Result{}) {
							t.Errorf("%+v, %v", r, err)
						}
					}
					for i, l := range n.loops {
						if got := l.mail.bytes.Load(); got != held[i] {
							t.Errorf("%d bytes are reserved with loop %d, %d were", got, i, held[i])
						}
					}
					if used := n.budget.Used(); used != 0 {
						t.Errorf("%d bytes of the budget are lost", used)
					}
					// What needs less room, or none, is taken.
					ctx, cancel := context.WithCancel(t.Context())
					cancel()
					if _, err := n.Do(ctx, target, delivery.Send{Op: ws.OpText, Data: []byte("small")}); err != nil {
						t.Error(err)
					}
				})
				l.mail.delivered(60 << 10)
				if _, err := n.Do(t.Context(), target, delivery.Send{Op: ws.OpText, Data: []byte("again")}); err != nil {
					t.Error(err)
				}
				for _, on := range peers {
					for _, p := range on {
						p.want(ws.OpText, "small") // and nothing before it
						p.want(ws.OpText, "again")
					}
				}
				for _, l := range n.loops {
					eventually(t, "the mailbox is empty", func() bool { return l.mail.bytes.Load() == 0 })
				}
			})
		}
	}
}

// A panic in an errand that is no session's fault answers whoever waits, and
// keeps nothing.
func TestErrandThatPanicsGivesBackWhatItHolds(t *testing.T) {
	for _, loops := range []int{1, 4} {
		n, peers := peopled(t, loops, nil)
		// A slot that makes the filter panic, in each loop.
		var traps []*client
		var streams []*engine.Stream
		for _, l := range n.loops {
			l.do(func(l *loop) {
				c := l.sham(n.settings.Load().hubs.Named("default"))
				streams = append(streams, c.Stream)
				c.Stream = nil
				traps = append(traps, c)
			})
		}
		broken := delivery.Target{Hub: "default", Filter: mustFilter(t, "connectionId eq 'x'")}
		began := time.Now()
		r, err := n.Do(t.Context(), broken, delivery.Send{Op: ws.OpText, Data: []byte("lost")})
		if err != nil || r != (delivery.Result{Pending: loops}) {
			t.Errorf("%d loops: %+v, %v", loops, r, err)
		}
		if _, err := n.List(t.Context(), broken, delivery.Cursor{}, 10); !errors.Is(err, errSurvey) {
			t.Errorf("%d loops: listing: %v", loops, err)
		}
		if time.Since(began) > patience {
			t.Error("somebody was not answered")
		}
		for _, l := range n.loops {
			if got := l.mail.bytes.Load(); got != 0 {
				t.Errorf("%d loops: %d bytes stay in a mailbox", loops, got)
			}
		}
		if used := n.budget.Used(); used != 0 {
			t.Errorf("%d loops: %d bytes of the budget are lost", loops, used)
		}
		for i, l := range n.loops {
			l.do(func(l *loop) {
				traps[i].Stream = streams[i]
				l.dispel(traps[i])
			})
		}
		n.publish()
		if got := n.metric("sluice_panics_total"); got != float64(loops+1) {
			t.Errorf("%d loops: %v panics counted", loops, got)
		}
		if err := n.broadcast(ws.OpText, []byte("next")); err != nil {
			t.Fatal(err)
		}
		for _, on := range peers {
			for _, p := range on {
				p.want(ws.OpText, "next")
			}
		}
	}
}

// A loop that stands still holds up nobody who lists for ever.
func TestListWaitsForALoopForABoundedTime(t *testing.T) {
	n, peers := peopled(t, 4, nil)
	all := 0
	for _, on := range peers {
		all += len(on)
	}
	target := delivery.Target{Hub: "default"}
	n.loops[0].only(func() {
		if page, err := n.List(t.Context(), target, delivery.Cursor{}, 200); !errors.Is(err, context.DeadlineExceeded) || len(page.Entries) > 0 {
			t.Errorf("%+v, %v: want the error of a loop that does not answer", page, err)
		}
	})
	seen := map[string]int{}
	from := delivery.Cursor{}
	n.loops[2].only(func() {
		page, err := n.List(t.Context(), target, from, 200)
		if err != nil || len(page.Entries) != len(peers[0])+len(peers[1]) || page.Next == nil {
			t.Fatalf("%+v, %v: want those of the loops before it, and a cursor", page, err)
		}
		for _, e := range page.Entries {
			seen[e.ConnectionID]++
		}
		from = *page.Next
	})
	page, err := n.List(t.Context(), target, from, 200)
	if err != nil || page.Next != nil {
		t.Fatal(page, err)
	}
	for _, e := range page.Entries {
		seen[e.ConnectionID]++
	}
	if len(seen) != all || len(page.Entries) != len(peers[2])+len(peers[3]) {
		t.Errorf("%d of %d sessions were listed", len(seen), all)
	}
}
