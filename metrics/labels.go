package metrics

import "strconv"

// Counter names a plain count of a loop.
type Counter uint8

const (
	AcceptedConnections Counter = iota // sockets taken from the listener
	StaleEvents                        // poller events for a session that had ended
	Panics                             // panics recovered in a callback

	counterCount
)

// Gauge names a level that a loop moves up and down.
type Gauge uint8

const (
	HandshakesInFlight Gauge = iota // connections whose upgrade is not complete
	SendQueueBytes                  // bytes waiting for a socket to take them
	ParkedSessions                  // sessions that read nothing until something else is done
	DrainRemaining                  // connections that a drain has still to end
	GroupMemberships                // pairs of a session and a group it is in
	Groups                          // groups that have a member at the loop

	gaugeCount
)

// Reason says why a connection ended. Those from ReasonClientClose to
// ReasonReset are the client's doing, all others the gateway's.
type Reason uint8

const (
	ReasonClientClose       Reason = iota // the client's close frame came first
	ReasonEOF                             // FIN without a close frame
	ReasonReset                           // RST, or another error of the socket
	ReasonHeartbeat                       // no sign of life
	ReasonMessageTooBig                   // a message over the byte bound
	ReasonFragments                       // a message in too many frames
	ReasonMessageAge                      // a message that took too long to arrive
	ReasonControlRate                     // too many control frames
	ReasonProtocolError                   // a violation of RFC 6455 or RFC 7692
	ReasonInvalidPayload                  // data that is not what its type says, as text that is not UTF-8
	ReasonSlowConsumerBytes               // too much waited to be sent
	ReasonSlowConsumerAge                 // something waited too long to be sent
	ReasonMemory                          // the node's budget for buffers was used up
	ReasonUpstreamFailed                  // the upstream did not take an event
	ReasonUpstreamOverload                // the upstream, or the way to it, had no room
	ReasonCloseTimeout                    // the client never answered our close frame
	ReasonDrain                           // the node is going away
	ReasonShutdown                        // the node went away without waiting
	ReasonPanic                           // a bug of ours in this session's callback
	ReasonBackend                         // closed through the data plane or by the upstream's reply
	ReasonTokenExpired                    // the client's token ran out
	ReasonHubRemoved                      // a reload took the hub away

	reasonCount
)

// String is the label value.
func (r Reason) String() string {
	return [reasonCount]string{
		ReasonClientClose:       "client_close",
		ReasonEOF:               "eof",
		ReasonReset:             "reset",
		ReasonHeartbeat:         "heartbeat",
		ReasonMessageTooBig:     "message_too_big",
		ReasonFragments:         "fragments",
		ReasonMessageAge:        "message_age",
		ReasonControlRate:       "control_rate",
		ReasonProtocolError:     "protocol_error",
		ReasonInvalidPayload:    "invalid_payload",
		ReasonSlowConsumerBytes: "slow_consumer_bytes",
		ReasonSlowConsumerAge:   "slow_consumer_age",
		ReasonMemory:            "memory",
		ReasonUpstreamFailed:    "upstream_failed",
		ReasonUpstreamOverload:  "upstream_overloaded",
		ReasonCloseTimeout:      "close_timeout",
		ReasonDrain:             "drain",
		ReasonShutdown:          "shutdown",
		ReasonPanic:             "panic",
		ReasonBackend:           "backend",
		ReasonTokenExpired:      "token_expired",
		ReasonHubRemoved:        "hub_removed",
	}[r]
}

// Initiator is client or server: who began the end.
func (r Reason) Initiator() string {
	if r <= ReasonReset {
		return "client"
	}
	return "server"
}

// Result is how a handshake ended.
type Result uint8

const (
	ResultOK           Result = iota
	ResultBadRequest          // 400
	ResultHeadTooLarge        // 431, or 414: the target alone
	ResultTimeout             // 408
	ResultOrigin              // 403
	ResultNotFound            // 404
	ResultVersion             // 426
	ResultOverloaded          // 503: too many connections or handshakes
	ResultUnavailable         // 503: draining
	ResultUnauthorized        // 401
	ResultForbidden           // 403: refused by the upstream, or a token of another hub
	ResultUpstream            // 502, 503: the upstream did not answer the connect event as it should
	ResultKeySet              // 503: the key set of the token's issuer could not be had
	ResultClientGone          // the client went away first
	ResultHTTP                // no upgrade: handed to the HTTP server

	resultCount
)

// String is the label value.
func (r Result) String() string {
	return [resultCount]string{
		ResultOK:           "ok",
		ResultBadRequest:   "bad_request",
		ResultHeadTooLarge: "head_too_large",
		ResultTimeout:      "timeout",
		ResultOrigin:       "origin",
		ResultNotFound:     "not_found",
		ResultVersion:      "version",
		ResultOverloaded:   "overloaded",
		ResultUnavailable:  "unavailable",
		ResultUnauthorized: "unauthorized",
		ResultForbidden:    "forbidden",
		ResultUpstream:     "upstream",
		ResultKeySet:       "key_set",
		ResultClientGone:   "client_gone",
		ResultHTTP:         "http",
	}[r]
}

// ofHub reports whether a handshake that has named its hub may well end so, and
// ofNone whether one may that has named none: these are exported from the
// start.
func (r Result) ofHub() bool {
	switch r {
	case ResultOK, ResultBadRequest, ResultOrigin, ResultOverloaded, ResultUnavailable,
		ResultUnauthorized, ResultForbidden, ResultClientGone:
		return true
	}
	return false
}

func (r Result) ofNone() bool {
	switch r {
	case ResultBadRequest, ResultHeadTooLarge, ResultTimeout, ResultNotFound, ResultVersion,
		ResultOverloaded, ResultClientGone, ResultHTTP:
		return true
	}
	return false
}

// Scope says which rate limit refused something.
type Scope uint8

const (
	ScopeControl Scope = iota // control frames of a session

	scopeCount
)

// String is the label value.
func (s Scope) String() string {
	return [scopeCount]string{
		ScopeControl: "control",
	}[s]
}

// Drop says why a message did not reach where it was meant to go.
type Drop uint8

const (
	DropSlowConsumer Drop = iota // the client did not read: too much waited, or for too long
	DropClosing                  // the session was ending
	DropMemory                   // the node's budget for buffers was used up
	DropExpired                  // it waited for longer than its TTL
	DropGone                     // the connection ended before it was written
	DropShutdown                 // the node did

	dropCount
)

// String is the label value.
func (d Drop) String() string {
	return [dropCount]string{
		DropSlowConsumer: "slow_consumer",
		DropClosing:      "closing",
		DropMemory:       "memory",
		DropExpired:      "expired",
		DropGone:         "gone",
		DropShutdown:     "shutdown",
	}[d]
}

// Discard says why a message of a client was not taken to the upstream.
type Discard uint8

const (
	DiscardClosing  Discard = iota // it came behind our Close frame, or with the upstream's
	DiscardMemory                  // too much was left to be kept, or the budget was used up
	DiscardTimeout                 // what was left took too long
	DiscardUpstream                // the upstream did not take the message before it
	DiscardShutdown                // the node ended

	discardCount
)

// String is the label value.
func (d Discard) String() string {
	return [discardCount]string{
		DiscardClosing:  "closing",
		DiscardMemory:   "memory",
		DiscardTimeout:  "timeout",
		DiscardUpstream: "backend",
		DiscardShutdown: "shutdown",
	}[d]
}

// Event is what an upstream is told.
type Event uint8

const (
	EventConnect Event = iota
	EventConnected
	EventMessage
	EventDisconnected

	eventCount
)

// String is the label value.
func (e Event) String() string {
	return [eventCount]string{
		EventConnect:      "connect",
		EventConnected:    "connected",
		EventMessage:      "message",
		EventDisconnected: "disconnected",
	}[e]
}

// Outcome is how the delivery of an event to an upstream ended, retries
// included.
type Outcome uint8

const (
	OutcomeOK          Outcome = iota
	OutcomeRefused             // the upstream answered that it will not have it
	OutcomeFailed              // no answer, or one that reports a failure
	OutcomeTimeout             // no answer in time
	OutcomeOverloaded          // no room on the way to the upstream
	OutcomeCircuitOpen         // not tried: the upstream has been failing
	OutcomeCanceled            // the session or the node ended first

	outcomeCount
)

// String is the label value.
func (o Outcome) String() string {
	return [outcomeCount]string{
		OutcomeOK:          "ok",
		OutcomeRefused:     "refused",
		OutcomeFailed:      "failed",
		OutcomeTimeout:     "timeout",
		OutcomeOverloaded:  "overloaded",
		OutcomeCircuitOpen: "circuit_open",
		OutcomeCanceled:    "canceled",
	}[o]
}

// AuthFailure says why a token or key was not accepted.
type AuthFailure uint8

const (
	AuthMissing   AuthFailure = iota // there was none
	AuthMalformed                    // not a token at all, or an algorithm that is not allowed
	AuthSignature                    // signed by no key that is trusted
	AuthExpired                      // too late or too early
	AuthAudience                     // meant for somebody else
	AuthIssuer                       // made by somebody unknown
	AuthKeys                         // its issuer's key set could not be had
	AuthRole                         // it does not permit what was asked

	authFailureCount
)

// String is the label value.
func (f AuthFailure) String() string {
	return [authFailureCount]string{
		AuthMissing:   "missing",
		AuthMalformed: "malformed",
		AuthSignature: "signature",
		AuthExpired:   "expired",
		AuthAudience:  "audience",
		AuthIssuer:    "issuer",
		AuthKeys:      "keys",
		AuthRole:      "role",
	}[f]
}

// Limit is a bound of the node that can refuse something. What bounds one
// session ends it, and is the reason for that; what bounds an upstream is an
// UpstreamLimit.
type Limit uint8

const (
	LimitConnections       Limit = iota // sessions
	LimitSilent                         // connections whose request has not come, of which the oldest goes
	LimitPendingHandshakes              // handshakes that wait for an upstream or a key set
	LimitHubHandshakes                  // a hub's share of those
	LimitDeparting                      // clients that were refused and stay, of which the oldest goes
	LimitBuffered                       // bytes in buffers, of which newcomers may not have the last tenth
	LimitVerifications                  // tokens that are verified beside the loops
	LimitDescriptors                    // descriptors that clients may take
	LimitKeySets                        // tokens that wait for the key set of an issuer
	LimitGroups                         // groups of a session
	LimitMailbox                        // bytes of pushes that wait for a loop
	LimitHTTPConnections                // connections of the HTTP server
	LimitHTTPQueue                      // connections that it has not taken yet

	limitCount
)

// String is the label value.
func (l Limit) String() string {
	return [limitCount]string{
		LimitConnections:       "connections",
		LimitSilent:            "silent_connections",
		LimitPendingHandshakes: "pending_handshakes",
		LimitHubHandshakes:     "hub_handshakes",
		LimitDeparting:         "departing_connections",
		LimitBuffered:          "buffered",
		LimitVerifications:     "verifications",
		LimitDescriptors:       "descriptors",
		LimitKeySets:           "key_sets",
		LimitGroups:            "groups",
		LimitMailbox:           "mailbox",
		LimitHTTPConnections:   "http_connections",
		LimitHTTPQueue:         "http_queue",
	}[l]
}

// UpstreamLimit is a bound of an upstream that can refuse an event or an answer.
type UpstreamLimit uint8

const (
	LimitWaiting   UpstreamLimit = iota // events that a client waits for
	LimitFarewells                      // events that nobody waits for
	LimitMemory                         // of the node, for what is kept of events
	LimitResponse                       // bytes of an answer

	upstreamLimitCount
)

// String is the label value.
func (l UpstreamLimit) String() string {
	return [upstreamLimitCount]string{
		LimitWaiting:   "waiting",
		LimitFarewells: "farewells",
		LimitMemory:    "memory",
		LimitResponse:  "response",
	}[l]
}

// Close codes fold into codeCount labels: 1000 to 1015 one by one, the
// registered and the private range as one each.
const (
	code3xxx = 16 + iota
	code4xxx
	codeOther
	codeCount
)

func codeIndex(code uint16) int {
	switch {
	case code >= 1000 && code <= 1015:
		return int(code - 1000)
	case code >= 3000 && code <= 3999:
		return code3xxx
	case code >= 4000 && code <= 4999:
		return code4xxx
	default:
		return codeOther
	}
}

func codeLabel(i int) string {
	switch i {
	case code3xxx:
		return "3xxx"
	case code4xxx:
		return "4xxx"
	case codeOther:
		return "other"
	default:
		return strconv.Itoa(1000 + i)
	}
}

// HTTP statuses are those of RFC 9110, section 15: three digits, of which the
// first is 1 to 5.
const (
	leastStatus = 100
	statusCount = 500
)

// errnoLabels are the errors of accept4(2) that a node must tell apart; what is
// none of them is counted as the last.
var errnoLabels = [...]string{"EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EPERM", "other"}

func errnoIndex(errno string) int {
	for i, label := range errnoLabels {
		if label == errno {
			return i
		}
	}
	return len(errnoLabels) - 1
}
