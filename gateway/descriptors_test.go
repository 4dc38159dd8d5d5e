package gateway

import (
	"fmt"
	"net/http"
	"sluice/gateway/engine"
	"testing"

	"sluice/gateway/config"
	"sluice/gateway/gatewaytest"
)

func TestDescriptorsAreSharedOut(t *testing.T) {
	for _, c := range []struct {
		limit       uint64
		connections int // as configured
		hubs        int // that have a backend
		want        Descriptors
	}{
		{64, 0, 0, Descriptors{Own: 32, Newcomers: 16, HTTP: 4, Connections: 12}},
		{1024, 0, 0, Descriptors{Own: 64, Newcomers: 60, HTTP: 225, Connections: 675}},
		{1200, 0, 1, Descriptors{Own: 128, Newcomers: 67, HTTP: 251, Connections: 754}},
		{2000, 0, 0, Descriptors{Own: 64, Newcomers: 121, HTTP: 453, Connections: 1362}},
		{2000, 0, 1, Descriptors{Own: 128, Newcomers: 117, HTTP: 438, Connections: 1317}},
		{2000, 0, 100, Descriptors{Own: 500, Newcomers: 93, HTTP: 351, Connections: 1056}},
		{2000, 500, 0, Descriptors{Own: 355, Newcomers: 121, HTTP: 1024, Connections: 500}},
		{2000, 1000, 0, Descriptors{Own: 64, Newcomers: 121, HTTP: 815, Connections: 1000}},
		{2000, 1 << 20, 0, Descriptors{Own: 64, Newcomers: 121, HTTP: 453, Connections: 1362}},
		{20_000, 0, 0, Descriptors{Own: 720, Newcomers: 256, HTTP: 1024, Connections: 18_000}},
		{1 << 20, 0, 0, Descriptors{Own: 103_577, Newcomers: 256, HTTP: 1024, Connections: 943_719}},
		{1 << 63, 0, 0, Descriptors{Own: 1<<30/10 - 256 - 1024, Newcomers: 256, HTTP: 1024, Connections: 1<<30 - 1<<30/10}},
	} {
		t.Run(fmt.Sprintf("%d, %d wanted, %d backends", c.limit, c.connections, c.hubs), func(t *testing.T) {
			cfg := config.Default()
			cfg.Limits.Connections = c.connections
			for i := range c.hubs {
				cfg.Hubs[fmt.Sprint(i)] = config.Hub{Upstream: config.DefaultUpstream("http://127.0.0.1:1")}
			}
			got := ShareDescriptors(c.limit, cfg)
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if sum := uint64(got.clients()) + uint64(got.Own); sum != min(c.limit, 1<<30) {
				t.Errorf("%d descriptors shared out", sum)
			}
		})
	}
}

// Where descriptors are few, somebody who says nothing goes before a newcomer
// does, and the newcomer if there is nobody.
func TestNewcomerTakesTheDescriptorOfTheOldestSilentOne(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		n := start(t, func(cfg *config.Config) { cfg.Loops = loops })
		session := n.dial()
		left := n.descriptorsLeft()
		n.set.Pending.Add(left) // as if they were newcomers
		n.connect().wantBusy()
		n.set.Pending.Add(-1)
		silent := n.connect()
		n.awaits("it is accepted", func(c *client) bool { return c.State() == engine.Heading })
		for i := range 100 { // until one comes to the loop of the silent one
			if i == 99 {
				t.Fatal("the silent one stays")
			}
			p := n.connect()
			p.say(request("/"))
			resp, err := http.ReadResponse(p.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			p.Close()
			if resp.StatusCode == http.StatusSwitchingProtocols {
				break
			}
		}
		silent.wantBusy()
		silent.Close()
		session.Close()
		n.set.Pending.Add(1 - left)
		n.settled()
	})
}
