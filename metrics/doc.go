// Package metrics counts what a node does and shows it to Prometheus.
//
// The loops of a node count without contention. Each owns a [Loop] of its [Set]
// and adds to plain memory; once a tick it calls [Loop.Publish], which copies
// what has changed to where the scrape reads it. No counter on the way of a
// frame costs a locked instruction, a scrape never waits for a loop, and what a
// scrape sees of counters is at most one tick old. What goes up and down, as the
// open connections, is shown at once. A loop that is stuck shows its last
// published values.
//
// What happens to the sessions of a hub is counted with its [Hub], which has
// cells of its own at each loop; what happens before a hub is known has hub="".
// The series of a removed hub disappear some time after its last connection was
// counted out, see [Hub.Release].
//
// What a hub's backend is asked is counted by many goroutines, each with the
// [Upstream] of the hub. It is exported where it can move, see
// [Hub.ExportUpstream].
//
// A [Set] is a prometheus.Collector; register it with the registry that the
// metrics endpoint gathers. Values that belong to the node and not to a loop
// are functions, called at the scrape: [Set.GaugeFunc].
//
// All names begin with sluice_. The labels are closed sets that this package
// declares, but for the hub, whose number is bounded. Families with small label
// sets are exported from the start with zeros, so that rate() sees the first
// event; sluice_connections_closed_total and sluice_upstream_requests_total,
// whose labels multiply, and sluice_api_requests_total, which has many codes,
// are exported per combination once it has occurred, and so is a result of
// sluice_handshakes_total that is not to be expected of the hub.
//
// Histograms have native buckets, which a scrape by protobuf gets, and classic
// ones, which every scrape gets. How long upstreams take has exemplars, where
// calls are traced.
//
// Every bound that can refuse something has a metric: sluice_limit_reached_total
// for those of the node, sluice_upstream_limit_reached_total for those of an
// upstream, and the reason or result for what ends a session or a handshake.
//
// The package knows counters and not the gateway: what an event means is
// decided where it is counted.
package metrics
