package metrics

import (
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
	s.sweep()
	funcs := slices.Clone(s.funcs)
	hubs := make([]shown, 0, len(s.hubs))
	for _, h := range s.hubs {
		hubs = append(hubs, shown{h, h.exported})
	}
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
	s.collectHubs(c, hubs)
	for _, n := range funcs {
		c.send(n.desc, n.kind, n.f())
	}
}

func (c collection) connections() {
	c.counter("connections_accepted_total", "Connections taken from the listener.", AcceptedConnections)
	c.histogram(family("connection_duration_seconds", "Time from the handshake to the end of a connection."),
		lifetime)
	c.gauge("drain_remaining_connections", "Connections that a drain has still to end.", DrainRemaining)
}

func (c collection) handshakes() {
	c.histogram(family("handshake_duration_seconds", "Time from accept to the end of the handshake."),
		handshakeTime)
	c.gauge("handshakes_in_flight", "Connections whose handshake has not ended.", HandshakesInFlight)
}

func (c collection) traffic() {
	sizes := family("message_size_bytes", "Payload of messages.", "direction")
	c.histogram(sizes, receivedSize, "received")
	c.histogram(sizes, sentSize, "sent")
	c.gauge("send_queue_bytes", "Bytes that wait until clients read.", SendQueueBytes)
	c.gauge("parked_sessions", "Sessions that read nothing until something else is done.", ParkedSessions)
	c.histogram(family("delivery_latency_seconds", "Time from a push's arrival at the node to its write to the socket."),
		deliveryTime)
	c.gauge("group_memberships", "Pairs of a connection and a group that it is in.", GroupMemberships)
	c.gauge("groups", "Groups that have members, one for each loop that has some of them.", Groups)
}

func (c collection) health() {
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
