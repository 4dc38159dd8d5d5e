package gateway

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/upstream"
	"sluice/metrics"
)

// reloaded is the configuration that start serves, with another change.
func reloaded(edits ...func(*config.Config)) *config.Config {
	cfg := config.Default()
	for _, edit := range edits {
		edit(cfg)
	}
	return cfg
}

func TestReloadReachesTheSessionsThatExist(t *testing.T) {
	n := start(t, nil)
	p := n.dial()
	p.send(text("0123456789"))
	p.want(ws.OpText, "0123456789")
	if err := n.Reload(reloaded(func(cfg *config.Config) { cfg.Limits.Message = 5 })); err != nil {
		t.Fatal(err)
	}
	p.send(text("0123456789"))
	p.wantClose(ws.StatusMessageTooBig)
	n.closedFor(metrics.ReasonMessageTooBig)
}

func TestReloadClosesTheSessionsOfAHubThatIsGone(t *testing.T) {
	other := func(cfg *config.Config) {
		cfg.Hubs["other"] = config.Hub{Paths: []string{"/other"}, Upstream: config.Upstream{URL: "echo:"}, Anonymous: true}
	}
	n := start(t, other)
	stays := n.dial()
	goes := n.connect()
	goes.say(request("/other"))
	goes.wantStatus(http.StatusSwitchingProtocols)
	if err := n.Reload(reloaded()); err != nil {
		t.Fatal(err)
	}
	goes.want(ws.OpClose, string(ws.NewCloseFrameBody(ws.StatusGoingAway, "hub removed")))
	goes.send(closeFrame(ws.StatusGoingAway))
	goes.wantEnd()
	n.closedFor(metrics.ReasonHubRemoved)
	stays.send(text("still here"))
	stays.want(ws.OpText, "still here")
	late := n.connect()
	late.say(request("/other"))
	late.wantStatus(http.StatusNotFound)

	// It comes back, and new sessions with it.
	if err := n.Reload(reloaded(other)); err != nil {
		t.Fatal(err)
	}
	again := n.connect()
	again.say(request("/other"))
	again.wantStatus(http.StatusSwitchingProtocols)
}

// Sessions of a hub that a reload takes away are bounded by what it says of all
// others, and by what their hub said of their messages.
func TestSessionsOfAHubThatIsGoneAreBoundedByTheReload(t *testing.T) {
	n := start(t, func(cfg *config.Config) { cfg.Limits.Message = 1000 })
	h := n.settings.Load().hubs.Named("default")
	had := *h.class.Limits()
	if err := n.Reload(reloaded(func(cfg *config.Config) {
		cfg.Hubs["other"] = cfg.Hubs["default"]
		delete(cfg.Hubs, "default")
		cfg.Limits.Close = config.Duration(time.Minute)
		cfg.Limits.Queue = 12345
		cfg.Limits.Message = 5
	})); err != nil {
		t.Fatal(err)
	}
	got := h.class.Limits()
	if got.CloseTime != ticks(config.Duration(time.Minute)) || got.Queue != 12345 {
		t.Errorf("closed within %d ticks, %d bytes are queued", got.CloseTime, got.Queue)
	}
	if got.Message != had.Message || got.Read != had.Read {
		t.Errorf("messages are bounded by %+v, read %d", got.Message, got.Read)
	}
}

func TestBadReloadLeavesEverythingInForce(t *testing.T) {
	n := start(t, nil)
	p := n.dial()
	err := n.Reload(reloaded(func(cfg *config.Config) {
		cfg.Limits.Message = 5
		cfg.Hubs["other"] = config.Hub{Upstream: config.Upstream{URL: "nobody-speaks-this:"}}
	}))
	if err == nil {
		t.Fatal("a hub without an upstream was accepted")
	}
	p.send(text("0123456789"))
	p.want(ws.OpText, "0123456789")
}

// reluctant is an upstream whose backend does not answer any more.
type reluctant struct{ *lateUpstream }

func (reluctant) Close(ctx context.Context) int {
	<-ctx.Done()
	return 1
}

// What a reload has replaced is not waited for when everything is cut.
func TestCloseDoesNotWaitForAReplacedUpstream(t *testing.T) {
	n := start(t, withUpstream, reluctant{newLate(upstream.Message)})
	if err := n.Reload(config.Default()); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		n.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("Close waits for an upstream that nobody uses")
	}
	if !strings.Contains(n.log.String(), "events not delivered") {
		t.Error("the loss is not logged")
	}
}

// host is an upstream that lets everybody in under one name.
type host struct{ name string }

func (host) Close(context.Context) int { return 0 }

func (host) Traits() upstream.Traits { return upstream.Traits{Events: upstream.Connect, Inline: true} }

func (u host) Send(*upstream.Event, upstream.Sink) (upstream.Reply, bool) {
	return upstream.Reply{Verdict: &upstream.Verdict{User: u.name}}, true
}

// The processors that Go uses may become more or fewer while the node runs. A
// hub that a reload adds is served by the loops that there are.
func TestLoopsStayAsManyAsTheyWereWhenProcessorsComeAndGo(t *testing.T) {
	processors := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(processors) })
	for _, c := range []struct{ before, after int }{{5, 2}, {2, 5}} {
		t.Run(fmt.Sprintf("%d and then %d", c.before, c.after), func(t *testing.T) {
			runtime.GOMAXPROCS(c.before)
			n := start(t, nil, host{"ann"})
			loops := len(n.loops)
			if loops != c.before-1 {
				t.Fatalf("%d loops on %d processors", loops, c.before)
			}
			runtime.GOMAXPROCS(c.after)
			if err := n.Reload(reloaded(func(cfg *config.Config) {
				cfg.Hubs["other"] = config.Hub{Paths: []string{"/other"}, Upstream: config.Upstream{URL: "test:"}}
			})); err != nil {
				t.Fatal(err)
			}
			served := make([]int, loops)
			for clients := 0; slices.Contains(served, 0) || clients < 10; clients++ {
				p := n.connect()
				p.say(request("/other"))
				p.wantStatus(http.StatusSwitchingProtocols)
				found, err := n.Do(t.Context(), delivery.Target{Hub: "other", Kind: delivery.User, Name: "ann"}, delivery.Find{})
				if err != nil || found.Matched != clients+1 {
					t.Fatalf("%+v, %v, want %d sessions of the user", found, err, clients+1)
				}
				for i, l := range n.loops {
					l.do(func(l *loop) { served[i] = l.Counts().Used })
				}
			}
			if len(n.loops) != loops {
				t.Errorf("%d loops, then %d", loops, len(n.loops))
			}
		})
	}
}

// shows reports whether the scrape has a series of a hub.
func (n *node) shows(hub string) bool {
	return strings.Contains(scrape(n.t, n.registry), fmt.Sprintf("hub=%q", hub))
}

func TestHubsThatReloadsAddAndRemoveDoNotAddUpInTheMetrics(t *testing.T) {
	for _, loops := range []int{1, 4} {
		n := start(t, func(cfg *config.Config) { cfg.Loops = loops })
		for i := range 1000 {
			err := n.Reload(reloaded(func(cfg *config.Config) {
				cfg.Loops = loops
				name := fmt.Sprint("hub", i)
				cfg.Hubs[name] = config.Hub{Paths: []string{"/" + name}, Upstream: config.Upstream{URL: "echo:"}, Anonymous: true}
			}))
			if err != nil {
				t.Fatal(err)
			}
		}
		if !n.shows("hub999") {
			t.Error("the last one is not shown")
		}
		n.Gateway.Close() // who was replaced is retired now, and not later
		eventually(t, "the removed hubs are forgotten", func() bool { return !n.shows("hub998") && !n.shows("hub0") })
		if !n.shows("default") {
			t.Error("the hub that stayed is forgotten, too")
		}
	}
}

func TestHubOfARefusedConfigurationLeavesNoSeries(t *testing.T) {
	n := start(t, nil)
	err := n.Reload(reloaded(func(cfg *config.Config) {
		for _, name := range []string{"a", "b"} {
			cfg.Hubs[name] = config.Hub{Paths: []string{"/" + name}, Upstream: config.Upstream{URL: "nonsense:"}}
		}
	}))
	if err == nil || n.shows("a") || n.shows("b") {
		t.Errorf("%v; a is shown: %t, b: %t", err, n.shows("a"), n.shows("b"))
	}
}
