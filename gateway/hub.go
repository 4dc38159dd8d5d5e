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
	"sluice/gateway/engine"
	"sluice/gateway/handshake"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// hub is a namespace of sessions. It lives as long as the process knows its
// name; what is configured of it is replaced at reload.
type hub struct {
	name    string
	metrics *metrics.Hub
	class   engine.Class // of its sessions' streams
	ids     *session.IDKey
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
	limits    *engine.Limits
	gone      bool // no longer configured
}

// Open makes the upstream of a hub.
type Open func(upstream.Options) (upstream.Upstream, error)

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
		endpoint:  r.settings.endpoint,
		signing:   hc.Keys,
		anonymous: hc.Anonymous,
		expire:    hc.Expire,
		handshake: handshake.Options{Subprotocols: hc.Subprotocols, Deflate: hc.Deflate},
		limits:    limitsOf(cfg),
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
		hs.limits.Read = smallRead
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

// end closes the upstream of hs, and what verifies its tokens.
func (g *Gateway) end(hs *hubSettings) {
	defer g.uncount(hs)
	if hs.clients != nil {
		hs.clients.Close()
	}
	if hs.upstream == nil {
		return
	}
	ctx, cancel := context.WithTimeout(g.telling, time.Minute)
	defer cancel()
	if lost := hs.upstream.Close(ctx); lost > 0 {
		g.log.Warn("events not delivered", "hub", hs.name, "lost", lost)
	}
}

// uncount ends the series that can move no more once hs has ended: those of the
// upstream where the hub has one that is built in now, all of a hub that is
// gone.
func (g *Gateway) uncount(hs *hubSettings) {
	g.reload.Lock()
	defer g.reload.Unlock()
	if hs.hub.now.Load().traits.Inline {
		hs.hub.metrics.ExportUpstream(false)
	}
	if hs.gone {
		hs.hub.metrics.Release()
	}
}
