package gateway

import (
	"maps"
	"time"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/session"
)

// operate does what happens to a node as a whole, and comes back after a while.
func (s *simulation) operate() {
	if s.stopped {
		return
	}
	r := s.world.Rand()
	switch r.IntN(10) {
	case 0, 1, 2:
		s.alter()
	case 3:
		s.jump(s.upTo(2*time.Hour) - time.Hour)
	case 4:
		s.jump(s.upTo(4*time.Second) - 2*time.Second)
	case 5:
		s.halt(s.upTo(5 * time.Second))
	case 6, 7:
		s.world.Limit = s.world.Open() + r.IntN(4)
		s.world.After(s.upTo(2*time.Second), func() { s.world.Limit = 0 })
	}
	s.world.After(s.upTo(2*time.Second), s.operate)
}

// leave takes the node out of service as Shutdown does, which waits in a goroutine. A second signal may come.
func (s *simulation) leave() {
	if s.stopped {
		return
	}
	s.leaving = true
	for _, v := range s.visits {
		v.doomed = true
	}
	s.draining.Store(true)
	delay, window := s.upTo(time.Second), session.Tick(0)
	if s.world.Rand().IntN(2) == 0 {
		window = session.Tick(s.upTo(3*time.Second) / engine.Tick)
	}
	const left = 12 * time.Second
	s.world.After(delay, func() {
		for _, l := range s.loops {
			l.post(letter{run: func(l *loop) bool {
				if err := l.Quiesce(); err != nil {
					s.fail("quiesce: %v", err)
				}
				s.empty = append(s.empty, l.beginDrain(window, left))
				return true
			}})
		}
	})
	s.world.After(delay+settleTime, func() {
		for _, l := range s.loops {
			l.post(letter{run: func(l *loop) bool {
				l.CloseEntrances()
				return true
			}})
		}
	})
	if s.world.Rand().IntN(3) == 0 {
		s.world.After(s.upTo(4*time.Second), s.cutOff)
	}
	s.world.After(delay+left, s.left)
}

// cutOff ends the loops, whatever there is.
func (s *simulation) cutOff() {
	s.cut = true
	for _, l := range s.loops {
		l.post(letter{run: func(l *loop) bool {
			l.end()
			return true
		}})
	}
	s.plain.cut()
}

// left holds what must be true when the time of a drain is up.
func (s *simulation) left() {
	if s.late = s.lateness(); s.cut || s.late > 0 {
		return
	}
	for i, empty := range s.empty {
		select {
		case <-empty:
		default:
			s.fail("the drain has not emptied a loop (%d of %d), of which %d slots are used", i, len(s.empty), s.loops[i].Counts().Used)
		}
	}
}

// jump sets the time of day.
func (s *simulation) jump(d time.Duration) {
	s.world.Jump(d)
	for _, v := range s.visits {
		if now := s.world.Wall(); !v.open {
			v.jumped = true
			if now.Before(v.earlier) {
				v.earlier = now
			}
		}
	}
}

// halt stops the process for a while.
func (s *simulation) halt(d time.Duration) {
	s.late, s.halted = s.lateness()+d, s.world.Now()+d
	s.world.Stop(d)
}

// lateness is how late the loops may be for having been stopped.
func (s *simulation) lateness() time.Duration {
	if s.world.Now() > s.halted+10*time.Second {
		s.late = 0
	}
	return s.late
}

// settled is the configuration that the seed begins with.
func (s *simulation) configuration(loops int) *config.Config {
	r := s.world.Rand()
	cfg := config.Default()
	cfg.Loops = loops
	cfg.Drain = config.Drain{}
	cfg.Heartbeat = config.Heartbeat{Interval: config.Duration(2 * time.Second), Timeout: config.Duration(time.Second)}
	l := &cfg.Limits
	l.Message = 4 << 10
	l.Queue = 16 << 10
	l.Handshake = config.Duration(time.Second)
	l.Close = config.Duration(time.Second)
	l.QueueAge = config.Duration(3 * time.Second)
	l.MessageAge = config.Duration(3 * time.Second)
	if r.IntN(3) == 0 {
		l.Mailbox = 8 << 10
	}
	if r.IntN(6) == 0 {
		l.Connections = 3 + r.IntN(8)
	}
	if r.IntN(4) == 0 {
		l.PendingHandshakes = 2 + r.IntN(6)
	}
	if s.tight = r.IntN(4) == 0; s.tight {
		l.Buffered = config.Size(1<<10 + r.IntN(24<<10))
	}
	if s.fewGroups = r.IntN(4) == 0; s.fewGroups {
		l.Groups = 2
	}
	cfg.Hubs = map[string]config.Hub{}
	for _, name := range []string{"default", "members", "extra"} {
		hub := config.Hub{Upstream: config.DefaultUpstream("test:"), Anonymous: name != "members", Expire: true, Deflate: s.seed%2 == 0}
		hub.Keys = []string{"simulated, and so as good as any"}
		hub.Upstream.Budget = config.Duration(3 * time.Second)
		cfg.Hubs[name] = hub
	}
	cfg.Hubs["echo"] = config.Hub{Upstream: config.DefaultUpstream("echo:"), Anonymous: true, Deflate: s.seed%4 == 0,
		Keys: []string{"simulated, and so as good as any"}, Expire: true}
	return cfg
}

// alter reloads a configuration that is a little different.
func (s *simulation) alter() {
	r := s.world.Rand()
	next := *s.config
	next.Hubs = maps.Clone(next.Hubs)
	switch r.IntN(6) {
	case 0, 1:
		if _, ok := next.Hubs["extra"]; ok {
			delete(next.Hubs, "extra")
			s.removal = s.world.Now()
			for _, v := range s.visits {
				v.doomed = v.doomed || v.hub == "extra"
			}
		} else {
			next.Hubs["extra"] = next.Hubs["default"]
		}
	case 2:
		hub := next.Hubs["default"]
		hub.Upstream.Waiting++ // another upstream
		next.Hubs["default"] = hub
	case 3:
		next.Limits.Queue = config.Size(8<<10 + r.IntN(16<<10))
	case 4:
		next.Heartbeat.Interval = config.Duration(time.Second + s.upTo(3*time.Second))
	case 5:
		if s.tight {
			next.Limits.Buffered = config.Size(1<<10 + r.IntN(24<<10))
		}
	}
	s.config = &next
	if err := s.Reload(s.config); err != nil {
		s.fail("reload: %v", err)
	}
}
