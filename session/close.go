package session

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// ParseClose takes the payload of a Close frame apart (RFC 6455 §5.5.1). An
// empty payload is code 1005 (RFC 6455 §7.1.5). The reason aliases payload.
// The error is ErrClosePayload, ErrCloseCode or ErrCloseUTF8.
func ParseClose(payload []byte) (ws.StatusCode, []byte, error) {
	switch len(payload) {
	case 0:
		return ws.StatusNoStatusRcvd, nil, nil
	case 1:
		return 0, nil, ErrClosePayload
	}
	code := ws.StatusCode(binary.BigEndian.Uint16(payload))
	reason := payload[2:]
	if !sendable(code) {
		return 0, nil, ErrCloseCode
	}
	if !utf8.Valid(reason) {
		return 0, nil, ErrCloseUTF8
	}
	return code, reason, nil
}

// AppendClose appends an unmasked Close frame. What is not UTF-8 in the reason
// is replaced, and what does not fit into 123 bytes is cut off between two
// characters. With a code that must not be sent, such as 1005, 1006 and 1015,
// the frame has no payload (RFC 6455 §7.4.1).
func AppendClose(dst []byte, code ws.StatusCode, reason string) []byte {
	if !sendable(code) {
		return appendHeader(dst, finBit|byte(ws.OpClose), 0, 0)
	}
	reason = strings.ToValidUTF8(reason, "\ufffd")
	if room := maxControl - 2; len(reason) > room {
		for !utf8.RuneStart(reason[room]) {
			room--
		}
		reason = reason[:room]
	}
	dst = appendHeader(dst, finBit|byte(ws.OpClose), 0, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// sendable reports whether code may stand in a Close frame: what RFC 6455 §7.4
// and the IANA registry define for it, libraries and frameworks (3000 to
// 3999), and private use (4000 to 4999).
func sendable(code ws.StatusCode) bool {
	switch {
	case ws.StatusNormalClosure <= code && code <= ws.StatusUnsupportedData,
		ws.StatusInvalidFramePayloadData <= code && code <= statusBadGateway,
		3000 <= code && code <= 4999:
		return true
	}
	return false
}
