package descriptors

import (
	"fmt"
	"testing"

	"sluice/gateway/config"
)

func TestDescriptorsAreSharedOut(t *testing.T) {
	for _, c := range []struct {
		limit       uint64
		connections int // as configured
		hubs        int // that have a backend
		want        Shares
	}{
		{64, 0, 0, Shares{Own: 32, Newcomers: 16, HTTP: 4, Connections: 12}},
		{1024, 0, 0, Shares{Own: 64, Newcomers: 60, HTTP: 225, Connections: 675}},
		{1200, 0, 1, Shares{Own: 128, Newcomers: 67, HTTP: 251, Connections: 754}},
		{2000, 0, 0, Shares{Own: 64, Newcomers: 121, HTTP: 453, Connections: 1362}},
		{2000, 0, 1, Shares{Own: 128, Newcomers: 117, HTTP: 438, Connections: 1317}},
		{2000, 0, 100, Shares{Own: 500, Newcomers: 93, HTTP: 351, Connections: 1056}},
		{2000, 500, 0, Shares{Own: 355, Newcomers: 121, HTTP: 1024, Connections: 500}},
		{2000, 1000, 0, Shares{Own: 64, Newcomers: 121, HTTP: 815, Connections: 1000}},
		{2000, 1 << 20, 0, Shares{Own: 64, Newcomers: 121, HTTP: 453, Connections: 1362}},
		{20_000, 0, 0, Shares{Own: 720, Newcomers: 256, HTTP: 1024, Connections: 18_000}},
		{1 << 20, 0, 0, Shares{Own: 103_577, Newcomers: 256, HTTP: 1024, Connections: 943_719}},
		{1 << 63, 0, 0, Shares{Own: 1<<30/10 - 256 - 1024, Newcomers: 256, HTTP: 1024, Connections: 1<<30 - 1<<30/10}},
	} {
		t.Run(fmt.Sprintf("%d, %d wanted, %d backends", c.limit, c.connections, c.hubs), func(t *testing.T) {
			cfg := config.Default()
			cfg.Limits.Connections = c.connections
			for i := range c.hubs {
				cfg.Hubs[fmt.Sprint(i)] = config.Hub{Upstream: config.DefaultUpstream("http://127.0.0.1:1")}
			}
			got := Share(c.limit, cfg)
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if sum := uint64(got.Clients()) + uint64(got.Own); sum != min(c.limit, 1<<30) {
				t.Errorf("%d descriptors shared out", sum)
			}
		})
	}
}
