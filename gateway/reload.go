package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/descriptors"
	"sluice/gateway/upstream"
)

// Reload puts what cfg says of hubs, limits, heartbeats and draining into
// force, for the sessions that exist too. All of it or, with an error, nothing.
// What only a restart can change is the caller's to refuse.
func (g *Gateway) Reload(cfg *config.Config) error { return g.configure(cfg) }

func (g *Gateway) configure(cfg *config.Config) error {
	g.reload.Lock()
	defer g.reload.Unlock()
	r, err := g.revise(cfg)
	if err != nil {
		return err
	}
	removed := false
	for _, hs := range g.enact(r) {
		removed = removed || hs.gone
		remaining := remainsPatience * time.Duration(hs.config.Upstream.Budget) // none if the hub is still there
		g.retire(hs, 2*time.Duration(cfg.Limits.Close)+remaining+retireTime)
	}
	buffered := g.buffered
	if cfg.Limits.Buffered > 0 {
		buffered = int64(cfg.Limits.Buffered)
	}
	g.budget.SetLimit(buffered) // once: loops and requests take from it meanwhile
	if wanted, most := int64(cfg.Limits.Connections), r.settings.connections; wanted > most {
		g.log.Warn("fewer connections than wanted: the descriptors do not reach", "wanted", wanted, "connections", most, "descriptors", g.limit)
	}
	if removed {
		for _, l := range g.loops {
			l.closeRemovedHubs()
		}
	}
	return nil
}

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
	s := newSettings(cfg, g.addr, descriptors.Share(g.limit, cfg))
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
			h = &hub{name: name, metrics: g.metrics.Hub(name), ids: g.ids, rosters: makeRosters(g.metrics.Loops(), g.kernel.hashing())}
			h.class.Counts = h.metrics
			r.added = append(r.added, h)
		}
		hs, err := g.reviseHub(r, h, cfg, hc)
		if err != nil {
			return nil, fmt.Errorf("hubs.%s: %w", name, err)
		}
		s.hubs.Add(name, hc.Paths, h)
		r.next[h] = hs
	}
	all := allKeys(cfg)
	s.dataPlane = auth.NewDataPlane(func(name string) *auth.Keys {
		if h := s.hubs.Named(name); h != nil {
			return h.now.Load().keys
		}
		return all
	}, cfg.APIKeys, s.endpoint)
	return r, nil
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

// enact puts r into force. It returns what nobody needs any more.
func (g *Gateway) enact(r *revision) (retired []*hubSettings) {
	for _, name := range slices.Sorted(maps.Keys(g.hubs)) {
		h := g.hubs[name]
		if r.settings.hubs.All()[name] == nil {
			gone := *h.now.Load()
			gone.gone = true
			h.now.Store(&gone)
			// What bounds those who are still there is the node's, as for all others.
			bounds, had := *r.settings.newcomers, h.class.Limits()
			bounds.Read, bounds.Message = had.Read, had.Message
			h.class.Set(&bounds)
			retired = append(retired, &gone)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.settings.hubs.All())) {
		h := r.settings.hubs.All()[name]
		hs := r.next[h]
		h.class.Set(hs.limits)
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
	g.hubs = r.settings.hubs.All()
	g.set.Newcomers.Set(r.settings.newcomers)
	g.set.Waiting.Store(r.settings.pending)
	g.settings.Store(r.settings)
	return retired
}

// retireTime is how long what a reload has replaced is kept, beyond the time
// for an answer that is under way and for a close handshake: for loops that have just looked it up, and for the
// sessions of a hub that is gone.
const retireTime = 5 * time.Second

// retire closes what hs is done with, after some time.
func (g *Gateway) retire(hs *hubSettings, after time.Duration) {
	g.retired.Add(1)
	g.kernel.later(g.looping, after, func() {
		defer g.retired.Done()
		g.end(hs)
	})
}
