package upstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/gateway/trace"
	"sluice/metrics"
)

// Protocol takes events to a backend over a network.
type Protocol interface {
	// Attempt delivers c once and returns the backend's answer. It blocks, but
	// not beyond the deadline of ctx, and is called from many goroutines at a
	// time. An error is always a *Failure. Neither c nor anything it points at
	// may be used afterwards; what the Reply points at is the caller's.
	Attempt(ctx context.Context, c *Call) (Reply, error)
	// Close gives back what the protocol holds. No Attempt is under way.
	Close()
}

// Call is an event on its way to a backend. Everything in it is its own.
type Call struct {
	Event
	ID      string    // names the event, the same in every attempt
	At      time.Time // when it happened
	Attempt int       // from 1
	// Trace is the span of the attempt, which the backend is told; not valid if
	// nothing is traced.
	Trace trace.Context
}

// Failure is why an attempt did not deliver its event.
type Failure struct {
	Kind Kind
	// After, if not zero, is how long the backend asks to be left alone.
	After time.Duration
	// Broken: what is Refused was so by a backend that has failed itself (500
	// and what is like it), and may not the next time.
	Broken bool
	// Stale: it is Unanswered because a connection that had been used before was
	// ended without a byte of an answer. It may be that the backend had not seen
	// the event.
	Stale bool
	// Doubt: although it is not Unanswered, the backend may have accepted the
	// client that asks to connect.
	Doubt bool
	// Verdict, if not nil, is what that client is told if there is no further
	// attempt.
	Verdict *Verdict
	Err     error
}

// Kind is what can be done about a Failure.
type Kind uint8

const (
	// Unsent: not a byte of the event has reached the backend, or it said that
	// it has not looked at it (408, 425, 429, 502, 503, 504). Trying again
	// repeats nothing.
	Unsent Kind = iota
	// Unanswered: the backend may have seen the event, and no answer came: the
	// time was up, or the connection broke.
	Unanswered
	// Refused: the backend answered that it will not have the event, or what
	// the contract does not know. Trying again would bring the same.
	Refused
)

// ErrTooLong is why a Failure is Refused whose answer was longer than
// config.Upstream.Response.
var ErrTooLong = errors.New("the answer is longer than the limit")

// Error says what went wrong.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %v", f.Kind, f.Err) }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// String is for messages.
func (k Kind) String() string {
	switch k {
	case Unsent:
		return "not delivered"
	case Unanswered:
		return "not answered"
	}
	return "refused"
}

// outcome is how an event is counted that ended so. One that is repeated until
// it is taken, and never was, has failed, whatever was said to it.
func (f *Failure) outcome(t Type) metrics.Outcome {
	switch {
	case f.Kind == Refused && f.Broken && t&insistent != 0:
	case f.Kind == Refused:
		return metrics.OutcomeRefused
	case errors.Is(f.Err, context.DeadlineExceeded):
		return metrics.OutcomeTimeout
	}
	return metrics.OutcomeFailed
}
