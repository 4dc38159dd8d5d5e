// Package descriptors shares out the descriptors that a process may have open, so
// that no kind of connection takes what another was promised. See [Share].
package descriptors

import (
	"strings"

	"sluice/gateway/config"
)

// Shares is what a node does with the descriptors that it may have open.
// The shares do not overlap: what is promised to one kind no other can take.
type Shares struct {
	Own         int // for everything that is no client: the admin listener, upstreams, key sets, files
	Newcomers   int // clients whose request has not come, or that were refused and have not left
	HTTP        int // clients that speak plain HTTP
	Connections int // sessions, and the handshakes that wait for somebody's word
}

// leastOwn is the node's own share at least, beside what the upstreams of the
// configuration may have in flight, of which a quarter of all must do.
const leastOwn = 64

// Share shares out limit descriptors as cfg wants it, as far as they
// reach. Sessions get nine tenths at most.
func Share(limit uint64, cfg *config.Config) Shares {
	most := int(min(limit, 1<<30))
	own := leastOwn
	for _, h := range cfg.Hubs {
		if !strings.HasPrefix(h.Upstream.URL, "echo:") {
			own += h.Upstream.InFlight
		}
	}
	clients := most - min(own, max(most/4, leastOwn), most/2)
	var d Shares
	d.Newcomers = min(max(clients/16, 16), 256, clients/2)
	rest := clients - d.Newcomers
	d.HTTP = max(1, min(cfg.Limits.HTTPConnections, rest/4))
	d.Connections = max(1, min(rest-d.HTTP, most-most/10))
	if wanted := cfg.Limits.Connections; wanted > 0 && wanted < d.Connections {
		d.Connections = wanted
		d.HTTP = min(cfg.Limits.HTTPConnections, rest-wanted)
	}
	d.Own = most - d.Newcomers - d.HTTP - d.Connections
	return d
}

// Clients is how many descriptors all clients together may have.
func (d Shares) Clients() int64 { return int64(d.Newcomers + d.HTTP + d.Connections) }
