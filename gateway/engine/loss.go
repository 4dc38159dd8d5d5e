package engine

import (
	"io"

	"sluice/metrics"
	"sluice/session"
)

// weigh sees to what depends on how much waits for the socket of s; before was how
// much did.
func (e *Engine) weigh(s *Stream, before int) {
	n := s.waiting()
	e.metrics.Gauge(metrics.SendQueueBytes, int64(n-before))
	if n > highWater {
		s.holds |= HoldQueue
	} else {
		s.holds &^= HoldQueue
	}
}

// Dropped counts n messages that were counted as sent and will not leave.
func (e *Engine) Dropped(s *Stream, why metrics.Drop, n int) { e.dropped(s, why, n) }

func (e *Engine) dropped(s *Stream, why metrics.Drop, n int) {
	if n > 0 && s.is(upgraded) {
		e.metrics.Dropped(s.class.Counts, why, n)
	}
}

// lose counts the messages among the frames in p that the first sent bytes
// do not bring to their end, behind the answer if there is one; if there is a head, p is the rest of the one frame
// that begins with it. It must be called while p is whole: the last words that
// follow may overwrite it.
func (e *Engine) lose(s *Stream, why metrics.Drop, head, p []byte, sent int) {
	if len(head) > 0 {
		if sent == len(head)+len(p) {
			return
		}
		p, sent = head, 0
	}
	if s.is(upgraded) {
		answer := 0
		if len(head) == 0 {
			answer = min(e.answered, len(p))
		}
		e.dropped(s, why, session.Messages(p[answer:], max(0, sent-answer)))
	}
}

// lostAs is how messages are counted that the end of a session for reason has
// kept from leaving.
func lostAs(reason metrics.Reason) metrics.Drop {
	switch reason {
	case metrics.ReasonSlowConsumerBytes, metrics.ReasonSlowConsumerAge:
		return metrics.DropSlowConsumer
	case metrics.ReasonMemory:
		return metrics.DropMemory
	case metrics.ReasonShutdown:
		return metrics.DropShutdown
	}
	return metrics.DropGone
}

// lost is the reason for a read or write error.
func lost(err error) metrics.Reason {
	switch err {
	case io.EOF:
		return metrics.ReasonEOF
	case session.ErrQueueBudget:
		return metrics.ReasonMemory
	}
	return metrics.ReasonReset
}
