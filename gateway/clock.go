package gateway

import (
	"time"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/session"
)

// ticks is d in ticks, rounded up: a deadline is never early.
func ticks(d config.Duration) session.Tick {
	return session.Tick((time.Duration(d) + engine.Tick - 1) / engine.Tick)
}

// uptime is the node's clock, for what is compared between loops, of which each
// has its own. Any goroutine.
func (g *Gateway) uptime() time.Duration { return g.loops[0].Uptime() }
