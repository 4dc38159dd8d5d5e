package metrics

import "sync/atomic"

// cells are numbers that one goroutine adds to and any goroutine reads as they
// were when last published.
type cells struct {
	own  []uint64        // the writer's
	seen []atomic.Uint64 // the readers'; only publish writes them
}

func newCells(n int) cells {
	return cells{own: make([]uint64, n), seen: make([]atomic.Uint64, n)}
}

// move moves a level and shows it at once: what goes up and down says what there
// is now. It costs a locked instruction, which no frame pays.
func (c *cells) move(at int, delta uint64) {
	c.own[at] += delta
	c.seen[at].Store(c.own[at])
}

// publish stores what has changed since it was called last. Most cells have
// not, and a load costs less than a store.
func (c *cells) publish() {
	for i, v := range c.own {
		if c.seen[i].Load() != v {
			c.seen[i].Store(v)
		}
	}
}

// Where a loop's cells are.
const (
	atCounters     = 0
	atGauges       = atCounters + int(counterCount)
	atAcceptErrors = atGauges + int(gaugeCount)
	atKinds        = atAcceptErrors + len(errnoLabels) // as many as the Set has kinds; last
)

// Which of a loop's histograms is which.
const (
	lifetime = iota
	handshakeTime
	pingRTT
	loopLag
	receivedSize
	sentSize
	deliveryTime

	histogramCount
)

// boundsOf are the bounds of each.
var boundsOf = [histogramCount]*bounds{
	lifetime:      &lifetimeBounds,
	handshakeTime: &handshakeBounds,
	pingRTT:       &pingBounds,
	loopLag:       &lagBounds,
	receivedSize:  &sizeBounds,
	sentSize:      &sizeBounds,
	deliveryTime:  &deliveryBounds,
}

// Where the cells are that a loop has for each hub, but for those of ended
// connections.
const (
	atHubConnections   = 0
	atHubReceived      = atHubConnections + 1
	atHubSent          = atHubReceived + 1
	atHubReceivedBytes = atHubSent + 1
	atHubSentBytes     = atHubReceivedBytes + 1
	atHubSlow          = atHubSentBytes + 1
	atHubPings         = atHubSlow + 1
	atHubHandshakes    = atHubPings + 1
	atHubDropped       = atHubHandshakes + int(resultCount)
	atHubRateLimited   = atHubDropped + int(dropCount)
	atHubDiscarded     = atHubRateLimited + int(scopeCount)
	hubCells           = atHubDiscarded + int(discardCount)
)
