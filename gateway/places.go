package gateway

import (
	"sluice/gateway/engine"
	"sluice/metrics"
)

// A place is the right to be one of the limits.connections sessions. A handshake
// for which somebody has to be asked takes its place before that, so that nobody
// whom the upstream accepts is turned away for want of one, and the upstream
// accepts no more than there are. It keeps the place as a session, and gives it
// back when it is refused. If the client leaves first, that is when the upstream
// has answered: it may have accepted.

// hubShare says which share of the places, and of the handshakes that may wait
// for somebody's word, a hub may hold: no more of them than hubShare times those
// that are left. A hub alone gets seven eighths, several slow ones leave some to
// all others, whatever their number.
const hubShare = 7

// takePlace takes a place for a client of h. It is false if there is none.
// If the client waits, it must be one of those that may, too.
func (g *Gateway) takePlace(s *settings, h *hub, waits bool) bool {
	places, asking, own := g.places.Add(1), g.asking.Add(1), h.asking.Add(1)
	left := min(s.connections-places, s.pending-asking) + 1 // itself not counted
	switch {
	case places > s.connections:
		g.metrics.Reached(metrics.LimitConnections)
	case waits && asking > s.pending:
		g.metrics.Reached(metrics.LimitPendingHandshakes)
	case waits && own > hubShare*left:
		g.metrics.Reached(metrics.LimitHubHandshakes)
	default:
		return true
	}
	g.givePlace(h)
	return false
}

// givePlace gives back the place of a client of h that does not become a
// session.
func (g *Gateway) givePlace(h *hub) {
	g.keepPlace(h)
	g.places.Add(-1)
}

// keepPlace ends a handshake whose client keeps its place, as a session.
func (g *Gateway) keepPlace(h *hub) {
	h.asking.Add(-1)
	g.asking.Add(-1)
}

// descriptorsLeft is how many more descriptors clients may take. Those that the
// upstream must still be told of count as clients.
func (g *Gateway) descriptorsLeft() int64 {
	return g.settings.Load().descriptors - g.sessions.Load() - g.set.Pending.Load() - g.http.Count()
}

// welcomes is nil while clients that have a place, or find one, may come in.
func (g *Gateway) welcomes() error {
	switch {
	case g.draining.Load():
		return errDraining
	case g.set.Crowded():
		g.metrics.Reached(metrics.LimitBuffered)
		g.relieve() // rather than at the next tick
		return engine.ErrBusy
	}
	return nil
}
