package session

import "github.com/gobwas/ws"

// Error is a reason to fail a connection because of what its peer sent. All
// values are the variables of this package, so that failing costs no
// allocation and == tells them apart.
type Error struct {
	// Code is the close code that tells the peer (RFC 6455 §7.4.1).
	Code ws.StatusCode
	// Kind is a metric label: snake case, from the fixed set of Kinds.
	Kind string

	text string
}

func (e *Error) Error() string { return e.text }

// What a peer may do wrong.
var (
	// RFC 6455 §5.1: clients mask their frames, servers do not.
	ErrMask = &Error{ws.StatusProtocolError, "mask", "frame is masked by a server or not masked by a client"}
	// RFC 6455 §5.2: reserved bits need a negotiated extension. RFC 7692 §6
	// gives RSV1 a meaning on the first frame of a data message only.
	ErrRSV               = &Error{ws.StatusProtocolError, "rsv", "reserved bit is set without a meaning"}
	ErrOpCode            = &Error{ws.StatusProtocolError, "opcode", "opcode is reserved"}
	ErrLengthNotMinimal  = &Error{ws.StatusProtocolError, "length_not_minimal", "payload length is not in its shortest form"}
	ErrLengthTooLarge    = &Error{ws.StatusProtocolError, "length_too_large", "payload length has its most significant bit set"}
	ErrContinuation      = &Error{ws.StatusProtocolError, "continuation", "continuation frame without a message to continue"}
	ErrInterleaved       = &Error{ws.StatusProtocolError, "interleaved", "new message inside a fragmented one"}
	ErrControlFragmented = &Error{ws.StatusProtocolError, "control_fragmented", "control frame is fragmented"}
	ErrControlTooLong    = &Error{ws.StatusProtocolError, "control_too_long", "control frame is longer than 125 bytes"}
	ErrUTF8              = &Error{ws.StatusInvalidFramePayloadData, "utf8", "text message is not UTF-8"}
	ErrInflate           = &Error{ws.StatusInvalidFramePayloadData, "inflate", "compressed message cannot be decompressed"}
	ErrCloseCode         = &Error{ws.StatusProtocolError, "close_code", "close code must not be sent"}
	ErrClosePayload      = &Error{ws.StatusProtocolError, "close_payload", "close frame has a payload of one byte"}
	ErrCloseUTF8         = &Error{ws.StatusInvalidFramePayloadData, "close_utf8", "close reason is not UTF-8"}
	ErrMessageTooBig     = &Error{ws.StatusMessageTooBig, "message_too_big", "message is longer than allowed"}
	ErrFragments         = &Error{ws.StatusPolicyViolation, "fragments", "message has more fragments than allowed"}
	// The peer's message is valid, and not too long: it is the way in which it
	// was compressed that no encoder has.
	ErrBlocks = &Error{ws.StatusPolicyViolation, "blocks", "compressed message is in far more blocks than it is worth"}
	// ErrBudget is not the peer's fault: the node's buffers are used up.
	ErrBudget = &Error{StatusTryAgainLater, "budget", "no buffer to be had"}
)

// Close codes that IANA has registered (RFC 6455 §11.7) and package ws does not
// name.
const (
	// StatusTryAgainLater is that of an overloaded server.
	StatusTryAgainLater ws.StatusCode = 1013
	statusBadGateway    ws.StatusCode = 1014
)

// Kinds returns the Kind of every Error, for the metrics that count them.
func Kinds() []string {
	all := []*Error{
		ErrMask, ErrRSV, ErrOpCode, ErrLengthNotMinimal, ErrLengthTooLarge,
		ErrContinuation, ErrInterleaved, ErrControlFragmented, ErrControlTooLong,
		ErrUTF8, ErrInflate, ErrCloseCode, ErrClosePayload, ErrCloseUTF8,
		ErrMessageTooBig, ErrFragments, ErrBlocks, ErrBudget,
	}
	kinds := make([]string, len(all))
	for i, e := range all {
		kinds[i] = e.Kind
	}
	return kinds
}
