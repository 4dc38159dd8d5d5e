package gateway

import (
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/handshake"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// tick is the period of the loops' wheels, and so the precision of every
// deadline. Each tick wakes a sleeping process, and the Go runtime's monitor
// with it, which is most of what an idle gateway costs.
const tick = 200 * time.Millisecond

// ticks is d in ticks, rounded up: a deadline is never early.
func ticks(d config.Duration) session.Tick {
	return session.Tick((time.Duration(d) + tick - 1) / tick)
}

// settings is what a configuration means to the loops: nothing is parsed or
// looked up twice. It never changes; a reload puts another in its place.
type settings struct {
	routes map[string]*hub // by path

	interval, timeout, early session.Tick // heartbeat
	head, headers            int          // request head: bytes, fields
	headTime                 session.Tick
	pending                  int64 // handshakes under way, a node
	connections              int64 // sessions, a node
	messageAge               session.Tick
	control                  session.Rate
	queue                    int
	queueAge                 session.Tick
	closeTime                session.Tick
}

// hub is a namespace of sessions. It lives as long as the process knows its
// name; what is configured of it is replaced at reload.
type hub struct {
	name  string
	index int // in the metrics
	now   atomic.Pointer[hubSettings]
}

// hubSettings is the configured part of a hub. It never changes.
type hubSettings struct {
	upstream  upstream.Upstream
	traits    upstream.Traits
	anonymous bool
	origins   *auth.Origins
	handshake handshake.Options
	limits    session.Limits
	read      int  // bytes asked of a socket at once
	gone      bool // no longer configured
}

// Open makes the upstream of a hub from its URL.
type Open func(hub string, u *url.URL) (upstream.Upstream, error)

// newSettings gives cfg its meaning. Hubs that known has are kept, so that
// their sessions see what is new; nothing of known is touched before apply.
func newSettings(cfg *config.Config, schemes map[string]Open, known map[string]*hub, m *metrics.Set, maxConnections int64) (s *settings, apply func() map[string]*hub, err error) {
	lim := &cfg.Limits
	s = &settings{
		routes:     make(map[string]*hub),
		interval:   ticks(cfg.Heartbeat.Interval),
		timeout:    ticks(cfg.Heartbeat.Timeout),
		head:       int(lim.Head),
		headers:    lim.Headers,
		headTime:   ticks(lim.Handshake),
		pending:    int64(lim.PendingHandshakes),
		messageAge: ticks(lim.MessageAge),
		control:    session.NewRate(float64(lim.ControlRate), lim.ControlBurst),
		queue:      int(lim.Queue),
		queueAge:   ticks(lim.QueueAge),
		closeTime:  ticks(lim.Close),
	}
	s.early = s.interval / 16
	s.connections = maxConnections
	if lim.Connections > 0 {
		s.connections = int64(lim.Connections)
	}

	hubs := make(map[string]*hub, len(cfg.Hubs))
	next := make(map[*hub]*hubSettings, len(cfg.Hubs))
	for name, hc := range cfg.Hubs {
		hs, err := newHubSettings(name, hc, lim, schemes)
		if err != nil {
			return nil, nil, fmt.Errorf("hubs.%s: %w", name, err)
		}
		h := known[name]
		if h == nil {
			h = &hub{name: name, index: m.HubIndex(name)}
		}
		hubs[name], next[h] = h, hs
		s.routes["/client/hubs/"+name] = h
		for _, path := range hc.Paths {
			s.routes[path] = h
		}
	}
	return s, func() map[string]*hub {
		for name, h := range known {
			if hubs[name] == nil {
				gone := *h.now.Load()
				gone.gone = true
				h.now.Store(&gone)
			}
		}
		for h, hs := range next {
			h.now.Store(hs)
		}
		return hubs
	}, nil
}

// smallRead is how much is read at once for a hub whose sessions are parked
// while their upstream thinks: little shall wait behind a parked session.
const smallRead = 4 << 10

func newHubSettings(name string, hc config.Hub, lim *config.Limits, schemes map[string]Open) (*hubSettings, error) {
	u, err := url.Parse(hc.Upstream.URL)
	if err != nil {
		return nil, fmt.Errorf("upstream.url: %w", err)
	}
	open, ok := schemes[u.Scheme]
	if !ok {
		return nil, fmt.Errorf("upstream.url: no upstream speaks %q", u.Scheme)
	}
	hs := &hubSettings{
		anonymous: hc.Anonymous,
		handshake: handshake.Options{Subprotocols: hc.Subprotocols, Deflate: hc.Deflate},
		limits:    session.Limits{Message: int(lim.Message), Fragments: lim.Fragments},
		read:      readSize,
	}
	if hs.upstream, err = open(name, u); err != nil {
		return nil, fmt.Errorf("upstream.url: %w", err)
	}
	if hs.traits = hs.upstream.Traits(); !hs.traits.Inline {
		hs.read = smallRead
	}
	if hs.origins, err = auth.ParseOrigins(hc.Origins); err != nil {
		return nil, fmt.Errorf("origins: %w", err)
	}
	return hs, nil
}
