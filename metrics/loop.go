package metrics

import (
	"sync/atomic"
	"time"
)

// Loop is what one loop counts. All methods are for the goroutine of that loop
// only and allocate nothing. Others see the counts after the next Publish.
type Loop struct {
	cells
	histograms [histogramCount]histogram
	hubs       [maxHubs + 1]atomic.Pointer[hub] // by index; filled by the Set before the index is given away
}

func newLoop(kinds int) *Loop {
	l := &Loop{cells: newCells(atKinds + kinds)}
	for i, b := range boundsOf {
		l.histograms[i] = newHistogram(b)
	}
	return l
}

// hub is what one loop counts for one hub.
type hub struct {
	cells
	changed bool
}

// hub returns the counts of the hub at an index of Set.HubIndex, to be changed.
func (l *Loop) hub(index int) *hub {
	h := l.hubs[index].Load()
	h.changed = true
	return h
}

// Publish shows the counts to the scrape. The loop calls it once a tick, and
// once at its end.
func (l *Loop) Publish() {
	l.publish()
	for i := range l.histograms {
		if h := &l.histograms[i]; h.changed {
			h.changed = false
			h.publish()
		}
	}
	for i := range l.hubs {
		if h := l.hubs[i].Load(); h != nil && h.changed {
			h.changed = false
			h.publish()
		}
	}
}

// Inc counts one.
func (l *Loop) Inc(c Counter) { l.own[atCounters+int(c)]++ }

// Add counts n.
func (l *Loop) Add(c Counter, n uint64) { l.own[atCounters+int(c)] += n }

// Gauge moves a level by delta.
func (l *Loop) Gauge(g Gauge, delta int64) { l.own[atGauges+int(g)] += uint64(delta) }

// Opened counts a connection of the hub in.
func (l *Loop) Opened(hub int) { l.hub(hub).own[atHubConnections]++ }

// Closed counts a connection of the hub out, once, after it was counted in.
// code is the close code that was sent or received, 1005 or 1006 where there
// was none.
func (l *Loop) Closed(hub int, code uint16, r Reason, age time.Duration) {
	l.hub(hub).own[atHubConnections]--
	l.own[atClosed+int(r)*codeCount+codeIndex(code)]++
	l.histograms[lifetime].observe(age)
}

// Received counts a message from a client with a payload of n bytes.
func (l *Loop) Received(hub int, n int) {
	l.hub(hub).own[atHubReceived]++
	l.histograms[receivedSize].observeSize(n)
}

// Sent counts a message to a client with a payload of n bytes.
func (l *Loop) Sent(hub int, n int) {
	l.hub(hub).own[atHubSent]++
	l.histograms[sentSize].observeSize(n)
}

// ReceivedBytes counts n bytes read from sockets.
func (l *Loop) ReceivedBytes(n int) { l.own[atCounters+int(receivedBytes)] += uint64(n) }

// SentBytes counts n bytes that sockets took.
func (l *Loop) SentBytes(n int) { l.own[atCounters+int(sentBytes)] += uint64(n) }

// Handshake counts a handshake that has ended, d after its connection was
// accepted.
func (l *Loop) Handshake(r Result, d time.Duration) {
	l.own[atHandshakes+int(r)]++
	l.histograms[handshakeTime].observe(d)
}

// ProtocolError counts a violation of the protocol; kind is an index of
// Set.KindIndex.
func (l *Loop) ProtocolError(kind int) { l.own[atKinds+kind]++ }

// RateLimited counts what a rate limit refused or delayed.
func (l *Loop) RateLimited(s Scope) { l.own[atRateLimited+int(s)]++ }

// Dropped counts a message that did not arrive.
func (l *Loop) Dropped(d Drop) { l.own[atDropped+int(d)]++ }

// PingRTT counts the time from a ping to its pong.
func (l *Loop) PingRTT(d time.Duration) { l.histograms[pingRTT].observe(d) }

// LoopLag counts how much later than due a tick was served.
func (l *Loop) LoopLag(d time.Duration) { l.histograms[loopLag].observe(d) }

// AcceptError counts a failed accept by the name of its errno, as EMFILE.
func (l *Loop) AcceptError(errno string) { l.own[atAcceptErrors+errnoIndex(errno)]++ }

// Delivered counts the time from a push's arrival at the node to the write that
// gave it to the socket.
func (l *Loop) Delivered(d time.Duration) { l.histograms[deliveryTime].observe(d) }
