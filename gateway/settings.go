package gateway

import (
	"slices"
	"time"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/route"
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
	hosts     route.Hosts
	hubs      route.Table[hub]
	endpoint  string // base URL of the node
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

// endpoint is the base URL of this node.
func (g *Gateway) endpoint(cfg *config.Config) string {
	if cfg.Endpoint != "" {
		return cfg.Endpoint
	}
	return "http://" + g.addr.String()
}
