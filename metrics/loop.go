package metrics

import "time"

// Loop is what one loop counts. All methods are for the goroutine of that loop
// only and allocate nothing, but for the first connection of a hub that ends
// for a reason. Others see the counts after the next Publish, and levels, as
// that of open connections, at once.
type Loop struct {
	cells
	set        *Set
	index      int
	histograms [histogramCount]histogram
	changed    []*hubCounts // since the last Publish
}

func newLoop(s *Set, index int) *Loop {
	l := &Loop{cells: newCells(atKinds + len(s.kinds)), set: s, index: index}
	for i, b := range boundsOf {
		l.histograms[i] = newHistogram(b)
	}
	return l
}

// hub returns the counts of h, nil where no hub is known, to be changed.
func (l *Loop) hub(h *Hub) *hubCounts {
	if h == nil {
		h = l.set.none
	}
	counts := h.loops[l.index]
	if !counts.changed {
		counts.changed = true
		l.changed = append(l.changed, counts)
	}
	return counts
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
	for _, h := range l.changed {
		h.changed = false
		h.publish()
	}
	clear(l.changed) // a hub that was removed may go
	l.changed = l.changed[:0]
}

// Inc counts one.
func (l *Loop) Inc(c Counter) { l.own[atCounters+int(c)]++ }

// Gauge moves a level by delta. Others see it at once.
func (l *Loop) Gauge(g Gauge, delta int64) { l.move(atGauges+int(g), uint64(delta)) }

// Opened counts a connection of the hub in. Others see that at once.
func (l *Loop) Opened(h *Hub) { l.hub(h).move(atHubConnections, 1) }

// Closed counts a connection of the hub out, once, after it was counted in.
// code is the close code that was sent or received, 1005 or 1006 where there
// was none.
func (l *Loop) Closed(h *Hub, code uint16, r Reason, age time.Duration) {
	counts := l.hub(h)
	counts.move(atHubConnections, ^uint64(0))
	counts.ended(r, codeIndex(code))
	l.histograms[lifetime].observe(age)
}

// Received counts a message from a client with a payload of n bytes.
func (l *Loop) Received(h *Hub, n int) {
	l.hub(h).own[atHubReceived]++
	l.histograms[receivedSize].observeSize(n)
}

// Sent counts a message for a client with a payload of n bytes, whether or not
// it leaves. If not, it is to be counted as Dropped, too.
func (l *Loop) Sent(h *Hub, n int) {
	l.hub(h).own[atHubSent]++
	l.histograms[sentSize].observeSize(n)
}

// ReceivedBytes counts n bytes read from a socket.
func (l *Loop) ReceivedBytes(h *Hub, n int) { l.hub(h).own[atHubReceivedBytes] += uint64(n) }

// SentBytes counts n bytes that a socket took.
func (l *Loop) SentBytes(h *Hub, n int) { l.hub(h).own[atHubSentBytes] += uint64(n) }

// Handshake counts a handshake that has ended, d after its connection was
// accepted.
func (l *Loop) Handshake(h *Hub, r Result, d time.Duration) {
	l.hub(h).own[atHubHandshakes+int(r)]++
	l.histograms[handshakeTime].observe(d)
}

// SlowConsumer counts a connection that ends because its client did not read.
func (l *Loop) SlowConsumer(h *Hub) { l.hub(h).own[atHubSlow]++ }

// ProtocolError counts a violation of the protocol; kind is an index of
// Set.KindIndex.
func (l *Loop) ProtocolError(kind int) { l.own[atKinds+kind]++ }

// RateLimited counts what a rate limit refused or delayed.
func (l *Loop) RateLimited(h *Hub, s Scope) { l.hub(h).own[atHubRateLimited+int(s)]++ }

// Dropped counts n of the messages that Sent has counted as lost.
func (l *Loop) Dropped(h *Hub, d Drop, n int) { l.hub(h).own[atHubDropped+int(d)] += uint64(n) }

// Pinged counts a heartbeat sent to a silent client.
func (l *Loop) Pinged(h *Hub) { l.hub(h).own[atHubPings]++ }

// Discarded counts n messages that a client sent and that Received has not
// counted: its session ended before its upstream was asked.
func (l *Loop) Discarded(h *Hub, d Discard, n int) { l.hub(h).own[atHubDiscarded+int(d)] += uint64(n) }

// PingRTT counts the time from a ping to its pong.
func (l *Loop) PingRTT(d time.Duration) { l.histograms[pingRTT].observe(d) }

// LoopLag counts how much later than due a tick was served.
func (l *Loop) LoopLag(d time.Duration) { l.histograms[loopLag].observe(d) }

// AcceptError counts a failed accept by the name of its errno, as EMFILE.
func (l *Loop) AcceptError(errno string) { l.own[atAcceptErrors+errnoIndex(errno)]++ }

// Delivered counts the time from a push's arrival at the node to the write that
// gave it to the socket.
func (l *Loop) Delivered(d time.Duration) { l.histograms[deliveryTime].observe(d) }
