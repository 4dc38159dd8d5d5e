package engine

import "sluice/metrics"

// evictions is how many go when one comes: one would do, but when a reload has
// lowered the bound, all that are over it at once would hold up the loop.
const evictions = 2

// quieten bounds the silent ones after s has come, which may be the last of them.
func (e *Engine) quieten(s *Stream) {
	if s.state != Heading {
		return // most have spoken when they are accepted
	}
	most := e.share()
	e.silent.join(s, most, e.isSilent)
	for range evictions {
		if e.silent.waiting > most && e.evictSilent() {
			e.set.Metrics.Reached(metrics.LimitSilent)
		}
	}
}

// evictSilent sends away the stream that has been silent for longest, unless its
// head has come just now. It reports whether there was one.
func (e *Engine) evictSilent() bool {
	t, ok := e.silent.oldest(e.isSilent)
	if !ok {
		return false
	}
	s := e.slab.at(t.slot)
	defer e.Guard(s)
	if e.readHead(s); s.state == Heading {
		e.owner.BadHead(s, nil, ErrBusy)
		e.Drop(s, metrics.ReasonReset) // nothing of it is unread: it is not reset
	}
	return true
}
