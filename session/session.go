package session

import "github.com/gobwas/ws"

// Closing is the close handshake of RFC 6455 §7.1 as a state machine. The
// zero Closing is an open connection.
type Closing struct {
	done closeStep
	code uint16
}

// closeStep is what has been done of a close handshake.
type closeStep uint8

const (
	closeSent     closeStep = 1 << iota // our Close frame is encoded
	closeLeft                           // the socket has taken it
	closeReceived                       // the peer's has come
)

// Open reports whether neither side has begun to close.
func (c *Closing) Open() bool { return c.done&(closeSent|closeReceived) == 0 }

// Sent reports whether our Close frame has been encoded.
func (c *Closing) Sent() bool { return c.done&closeSent != 0 }

// Done reports whether both Close frames are through, so that the server may
// close the TCP connection (RFC 6455 §7.1.1).
func (c *Closing) Done() bool { return c.Sent() && c.done&closeReceived != 0 }

// Left notes that the socket has taken all that was encoded, our Close frame
// too if there was one.
func (c *Closing) Left() {
	if c.Sent() {
		c.done |= closeLeft
	}
}

// Code is the code of the Close frame that came first, ours or the peer's. It
// is 1006 while there has been none: one of ours that has not left, nobody
// has seen.
func (c *Closing) Code() ws.StatusCode {
	if c.done&(closeLeft|closeReceived) == 0 {
		return ws.StatusAbnormalClosure
	}
	return ws.StatusCode(c.code)
}

// Start appends our Close frame to dst, unless one was sent before.
func (c *Closing) Start(dst []byte, code ws.StatusCode, reason string) []byte {
	if c.Sent() {
		return dst
	}
	if c.Open() {
		c.code = uint16(code)
	}
	c.done |= closeSent
	return AppendClose(dst, code, reason)
}

// Receive takes the peer's Close frame and appends the answer that RFC 6455
// §5.5.1 asks for: the same code, if ours was not sent already. Before one of
// ours that has not left, it is the first.
func (c *Closing) Receive(dst []byte, code ws.StatusCode) []byte {
	if !c.Sent() {
		dst = AppendClose(dst, code, "")
	}
	if c.done&closeLeft == 0 {
		c.code = uint16(code)
	}
	c.done |= closeSent | closeReceived
	return dst
}

// Heartbeat judges a peer by the bytes it sends: any byte is a sign of life.
// Messages arm no timer; the wheel asks when the last known deadline comes,
// and is told the next one.
//
// The answer to a ping is waited for by another clock: it counts the ticks that
// somebody was there to hear it. What stops us, a machine that is suspended or
// has other work, often stops the peer or the way to it too, and is no silence
// of the peer's.
type Heartbeat struct {
	seen   uint32 // twice the tick at which bytes came last, and one more if a ping was sent since
	sentAt uint32 // when the open ping was sent, on a finer clock, for the round-trip time
	asked  Tick   // when it was, in attended ticks; 0: no ping is open
}

// Verdict is what is to be done about a peer.
type Verdict uint8

const (
	// Alive: nothing to do.
	Alive Verdict = iota
	// Ask: send a ping and call Asked.
	Ask
	// Dead: the ping was not answered in time.
	Dead
)

// Seen notes that bytes have come. It is all that a message costs.
func (h *Heartbeat) Seen(now Tick) { h.seen = uint32(now) << 1 }

// Asked notes that a ping was sent, at the given millisecond of the loop's
// clock. attended, which is not 0, is how many ticks the loop has been there.
func (h *Heartbeat) Asked(attended Tick, milli uint32) {
	h.sentAt, h.asked = milli, attended
	h.seen |= 1
}

// Answered takes a pong. It returns when the ping that it answers was sent,
// and false for a pong that nobody asked for (RFC 6455 §5.5.3 allows it).
func (h *Heartbeat) Answered() (milli uint32, ok bool) {
	ok, h.asked = h.asked != 0, 0
	return h.sentAt, ok
}

// Check says what is to be done now and when to check again. early is how
// much sooner than interval the peer may be asked, so that many sessions are
// not asked in one storm. It is asked at a multiple of beat before that, so
// that a few are asked together: each time a sleeping process is woken costs
// more than a ping. suspended says that input is waiting unread: the pong may
// be behind it, so that silence means nothing.
func (h *Heartbeat) Check(now, attended, interval, timeout, early, beat Tick, suspended bool) (Verdict, Tick) {
	if h.seen&1 == 0 {
		h.asked = 0 // not the pong, but life
	}
	switch {
	case suspended:
		if h.asked != 0 {
			h.asked = attended // the answer's time runs from when we can hear it
		}
		return Alive, now + timeout
	case h.asked != 0:
		if waited := attended - h.asked; waited < timeout {
			return Alive, now + timeout - waited
		}
		return Dead, now
	}
	ago := Tick((uint32(now)<<1 - h.seen&^1) >> 1)
	due := now - ago + interval - early
	if due -= due % beat; now.Before(due) {
		return Alive, due
	}
	return Ask, now + timeout
}
