package gateway

import (
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/engine"
	"sluice/metrics"
	"sluice/session"
)

// drain is how a loop sends its sessions away.
type drain struct {
	order []session.Ref // who is still to be told, in random order
	total int
	begun session.Tick
	took  session.Tick // the window
	until session.Tick // when no answer is waited for any longer
	empty chan struct{}
	gone  bool
	going bool // more are due than a slice of time was enough for
}

// beginDrain starts closing the sessions of l, spread over window. Answers to
// messages are waited for as long as the time left, in which everything is to
// be done, allows for: peers need some of it to answer their Close frames.
func (l *loop) beginDrain(window session.Tick, left time.Duration) <-chan struct{} {
	rest := session.Tick(max(0, left) / engine.Tick)
	d := &drain{begun: l.Now(), took: window, empty: make(chan struct{})}
	d.until = l.Now() + rest - min(rest/2, l.g.settings.Load().newcomers.CloseTime+1)
	l.all(func(c *client) {
		if c.State() == engine.Open {
			d.order = append(d.order, c.Ref())
		}
	})
	l.random.Shuffle(len(d.order), func(i, j int) { d.order[i], d.order[j] = d.order[j], d.order[i] })
	d.total = len(d.order)
	l.drain = d
	l.metrics.Gauge(metrics.DrainRemaining, int64(d.total))
	return d.empty
}

// drainTick closes as many sessions as are due by now, without keeping the
// sockets waiting.
func (l *loop) drainTick() {
	d := l.drain
	if !d.going && !l.closeDue() {
		d.going = l.inSlices((*loop).closeDue)
	}
	if l.Used() == 0 && !d.gone {
		d.gone = true
		close(d.empty)
	}
}

// closeDue closes sessions that are due for a slice of time, and is true when
// no more are.
func (l *loop) closeDue() bool {
	d := l.drain
	left := 0
	if elapsed := l.Now() - d.begun; elapsed < d.took {
		left = int(int64(d.total) * int64(d.took-elapsed) / int64(d.took))
	}
	for begin := l.Micros(); len(d.order) > left; {
		if l.Since(begin) > slice {
			return false
		}
		last := len(d.order) - 1
		next := d.order[last]
		d.order = d.order[:last]
		c := l.find(next)
		if c == nil || !l.sendAway(c, goingAway(d.until)) {
			l.metrics.Gauge(metrics.DrainRemaining, -1)
		}
	}
	d.going = false
	return true
}

// cutDrain ends a drain whose sessions have all been cut off.
func (l *loop) cutDrain() {
	if d := l.drain; d != nil {
		l.metrics.Gauge(metrics.DrainRemaining, -int64(len(d.order)))
		d.order = nil
	}
}

// goingAway is what sessions are told by a drain.
func goingAway(until session.Tick) parting {
	return parting{code: ws.StatusGoingAway, reason: metrics.ReasonDrain, text: "going away", until: until, drained: true}
}
