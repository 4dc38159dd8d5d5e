package upstream

import (
	"net/http"

	"github.com/gobwas/ws"

	"sluice/metrics"
	"sluice/session"
)

// tryAgainLater is the close code 1013, registered after RFC 6455.
const tryAgainLater = session.StatusTryAgainLater

// undelivered is the answer to an event that the upstream did not take. A
// message closes the session, so that its client knows: with 1011 if the
// upstream failed, and 1013 if the event never reached it for want of room or
// time. Connected does, too, unless the upstream has heard it: it would get
// messages of a session that it was never told of. A client that wants to
// connect is told to come back, but not if what the upstream said is none of
// the answers that there are (502): it would be the same again.
func undelivered(t Type, o metrics.Outcome) Reply {
	r := Reply{Outcome: o}
	switch {
	case t == Connect && o == metrics.OutcomeRefused:
		r.Verdict = &Verdict{Status: http.StatusBadGateway}
	case t == Connect:
		r.Verdict = &Verdict{Status: http.StatusServiceUnavailable}
	case t == Message, t == Connected && o != metrics.OutcomeRefused:
		r.Close.Code = closeCode(o)
	}
	return r
}

// last is the answer to p, which was given up.
func (p *Pending) last() Reply {
	r, f := undelivered(p.Call.Type, p.end), p.failure
	if p.Call.Type != Connect || f == nil {
		return r
	}
	switch {
	case f.Verdict != nil:
		r.Outcome, r.Verdict = metrics.OutcomeOK, new(*f.Verdict)
	case f.Broken:
		r.Verdict.Status = http.StatusServiceUnavailable
	}
	r.Verdict.Doubt = p.doubt
	return r
}

func closeCode(o metrics.Outcome) ws.StatusCode {
	switch o {
	case metrics.OutcomeOverloaded, metrics.OutcomeCircuitOpen, metrics.OutcomeCanceled:
		return tryAgainLater
	}
	return ws.StatusInternalServerError
}

// subscription is what a hub's upstream wants to be told.
type subscription struct {
	types Type
	all   bool            // messages of every name
	names map[string]bool // messages of these names
}

// subscribe reads a list of events: connect, connected and disconnected, and
// what messages are called, or * for all of them.
func subscribe(events []string) subscription {
	s := subscription{names: make(map[string]bool)}
	for _, name := range events {
		switch name {
		case Connect.String():
			s.types |= Connect
		case Connected.String():
			s.types |= Connected
		case Disconnected.String():
			s.types |= Disconnected
		case "*":
			s.types |= Message
			s.all = true
		default:
			s.types |= Message
			s.names[name] = true
		}
	}
	return s
}

// message reports whether messages of that name are wanted.
func (s *subscription) message(name string) bool { return s.all || s.names[name] }
