package gateway

import (
	"sluice/metrics"
)

// A place is the right to be one of the limits.connections sessions. A handshake
// for which somebody has to be asked takes its place before that, so that nobody
// whom the upstream accepts is turned away for want of one, and the upstream
// accepts no more than there are. It keeps the place as a session, and gives it
// back when it is refused. If the client leaves first, that is when the upstream
// has answered: it may have accepted.

// takePlace takes a place. It is false if there is none.
func (g *Gateway) takePlace(s *settings) bool {
	if g.places.Add(1) > s.connections {
		g.places.Add(-1)
		g.metrics.Reached(metrics.LimitConnections)
		return false
	}
	return true
}

// givePlace gives a place back.
func (g *Gateway) givePlace() { g.places.Add(-1) }

// placed reports whether c, which is not a session yet or never was one, has a
// place.
func (c *client) placed() bool {
	return !c.upgraded && (c.state == asking || c.state == orphaned)
}
