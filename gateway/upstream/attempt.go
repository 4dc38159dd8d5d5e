package upstream

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"sluice/metrics"
)

// attempt tries to deliver p once, and counts that. It returns either the
// backend's answer or why there is none.
func (d *Dispatcher) attempt(p *pending) (Reply, *Failure) {
	if p.call.Attempt == 0 {
		p.call.ID = newID()
	} else {
		d.o.Metrics.Retry()
	}
	p.call.Attempt++
	d.o.Metrics.Trying()
	span := d.o.Tracer.Begin(p.span.Context)
	p.call.Trace = span.Context
	began := d.now()
	end := min(began+time.Duration(d.o.Config.Timeout), p.deadline)
	ctx, cancel := context.WithDeadline(d.attempts, d.epoch.Add(end))
	defer cancel()
	r, f := d.deliver(ctx, &p.call)
	took := d.now() - began
	d.o.Metrics.Attempt(took, f == nil || f.Kind == Refused, span.TraceID())
	d.attempted(span, took, p.call.Attempt, f)
	return r, f
}

// deliver is the protocol's Attempt, which must not take the process down with
// a panic: the event that causes one would cause it again.
func (d *Dispatcher) deliver(ctx context.Context, c *Call) (r Reply, f *Failure) {
	defer func() {
		if cause := recover(); cause != nil {
			d.o.Log.Error("panic while an event was delivered", "hub", d.o.Hub, "event", c.Type.String(), "panic", cause, "stack", string(debug.Stack()))
			r, f = Reply{}, &Failure{Kind: Refused, Err: fmt.Errorf("panic: %v", cause)}
		}
	}()
	r, err := d.protocol.Attempt(ctx, c)
	if err != nil && !errors.As(err, &f) {
		f = &Failure{Kind: Refused, Err: err}
	}
	return r, f
}

// announce logs what the breaker has become, once for each change.
func (d *Dispatcher) announce(s metrics.State, f *Failure) {
	if s == metrics.StateClosed {
		d.o.Log.Info("the upstream answers again: its circuit breaker is closed", "hub", d.o.Hub)
		return
	}
	d.o.Log.Warn("the upstream fails: its circuit breaker is open", "hub", d.o.Hub, "err", f)
}

// idEncoding has an alphabet that is safe in headers, URLs and file names.
var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newID returns 128 random bits: unique, and no secret.
func newID() string {
	var raw [16]byte
	binary.NativeEndian.PutUint64(raw[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(raw[8:], rand.Uint64())
	var text [26]byte
	idEncoding.Encode(text[:], raw[:])
	return string(text[:])
}

// sparingly lets one line in so much time into the log: a backend that refuses
// all its events would fill it.
type sparingly struct {
	said   bool
	last   time.Duration
	unsaid int // lines that were left out since
}

const betweenLines = 10 * time.Second

// allow reports whether a line may be written, and how many were left out
// before it.
func (s *sparingly) allow(now time.Duration) (ok bool, unsaid int) {
	if s.said && now-s.last < betweenLines {
		s.unsaid++
		return false, 0
	}
	unsaid = s.unsaid
	*s = sparingly{said: true, last: now}
	return true, unsaid
}
