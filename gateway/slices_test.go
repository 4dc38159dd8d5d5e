package gateway

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
)

// crowdOf puts sessions without a client into a hub on the only loop, and takes
// them away after f, which is called while the loop stands still.
func (n *node) crowdOf(hub string, f func(l *loop, opened func() int)) (opened func() int, disband func()) {
	n.t.Helper()
	l := n.loops[0]
	h := n.settings.Load().hubs.Named(hub)
	count := syntheticMembers
	if raceEnabled {
		count /= 10
	}
	var members []*client
	l.do(func(l *loop) { members = l.synthetic(h, count) })
	opened = func() (count int) {
		for _, c := range members {
			if c.State() == engine.Open {
				count++
			}
		}
		return count
	}
	n.frozen(func() { f(l, opened) })
	return opened, func() {
		l.do(func(l *loop) {
			l.disband(members)
		})
	}
}

func withOther(cfg *config.Config) {
	cfg.Loops = 1
	cfg.Hubs["other"] = config.Hub{Paths: []string{"/other"}, Upstream: config.Upstream{URL: "echo:"}, Anonymous: true}
}

// served waits until every loop lets clients in, and nobody writes letters.
func (n *node) served() {
	n.t.Helper()
	eventually(n.t, "all loops have a clock", func() bool {
		ticking := true
		for _, l := range n.loops {
			l.do(func(l *loop) { ticking = ticking && l.Now() > 0 })
		}
		return ticking
	})
}

// mailed is how many letters wait for a loop that stands still.
func (l *loop) mailed() int {
	l.mail.mu.Lock()
	defer l.mail.mu.Unlock()
	return len(l.mail.in)
}

func TestReloadThatRemovesNoHubCostsALoopNothing(t *testing.T) {
	n := start(t, func(cfg *config.Config) { cfg.Loops = 4 })
	n.served()
	n.frozen(func() {
		if err := n.Reload(reloaded(func(cfg *config.Config) { cfg.Limits.Message = 5 })); err != nil {
			t.Error(err)
		}
		for _, l := range n.loops {
			if got := l.mailed(); got > 0 {
				t.Errorf("%d letters for loop %d", got, l.index)
			}
		}
	})
}

// A hub that goes with many sessions keeps a loop from nothing for long: other
// letters have their turn before it is done.
func TestRemovedHubIsClosedInSlices(t *testing.T) {
	n := start(t, withOther)
	n.dial()
	left := make(chan int, 1)
	opened, disband := n.crowdOf("other", func(l *loop, opened func() int) {
		if err := n.Reload(reloaded()); err != nil {
			t.Error(err)
		}
		l.post(letter{run: func(*loop) bool {
			left <- opened()
			return true
		}})
	})
	defer disband()
	if <-left == 0 && !raceEnabled {
		t.Error("the other letter waited for all of them")
	}
	eventually(t, "all are closed", func() (done bool) {
		n.loops[0].do(func(*loop) { done = opened() == 0 })
		return done
	})
}

// A drain with a window of 0 does it in slices, too.
func TestDrainWithoutAWindowClosesInSlices(t *testing.T) {
	n := start(t, withOther)
	n.dial()
	left := make(chan int, 1)
	opened, disband := n.crowdOf("default", func(*loop, func() int) {})
	defer disband()
	n.loops[0].do(func(l *loop) {
		l.beginDrain(0, 0)
		l.drainTick()
		l.drainTick() // asks for no second walk beside the first
		l.post(letter{run: func(*loop) bool {
			left <- opened()
			return true
		}})
		if opened() == 0 && !raceEnabled {
			t.Error("all were closed at once")
		}
		if got := l.mailed(); got > 2 {
			t.Errorf("%d letters", got)
		}
	})
	if <-left == 0 && !raceEnabled {
		t.Error("the other letter waited for all of them")
	}
	eventually(t, "all are closed", func() (done bool) {
		n.loops[0].do(func(*loop) { done = opened() == 0 })
		return done
	})
}

// There is no moment with another limit than the old or the new one.
func TestReloadSetsTheBudgetOnce(t *testing.T) {
	limits := []int64{64 << 20, 32 << 20}
	with := func(limit int64) *config.Config {
		return reloaded(limited(func(l *config.Limits) { l.Buffered = config.Size(limit) }))
	}
	n := start(t, limited(func(l *config.Limits) { l.Buffered = config.Size(limits[0]) }))
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !done.Load() {
			if got := n.budget.Limit(); got != limits[0] && got != limits[1] {
				t.Errorf("the limit was %d", got)
				return
			}
		}
	})
	for i := range 2000 {
		if err := n.Reload(with(limits[i%2])); err != nil {
			t.Fatal(err)
		}
	}
	done.Store(true)
	wg.Wait()
}

// closeCounter is an upstream that counts how often it is closed.
type closeCounter struct {
	upstream.Upstream
	closed *atomic.Int64
}

func (c closeCounter) Close(context.Context) int {
	c.closed.Add(1)
	return 0
}

// What a node has opened when a loop cannot be made is closed.
func TestNodeThatCannotBeMadeLeavesNothing(t *testing.T) {
	// A loop takes four descriptors. Of 3 or 7 the library keeps one: it
	// forgets its epoll set where there is none for its eventfd.
	for _, spare := range []uint64{0, 1, 2, 4, 5, 6} {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		restore := func() { syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) }
		var closed atomic.Int64
		before := openDescriptors(t)
		cfg := gatewaytest.Config(withUpstream)
		cfg.Loops = 4
		o := options(cfg, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		o.Schemes["test"] = func(upstream.Options) (upstream.Upstream, error) {
			// The next thing to be made are the loops.
			next, err := syscall.Dup(0)
			if err != nil {
				return nil, err
			}
			syscall.Close(next)
			few := limit
			few.Cur = uint64(next) + spare
			return closeCounter{newLate(upstream.Message), &closed}, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few)
		}
		g, err := New(o)
		restore()
		if err == nil {
			g.Close()
			t.Fatalf("%d spare descriptors are enough: nothing was tried", spare)
		}
		if closed.Load() != 1 {
			t.Errorf("%d spare descriptors, %v: the upstream was closed %d times", spare, err, closed.Load())
		}
		if after := openDescriptors(t); after > before {
			t.Errorf("%d spare descriptors, %v: %d were open, %d are", spare, err, before, after)
		}
	}
}
