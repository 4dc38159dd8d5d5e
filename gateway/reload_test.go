package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
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
