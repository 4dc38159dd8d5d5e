package metrics

import (
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Describe sends nothing, which makes the Set what Prometheus calls an
// unchecked collector: GaugeFunc may add metrics after it was registered.
func (s *Set) Describe(chan<- *prometheus.Desc) {}

// Collect exports what the loops have published and what the functions given
// to GaugeFunc return.
func (s *Set) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	hubs, other, funcs := slices.Clone(s.hubs), s.other, slices.Clone(s.funcs)
	upstreams := maps.Clone(s.upstreams)
	s.mu.Unlock()

	c := collection{loops: s.loops, cells: make([]*cells, len(s.loops)), out: out}
	for i, l := range s.loops {
		c.cells[i] = &l.cells
	}
	c.send(family("build_info", "1, labelled with the build of the running program.",
		"version", "revision", "goversion"), prometheus.GaugeValue, 1, s.build.Version, s.build.Revision, s.build.GoVersion)
	c.send(family("loops", "Loops that serve the connections."), prometheus.GaugeValue, float64(len(s.loops)))
	c.connections()
	c.handshakes()
	c.traffic()
	c.labelled("protocol_errors_total", "Connections failed for what their client sent, by what was wrong.",
		"kind", atKinds, s.kinds)
	c.health()
	s.authFailures(c)
	s.limits(c)
	s.requests(c)
	s.collectHubs(c, hubs, other)
	collectUpstreams(c, upstreams)
	for _, n := range funcs {
		c.send(n.desc, n.kind, n.f())
	}
}

func (c collection) connections() {
	c.counter("connections_accepted_total", "Connections taken from the listener.", AcceptedConnections)
	c.closed()
	c.histogram(family("connection_duration_seconds", "Time from the handshake to the end of a connection."),
		lifetime)
	c.gauge("drain_remaining_connections", "Connections that a drain has still to end.", DrainRemaining)
}

// closed exports the combinations that have occurred: few of them ever do.
func (c collection) closed() {
	desc := family("connections_closed_total", "Connections ended.", "code", "initiator", "reason")
	for r := range reasonCount {
		for code := range codeCount {
			if n := c.sum(atClosed + int(r)*codeCount + code); n > 0 {
				c.send(desc, prometheus.CounterValue, float64(n), codeLabel(code), r.Initiator(), r.String())
			}
		}
	}
}

func (c collection) handshakes() {
	c.labelled("handshakes_total", "Handshakes ended.", "result", atHandshakes, labels(resultCount))
	c.histogram(family("handshake_duration_seconds", "Time from accept to the end of the handshake."),
		handshakeTime)
	c.gauge("handshakes_in_flight", "Connections whose handshake has not ended.", HandshakesInFlight)
}

func (c collection) traffic() {
	c.counter("received_bytes_total", "Bytes read from clients, framing included.", receivedBytes)
	c.counter("sent_bytes_total", "Bytes written to clients, framing included.", sentBytes)
	sizes := family("message_size_bytes", "Payload of messages.", "direction")
	c.histogram(sizes, receivedSize, "received")
	c.histogram(sizes, sentSize, "sent")
	c.gauge("send_queue_bytes", "Bytes that wait until clients read.", SendQueueBytes)
	c.counter("slow_consumers_total", "Connections ended because the client did not read.", SlowConsumers)
	c.labelled("messages_dropped_total", "Messages that did not arrive.", "reason", atDropped, labels(dropCount))
	c.labelled("rate_limited_total", "What rate limits refused or delayed.",
		"scope", atRateLimited, labels(scopeCount))
	c.gauge("parked_sessions", "Sessions that read nothing until something else is done.", ParkedSessions)
	c.histogram(family("delivery_latency_seconds", "Time from a push's arrival at the node to its write to the socket."),
		deliveryTime)
	c.gauge("group_memberships", "Pairs of a connection and a group that it is in.", GroupMemberships)
	c.gauge("groups", "Groups that have members, one for each loop that has some of them.", Groups)
}

func (c collection) health() {
	c.counter("pings_sent_total", "Heartbeats sent to silent clients.", PingsSent)
	c.histogram(family("ping_rtt_seconds", "Time from a ping to its pong."), pingRTT)
	c.histogram(family("loop_lag_seconds", "How much later than due the ticks of the loops were served."),
		loopLag)
	c.counter("stale_events_total", "Poller events for sessions that had ended.", StaleEvents)
	c.labelled("accept_errors_total", "Failures to accept a connection.", "errno", atAcceptErrors, errnoLabels[:])
	c.counter("panics_total", "Panics recovered.", Panics)
}

func (s *Set) authFailures(c collection) {
	desc := family("auth_failures_total", "Tokens and keys that were not accepted.", "reason")
	for f := range authFailureCount {
		c.send(desc, prometheus.CounterValue, float64(s.auth[f].Load()), f.String())
	}
}

func (s *Set) limits(c collection) {
	desc := family("limit_reached_total", "Times that something was refused because a bound of the node was reached.", "limit")
	for l := range limitCount {
		c.send(desc, prometheus.CounterValue, float64(s.reached[l].Load()), l.String())
	}
}

// requests exports the statuses that have occurred.
func (s *Set) requests(c collection) {
	desc := family("api_requests_total", "Requests to the data plane, by the status of the answer.", "code")
	for i := range s.answers {
		if n := s.answers[i].Load(); n > 0 {
			c.send(desc, prometheus.CounterValue, float64(n), strconv.Itoa(leastStatus+i))
		}
	}
}

// collectHubs exports what is counted for each hub.
func (s *Set) collectHubs(c collection, names []string, other bool) {
	families := hubFamilies()
	for i, name := range names {
		s.collectHub(c, &families, i, name)
	}
	if other {
		s.collectHub(c, &families, maxHubs, otherHub)
	}
}

type hubDescs struct{ connections, received, sent *prometheus.Desc }

func hubFamilies() hubDescs {
	return hubDescs{
		connections: family("connections", "Open connections.", "hub"),
		received:    family("messages_received_total", "Messages from clients.", "hub"),
		sent:        family("messages_sent_total", "Messages to clients.", "hub"),
	}
}

func (s *Set) collectHub(c collection, f *hubDescs, index int, name string) {
	for i, l := range s.loops {
		c.cells[i] = &l.hubs[index].Load().cells
	}
	c.send(f.connections, prometheus.GaugeValue, c.level(atHubConnections), name)
	c.send(f.received, prometheus.CounterValue, float64(c.sum(atHubReceived)), name)
	c.send(f.sent, prometheus.CounterValue, float64(c.sum(atHubSent)), name)
}
