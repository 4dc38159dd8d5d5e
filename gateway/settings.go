package gateway

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
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
	routes    map[string]*hub // by the paths they were given, without escapes
	hosts     hosts
	hubs      map[string]*hub // by name
	folded    map[string]*hub // the same, by name in lower case: see [settings.hub]
	endpoint  string          // base URL of the node
	dataPlane *auth.DataPlane

	interval, timeout, early session.Tick // heartbeat
	head, headers            int          // request head: bytes, fields
	headTime                 session.Tick
	pending                  int64 // handshakes under way of each kind, a node
	awaiting                 int   // of those, tokens that wait for the key set of an issuer
	connections              int64 // sessions, a node
	descriptors              int64 // of all clients together
	http                     int64 // connections that speak plain HTTP
	messageAge               session.Tick
	control                  session.Rate
	queue                    int
	queueAge                 session.Tick
	closeTime                session.Tick
	groups                   int   // of a session
	mailbox                  int64 // bytes of pushes, a loop
}

// hub is a namespace of sessions. It lives as long as the process knows its
// name; what is configured of it is replaced at reload.
type hub struct {
	name    string
	metrics *metrics.Hub
	now     atomic.Pointer[hubSettings]
	asking  atomic.Int64 // handshakes that have a place
	rosters []roster     // by loop, whose goroutine alone touches its own
}

// hubSettings is the configured part of a hub. It never changes.
type hubSettings struct {
	name      string
	hub       *hub
	config    config.Hub
	endpoint  string
	signing   []string // keys of the upstream's events
	upstream  upstream.Upstream
	traits    upstream.Traits
	keys      *auth.Keys
	clients   verifier
	expire    bool // sessions end with their tokens
	anonymous bool
	tokenless bool // nobody's tokens could be verified
	origins   *auth.Origins
	handshake handshake.Options
	limits    session.Limits
	read      int  // bytes asked of a socket at once
	gone      bool // no longer configured
}

// Open makes the upstream of a hub.
type Open func(upstream.Options) (upstream.Upstream, error)

// revision is a configuration that has not come into force yet.
type revision struct {
	settings *settings
	next     map[*hub]*hubSettings
	opened   []func(context.Context) // closes what was made for it
	added    []*hub
}

// revise gives cfg its meaning. Hubs that exist are kept, so that their
// sessions see what is new; nothing that is in force is touched.
func (g *Gateway) revise(cfg *config.Config) (_ *revision, err error) {
	lim := &cfg.Limits
	s := &settings{
		routes:     make(map[string]*hub),
		hosts:      hostsOf(cfg),
		hubs:       make(map[string]*hub, len(cfg.Hubs)),
		folded:     make(map[string]*hub, len(cfg.Hubs)),
		endpoint:   g.endpoint(cfg),
		interval:   ticks(cfg.Heartbeat.Interval),
		timeout:    ticks(cfg.Heartbeat.Timeout),
		head:       int(lim.Head),
		headers:    lim.Headers,
		headTime:   ticks(lim.Handshake),
		pending:    int64(lim.PendingHandshakes),
		awaiting:   max(1, lim.PendingHandshakes/8),
		messageAge: ticks(lim.MessageAge),
		control:    session.NewRate(float64(lim.ControlRate), lim.ControlBurst),
		queue:      int(lim.Queue),
		queueAge:   ticks(lim.QueueAge),
		closeTime:  ticks(lim.Close),
		groups:     lim.Groups,
		mailbox:    int64(lim.Mailbox),
	}
	s.early = s.interval / 16
	shares := ShareDescriptors(g.limit, cfg)
	s.connections, s.http, s.descriptors = int64(shares.Connections), int64(shares.HTTP), shares.clients()
	r := &revision{settings: s, next: make(map[*hub]*hubSettings, len(cfg.Hubs))}
	defer func() {
		if err != nil {
			r.discard()
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(cfg.Hubs)) {
		hc := cfg.Hubs[name]
		h := g.hubs[name]
		if h == nil {
			h = &hub{name: name, metrics: g.metrics.Hub(name), rosters: makeRosters(g.metrics.Loops(), g.kernel.hashing())}
			r.added = append(r.added, h)
		}
		hs, err := g.reviseHub(r, h, cfg, hc)
		if err != nil {
			return nil, fmt.Errorf("hubs.%s: %w", name, err)
		}
		s.hubs[name], s.folded[strings.ToLower(name)], r.next[h] = h, h, hs
		for _, path := range hc.Paths {
			plain, _ := handshake.UnescapePath([]byte(path)) // which validation has tried
			s.routes[string(plain)] = h
		}
	}
	all := allKeys(cfg)
	s.dataPlane = auth.NewDataPlane(func(name string) *auth.Keys {
		if h := s.hub(name); h != nil {
			return h.now.Load().keys
		}
		return all
	}, cfg.APIKeys, s.endpoint)
	return r, nil
}

// allKeys is what opens any hub of cfg. Who has such a key is told that a hub
// does not exist; others hear of their key alone, as everywhere.
func allKeys(cfg *config.Config) *auth.Keys {
	list := slices.Clone(cfg.Keys)
	for _, hub := range cfg.Hubs {
		list = append(list, hub.Keys...)
	}
	slices.Sort(list)
	return auth.NewKeys(slices.Compact(list))
}

// discard closes what was made for a revision that does not come into force.
func (r *revision) discard() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nothing was sent there
	for _, end := range r.opened {
		end(ctx)
	}
	for _, h := range r.added {
		h.metrics.Release()
	}
}

// endpoint is the base URL of this node.
func (g *Gateway) endpoint(cfg *config.Config) string {
	if cfg.Endpoint != "" {
		return cfg.Endpoint
	}
	return "http://" + g.addr.String()
}

// smallRead is how much is read at once for a hub whose sessions are parked
// while their upstream thinks: little shall wait behind a parked session.
const smallRead = 4 << 10

// reviseHub gives the configuration of one hub its meaning. An upstream, or
// what verifies tokens, of which nothing has changed is kept.
func (g *Gateway) reviseHub(r *revision, h *hub, cfg *config.Config, hc config.Hub) (*hubSettings, error) {
	hs := &hubSettings{
		name:      h.name,
		hub:       h,
		config:    hc,
		endpoint:  g.endpoint(cfg),
		signing:   hc.Keys,
		anonymous: hc.Anonymous,
		expire:    hc.Expire,
		handshake: handshake.Options{Subprotocols: hc.Subprotocols, Deflate: hc.Deflate},
		limits:    session.Limits{Message: int(cfg.Limits.Message), Fragments: cfg.Limits.Fragments},
		read:      readSize,
	}
	if len(hs.signing) == 0 {
		hs.signing = cfg.Keys
	}
	hs.keys = auth.NewKeys(hs.signing)
	hs.tokenless = hs.keys.Empty() && len(hc.Issuers) == 0
	var err error
	if hs.origins, err = auth.ParseOrigins(hc.Origins); err != nil {
		return nil, fmt.Errorf("origins: %w", err)
	}
	old := h.now.Load()
	same := old != nil && !old.gone && old.endpoint == hs.endpoint && slices.Equal(old.signing, hs.signing)
	if same && reflect.DeepEqual(old.config.Issuers, hc.Issuers) {
		hs.clients = old.clients
	} else if err := g.openClients(r, h, hs, old); err != nil {
		return nil, fmt.Errorf("issuers: %w", err)
	}
	if same && reflect.DeepEqual(old.config.Upstream, hc.Upstream) {
		hs.upstream = old.upstream
	} else if err := g.openUpstream(r, h, hs); err != nil {
		return nil, fmt.Errorf("upstream.url: %w", err)
	}
	if hs.traits = hs.upstream.Traits(); !hs.traits.Inline {
		hs.read = smallRead
	}
	return hs, nil
}

// openClients makes what verifies the tokens of a hub's clients. old, if not
// nil, is what was in force.
func (g *Gateway) openClients(r *revision, h *hub, hs, old *hubSettings) (err error) {
	var issuers []auth.Issuer
	for _, name := range slices.Sorted(maps.Keys(hs.config.Issuers)) {
		i := hs.config.Issuers[name]
		issuers = append(issuers, auth.Issuer{Name: name, Issuer: i.Issuer, JWKS: i.JWKS, Audience: i.Audience, Algorithms: i.Algorithms})
	}
	o := auth.ClientsOptions{Hub: h.name, Keys: hs.keys, Issuers: issuers, Endpoint: hs.endpoint, Log: g.log}
	var previous verifier
	if old != nil {
		previous = old.clients
	}
	hs.clients, err = g.kernel.verifier(o, previous)
	if err != nil {
		return err
	}
	clients := hs.clients
	r.opened = append(r.opened, func(context.Context) { clients.Close() })
	return nil
}

// openUpstream makes the upstream of a hub.
func (g *Gateway) openUpstream(r *revision, h *hub, hs *hubSettings) error {
	u := hs.config.Upstream
	scheme, _, _ := strings.Cut(u.URL, ":")
	open, ok := g.schemes[scheme]
	if !ok {
		return fmt.Errorf("no upstream speaks %q", scheme)
	}
	up, err := open(upstream.Options{
		Hub:      h.name,
		Config:   u,
		Keys:     hs.signing,
		Endpoint: hs.endpoint,
		ID:       g.ids.Encode,
		Budget:   g.budget,
		Metrics:  h.metrics.Upstream(),
		Tracer:   g.tracer,
		Log:      g.log,
	})
	if err != nil {
		return err
	}
	hs.upstream = up
	r.opened = append(r.opened, func(ctx context.Context) { up.Close(ctx) })
	return nil
}

// enact puts r into force. It returns what nobody needs any more.
func (g *Gateway) enact(r *revision) (retired []*hubSettings) {
	for _, name := range slices.Sorted(maps.Keys(g.hubs)) {
		h := g.hubs[name]
		if r.settings.hubs[name] == nil {
			gone := *h.now.Load()
			gone.gone = true
			h.now.Store(&gone)
			retired = append(retired, &gone)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.settings.hubs)) {
		h := r.settings.hubs[name]
		hs := r.next[h]
		if !hs.traits.Inline {
			h.metrics.ExportUpstream(true)
		}
		if old := h.now.Swap(hs); old != nil && !old.gone {
			left := &hubSettings{name: h.name, hub: h}
			if old.upstream != hs.upstream {
				left.upstream = old.upstream
				if queue, ok := old.upstream.(interface{ MoveTo(upstream.Upstream) }); ok {
					queue.MoveTo(hs.upstream)
				}
			}
			if old.clients != hs.clients {
				left.clients = old.clients
			}
			retired = append(retired, left)
		}
	}
	g.hubs = r.settings.hubs
	g.settings.Store(r.settings)
	return retired
}
