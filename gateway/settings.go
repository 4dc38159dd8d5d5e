package gateway

import (
	"net/netip"
	"slices"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/descriptors"
	"sluice/gateway/engine"
	"sluice/gateway/route"
	"sluice/session"
)

// settings is what a configuration means to the loops: nothing is parsed or
// looked up twice. It never changes; a reload puts another in its place.
type settings struct {
	hosts     route.Hosts
	hubs      route.Table[hub]
	endpoint  string // base URL of the node
	dataPlane *auth.DataPlane
	drain     config.Drain

	newcomers   *engine.Limits // of clients whose hub is not known
	headers     int            // fields of a request head
	pending     int64          // handshakes under way of each kind, a node
	awaiting    int            // of those, tokens that wait for the key set of an issuer
	connections int64          // sessions, a node
	descriptors int64          // of all clients together
	http        int64          // connections that speak plain HTTP
	groups      int            // of a session
	mailbox     int64          // bytes of pushes, a loop
}

// newSettings is what cfg says of a node at addr with these descriptors, but for
// its hubs and who may push.
func newSettings(cfg *config.Config, addr netip.AddrPort, shares descriptors.Shares) *settings {
	return &settings{
		hosts:       route.HostsOf(cfg.Hosts, cfg.Endpoint),
		hubs:        route.New[hub](),
		endpoint:    endpoint(cfg, addr),
		drain:       cfg.Drain,
		newcomers:   limitsOf(cfg),
		headers:     cfg.Limits.Headers,
		pending:     int64(cfg.Limits.PendingHandshakes),
		awaiting:    max(1, cfg.Limits.PendingHandshakes/8),
		connections: int64(shares.Connections),
		descriptors: shares.Clients(),
		http:        int64(shares.HTTP),
		groups:      cfg.Limits.Groups,
		mailbox:     int64(cfg.Limits.Mailbox),
	}
}

// limitsOf is what cfg says that bounds every client.
func limitsOf(cfg *config.Config) *engine.Limits {
	lim := &cfg.Limits
	b := &engine.Limits{
		Head:       int(lim.Head),
		HeadTime:   ticks(lim.Handshake),
		Message:    session.Limits{Message: int(lim.Message), Fragments: lim.Fragments},
		MessageAge: ticks(lim.MessageAge),
		Read:       engine.ReadSize,
		Interval:   ticks(cfg.Heartbeat.Interval),
		Timeout:    ticks(cfg.Heartbeat.Timeout),
		Control:    session.NewRate(float64(lim.ControlRate), lim.ControlBurst),
		Queue:      int(lim.Queue),
		QueueAge:   ticks(lim.QueueAge),
		CloseTime:  ticks(lim.Close),
	}
	b.Early = b.Interval / 16
	return b
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

// endpoint is the base URL of the node at addr.
func endpoint(cfg *config.Config, addr netip.AddrPort) string {
	if cfg.Endpoint != "" {
		return cfg.Endpoint
	}
	return "http://" + addr.String()
}
