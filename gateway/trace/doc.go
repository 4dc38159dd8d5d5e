// Package trace tells an OpenTelemetry collector of the handshakes of clients
// and of the events that upstreams are sent.
//
// A [Tracer] begins spans and records them when they have ended. In between a
// [Span] is nothing but its ids: beginning one takes no lock, allocates nothing
// and decides at once whether it is sampled. What is not costs nothing more.
// Spans that have ended wait in a bounded queue until a goroutine of the Tracer
// has sent them; when that is full, or the collector does not take them, they
// are dropped and counted. Nobody waits for the collector.
//
// A nil Tracer traces nothing.
package trace
