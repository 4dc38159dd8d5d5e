package metrics

import "github.com/prometheus/client_golang/prometheus"

// shown is a hub at a scrape.
type shown struct {
	*Hub
	upstreams bool // its upstream is exported, too
}

type hubDescs struct {
	connections, received, sent, receivedBytes, sentBytes,
	closed, handshakes, dropped, discarded, slow, rateLimited, pings *prometheus.Desc
}

func hubFamilies() hubDescs {
	return hubDescs{
		connections:   family("connections", "Open connections.", "hub"),
		received:      family("messages_received_total", "Messages from clients.", "hub"),
		sent:          family("messages_sent_total", "Messages to clients, those too that were given up: without sluice_messages_dropped_total, what sockets took.", "hub"),
		receivedBytes: family("received_bytes_total", "Bytes read from clients, framing included.", "hub"),
		sentBytes:     family("sent_bytes_total", "Bytes written to clients, framing included.", "hub"),
		closed:        family("connections_closed_total", "Connections ended.", "hub", "code", "initiator", "reason"),
		handshakes:    family("handshakes_total", "Handshakes ended.", "hub", "result"),
		dropped:       family("messages_dropped_total", "Messages to clients, counted as sent, that were given up before the socket had taken them.", "hub", "reason"),
		discarded:     family("messages_discarded_total", "Messages from clients, not counted as received, whose session ended before the backend was asked.", "hub", "reason"),
		slow:          family("slow_consumers_total", "Connections ended because the client did not read.", "hub"),
		pings:         family("pings_sent_total", "Heartbeats sent to silent clients.", "hub"),
		rateLimited:   family("rate_limited_total", "What rate limits refused or delayed.", "hub", "scope"),
	}
}

// collectHubs exports what is counted for each hub, and what is counted where
// none is known: the bytes and the ends of handshakes.
func (s *Set) collectHubs(c collection, hubs []shown) {
	f, upstreams := hubFamilies(), upstreamFamilies()
	none := shown{Hub: s.none}
	none.bytes(c, &f)
	none.handshakes(c, &f)
	for _, h := range hubs {
		h.bytes(c, &f)
		h.handshakes(c, &f)
		h.sessions(c, &f)
		h.closed(c, &f)
		if h.upstreams {
			h.upstream.collect(c, &upstreams, h.name)
			h.upstream.levels(c, &upstreams, h.name)
		}
	}
}

// sum is that of one cell at all loops.
func (h *Hub) sum(at int) (n uint64) {
	for _, l := range h.loops {
		n += l.seen[at].Load()
	}
	return n
}

func (h *Hub) count(c collection, desc *prometheus.Desc, at int, labels ...string) {
	c.send(desc, prometheus.CounterValue, float64(h.sum(at)), append([]string{h.name}, labels...)...)
}

func (h *Hub) bytes(c collection, f *hubDescs) {
	h.count(c, f.receivedBytes, atHubReceivedBytes)
	h.count(c, f.sentBytes, atHubSentBytes)
}

// handshakes exports the results that are to be expected, and those that have
// occurred.
func (h shown) handshakes(c collection, f *hubDescs) {
	for r := range resultCount {
		expected := r.ofHub() || h.upstreams && r == ResultUpstream
		if h.Hub == h.set.none {
			expected = r.ofNone()
		}
		if at := atHubHandshakes + int(r); expected || h.sum(at) > 0 {
			h.count(c, f.handshakes, at, r.String())
		}
	}
}

func (h *Hub) sessions(c collection, f *hubDescs) {
	// A connection begins and ends at the same loop.
	c.send(f.connections, prometheus.GaugeValue, float64(h.sum(atHubConnections)), h.name)
	h.count(c, f.received, atHubReceived)
	h.count(c, f.sent, atHubSent)
	h.count(c, f.slow, atHubSlow)
	h.count(c, f.pings, atHubPings)
	for d := range dropCount {
		h.count(c, f.dropped, atHubDropped+int(d), d.String())
	}
	for d := range discardCount {
		h.count(c, f.discarded, atHubDiscarded+int(d), d.String())
	}
	for s := range scopeCount {
		h.count(c, f.rateLimited, atHubRateLimited+int(s), s.String())
	}
}

// closed exports the combinations that have occurred: few of them ever do.
func (h *Hub) closed(c collection, f *hubDescs) {
	for r := range reasonCount {
		for code := range codeCount {
			n := uint64(0)
			for _, l := range h.loops {
				if row := l.closed[r].Load(); row != nil {
					n += row.seen[code].Load()
				}
			}
			if n > 0 {
				c.send(f.closed, prometheus.CounterValue, float64(n), h.name, codeLabel(code), r.Initiator(), r.String())
			}
		}
	}
}
