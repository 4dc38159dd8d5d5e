package gateway

import (
	"slices"
	"time"

	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/metrics"
	"sluice/session"
)

// sweep looks at every client of the node.
func (s *simulation) sweep() {
	open, sessions, mail := len(s.plain.conns), int64(0), false
	for _, l := range s.listeners {
		if l.FD() >= 0 {
			open++
		}
	}
	for _, l := range s.loops {
		if err := l.Check(); err != nil {
			s.fail("loop %d: %v", l.index, err)
		}
		l.all(func(c *client) {
			if c.Connected() {
				open++
				delete(s.plain.returned, c.FD())
				if c.Upgraded() {
					sessions++
				}
			}
			s.look(l, c)
		})
		s.wakes(l)
		mail = mail || l.hasMail()
	}
	if !mail {
		clear(s.plain.returned)
	}
	if got := s.world.Open(); got != open && len(s.plain.returned) == 0 {
		s.fail("%d descriptors are open, clients, listeners and HTTP have %d", got, open)
	}
	if got := s.sessions.Load(); got != sessions {
		s.fail("the node counts %d sessions, there are %d", got, sessions)
	}
	if s.budget.Used() < 0 || s.set.Pending.Load() < 0 || s.places.Load() < 0 || s.asking.Load() < 0 {
		s.fail("a count is negative: budget %d, pending %d, places %d, asking %d",
			s.budget.Used(), s.set.Pending.Load(), s.places.Load(), s.asking.Load())
	}
	if s.relieving.Load() && !mail {
		s.fail("a relief is under way, and nobody has a letter of it")
	}
}

// wakes holds that somebody wakes what waits for room.
func (s *simulation) wakes(l *loop) {
	for _, other := range s.loops {
		m := &other.mail
		if len(l.withheld[m]) > 0 && !l.hasMail() && (!slices.Contains(m.waiters, l) || m.bytes.Load() == 0) {
			s.fail("loop %d: %d replies wait for the mailbox of loop %d, which has %d bytes, and nobody wakes them", l.index,
				len(l.withheld[m]), other.index, m.bytes.Load())
		}
	}
}

// hasMail reports whether l has still to read a letter.
func (l *loop) hasMail() bool { return len(l.mail.in)+len(l.mail.out)-l.mail.next > 0 }

// look holds what must be true of one client between two callbacks.
func (s *simulation) look(l *loop, c *client) {
	slot := c.Slot()
	if told := s.backend.conns[c.Ref()]; c.waiting() && !l.hasMail() && c.hub.name != "echo" && (told == nil || !told.under) && !l.withholds(c) {
		s.fail("slot %d, state %d, waits for the backend, which has nothing of it", slot, c.State())
	}
	late := session.Tick(s.lateness()/engine.Tick) + 10
	if since, thirsty := l.Thirst(c.Stream); thirsty && l.Now()-since > engine.ThirstTicks+late {
		s.fail("slot %d has been thirsty for %d ticks", slot, l.Now()-since)
	}
	if c.State() == engine.Open && c.hub.now.Load().gone && !s.tight {
		if over := s.world.Now() - s.removal; over > time.Duration(l.g.settings.Load().newcomers.CloseTime+late)*engine.Tick {
			s.fail("slot %d is open %v after its hub was removed", slot, over)
		}
	}
	if c.State() == engine.Open && c.who != nil && c.who.grant != nil && c.who.grant.bounded {
		close := time.Duration(l.g.settings.Load().newcomers.CloseTime) * engine.Tick
		if over := s.world.Now() - c.who.grant.expires; over > close+time.Duration(late)*engine.Tick {
			s.fail("slot %d is open %v after the end of its token", slot, over)
		}
	}
}

// isOpen reports whether ref is an open session that nobody has dismissed.
func (s *simulation) isOpen(ref session.Ref) bool {
	l := s.loops[ref.Loop]
	c := l.find(ref)
	return c != nil && c.State() == engine.Open && !l.dismissed(c)
}

// starves reports whether ref, if it is there, waits for buffers: for its input, or for what an answer does.
func (s *simulation) starves(ref session.Ref) bool {
	l := s.loops[ref.Loop]
	c := l.find(ref)
	if c == nil {
		return false
	}
	_, thirsty := l.Thirst(c.Stream)
	return thirsty || c.waiting() && !s.backend.conns[ref].under
}

// calmed holds what must be true of clients that have heard everything out.
func (s *simulation) calmed() {
	if s.cut {
		return
	}
	for i, l := range s.listeners {
		if n := l.Waiting(); n > 0 {
			s.fail("%d connections wait for loop %d to accept them", n, i)
		}
	}
	for i, c := range s.clients {
		switch {
		case s.failed || c.peer == nil || !c.upgraded || c.closed:
		case s.tight && (!c.visit.known || s.starves(c.visit.ref)): // and will be closed for that
		case c.ended:
			s.fail("client %d has ended its direction, and the gateway has not ended the other", i)
		case len(c.unsent) > 0 || c.answered < c.sent && !c.half:
			s.fail("client %d has %d bytes that it cannot send, and %d answers to %d messages", i, len(c.unsent), c.answered, c.sent)
		}
		if s.failed || c.peer == nil || !c.upgraded || c.closed || c.half || c.visit.doomed {
			continue
		}
		c.visit.calmed()
		for _, d := range c.visit.due {
			if d.must {
				s.fail("visit %d has not heard push %d, which was for it", c.visit.number, d.id)
			}
		}
	}
}

// ended holds what must be left of a node whose clients have all gone.
func (s *simulation) ended() {
	for _, l := range s.loops {
		if l.Counts().Used > 0 || l.Counts().Stalled+l.Counts().Thirsty+len(l.petitions)+len(l.partings)+l.remains.Len()+l.Counts().Skimmed > 0 || l.Counts().Timers > 0 {
			s.fail("loop %d: %d slots, %d stalled, %d thirsty, %d petitions, %d partings, %d remains, %d outlines, %d timers are left", l.index,
				l.Counts().Used, l.Counts().Stalled, l.Counts().Thirsty, len(l.petitions), len(l.partings), l.remains.Len(), l.Counts().Skimmed, l.Counts().Timers)
		}
		if n := l.mail.bytes.Load(); n != 0 || len(l.withheld) > 0 {
			s.fail("loop %d: %d bytes of pushes are left, and what waits for %d mailboxes", l.index, n, len(l.withheld))
		}
		l.Trim()
	}
	if used, pending, places, asking := s.budget.Used(), s.set.Pending.Load(), s.places.Load(), s.asking.Load(); used != 0 || pending != 0 || places != 0 || asking != 0 {
		s.fail("left: budget %d, pending %d, places %d, asking %d", used, pending, places, asking)
	}
	if s.relieving.Load() {
		s.fail("a relief does not end")
	}
	for _, p := range s.pushes {
		if p.asked > 0 {
			s.fail("push %d, %T, was not answered", p.id, p.action)
		}
	}
	s.sweep()
	s.audit()
}

// audit holds the metrics against what was seen.
func (s *simulation) audit() {
	for _, l := range s.loops {
		l.metrics.Publish()
	}
	m := gatewaytest.Gather(s.t, s.registry)
	if n := m.Sum("sluice_panics_total"); n > 0 {
		s.fail("%v callbacks panicked", n)
	}
	for _, level := range []string{"connections", "handshakes_in_flight", "parked_sessions", "send_queue_bytes", "groups", "group_memberships", "drain_remaining_connections"} {
		if n := m.Sum("sluice_" + level); n != 0 {
			s.fail("sluice_%s is %v at the end", level, n)
		}
	}
	untold := 0.0
	for _, c := range s.backend.conns {
		if c.accepted && !c.told {
			untold++
		}
	}
	if lost := m.Sum("sluice_upstream_lost_total"); untold > lost || lost > untold+float64(s.backend.vain) {
		s.fail("the backend was not told of the end of %v connections, of which %v are counted", untold, lost)
	}
	if sent, dropped := m.Sum("sluice_messages_sent_total"), m.Sum("sluice_messages_dropped_total"); sent-dropped != float64(s.written) {
		s.fail("%v messages are counted as sent and %v as dropped; sockets have taken %d", sent, dropped, s.written)
	}
	if got := m.Sum("sluice_messages_received_total") - m.Sum("sluice_messages_received_total", "hub=echo"); got != float64(s.backend.events) {
		s.fail("%v messages are counted as received, the backend has %d", got, s.backend.events)
	}
	ends, begun := m.Sum("sluice_connections_closed_total"), m.Sum("sluice_handshakes_total", "result="+metrics.ResultOK.String())
	if ends != begun {
		s.fail("%v connections have ended, %v were opened", ends, begun)
	}
	ends -= m.Sum("sluice_connections_closed_total", "hub=echo")
	for name, told := range s.backend.ends {
		if name == metrics.ResultClientGone.String() { // it has never been a session
			continue
		}
		got := m.Sum("sluice_connections_closed_total", "reason="+name) - m.Sum("sluice_connections_closed_total", "reason="+name, "hub=echo")
		if ends -= got; got != float64(told) {
			s.fail("%v connections are counted as ended for %s, the backend was told of %d", got, name, told)
		}
	}
	if ends != 0 {
		s.fail("the backend was not told why %v connections have ended", ends)
	}
	if got := m.Sum("sluice_handshakes_total"); got != m.Sum("sluice_connections_accepted_total")+float64(s.plain.handed) && !s.cut {
		s.fail("%v handshakes have ended, of %v connections, and %d that came back", got, m.Sum("sluice_connections_accepted_total"), s.plain.handed)
	}
}
