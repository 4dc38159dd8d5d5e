package handshake

import (
	"net/http"
	"strconv"
	"time"
)

// Error is a refusal: the status to answer with and what the client is told.
// Refusals are values made once, never for one request; compare them with
// errors.Is, or find the status with errors.As.
type Error struct {
	Status int
	Reason string // plain text for the client; never holds what the client sent
	Header string // more header lines, each ending in CRLF, or ""
}

func (e *Error) Error() string {
	return strconv.Itoa(e.Status) + " " + e.Reason
}

// What CheckPrefix and Parse refuse, and those who wait for what they parse.
var (
	ErrTLS               = &Error{Status: http.StatusBadRequest, Reason: "this port speaks HTTP; TLS ends in front of it"}
	ErrRequestLine       = &Error{Status: http.StatusBadRequest, Reason: "malformed request line"}
	ErrTarget            = &Error{Status: http.StatusBadRequest, Reason: "malformed request target"}
	ErrLineEnd           = &Error{Status: http.StatusBadRequest, Reason: "a line does not end in CRLF"}
	ErrField             = &Error{Status: http.StatusBadRequest, Reason: "malformed header field"}
	ErrHost              = &Error{Status: http.StatusBadRequest, Reason: "missing, malformed or repeated Host"}
	ErrFraming           = &Error{Status: http.StatusBadRequest, Reason: "ambiguous length of the body"}
	ErrChunk             = &Error{Status: http.StatusBadRequest, Reason: "malformed chunk"}
	ErrTrailer           = &Error{Status: http.StatusBadRequest, Reason: "forbidden field in Trailer"}
	ErrExpect            = &Error{Status: http.StatusExpectationFailed, Reason: "unknown expectation"}
	ErrHeadTooSlow       = &Error{Status: http.StatusRequestTimeout, Reason: "request head not complete in time"}
	ErrTargetTooLong     = &Error{Status: http.StatusRequestURITooLong, Reason: "request target too long"}
	ErrHeadTooLarge      = &Error{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: "request head too large"}
	ErrTooManyFields     = &Error{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: "too many header fields"}
	ErrTransferEncoding  = &Error{Status: http.StatusNotImplemented, Reason: "unsupported transfer encoding"}
	ErrMethodUnsupported = &Error{Status: http.StatusNotImplemented, Reason: "unsupported method"}
	ErrHTTPVersion       = &Error{Status: http.StatusHTTPVersionNotSupported, Reason: "unsupported HTTP version"}
)

// What Head.Check refuses.
var (
	ErrMethod     = &Error{Status: http.StatusMethodNotAllowed, Reason: "a WebSocket upgrade is a GET", Header: "Allow: GET\r\n"}
	ErrHTTP10     = &Error{Status: http.StatusBadRequest, Reason: "a WebSocket upgrade needs HTTP/1.1"}
	ErrUpgrade    = &Error{Status: http.StatusUpgradeRequired, Reason: "not a WebSocket upgrade: is the Upgrade header passed on by every proxy?", Header: upgradeTo13}
	ErrConnection = &Error{Status: http.StatusBadRequest, Reason: "the Connection header does not name upgrade"}
	ErrVersion    = &Error{Status: http.StatusUpgradeRequired, Reason: "unsupported WebSocket version", Header: upgradeTo13}
	ErrKey        = &Error{Status: http.StatusBadRequest, Reason: "missing, malformed or repeated Sec-WebSocket-Key"}
	ErrBody       = &Error{Status: http.StatusBadRequest, Reason: "a WebSocket upgrade has no body"}
	ErrRepeated   = &Error{Status: http.StatusBadRequest, Reason: "repeated Origin or Authorization"}
	ErrProtocols  = &Error{Status: http.StatusBadRequest, Reason: "malformed Sec-WebSocket-Protocol"}
	ErrExtensions = &Error{Status: http.StatusBadRequest, Reason: "malformed Sec-WebSocket-Extensions"}
)

// A 426 names the protocol to upgrade to (RFC 9110 §15.5.22) and the version
// that is spoken (RFC 6455 §4.4).
const upgradeTo13 = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

// Answer is what a refusal says besides its Error.
type Answer struct {
	// RetryAfter asks the client to stay away for so many seconds; 0 does not.
	RetryAfter int
	// Date is when the answer is made. The zero time leaves the field out, which
	// only a 5xx may (RFC 9110 §6.6.1).
	Date time.Time
	// Bodiless leaves the body out, as in every answer to HEAD.
	Bodiless bool
}

// AppendResponse appends the complete answer that refuses a request and says
// that the connection ends with it. It allocates only if dst has no room.
func AppendResponse(dst []byte, e *Error, a Answer) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(e.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(e.Status)...)
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(e.Reason)), 10)
	if e.Status == http.StatusUpgradeRequired {
		// Who sends Upgrade lists it in Connection (RFC 9110 §7.8).
		dst = append(dst, "\r\nConnection: close, Upgrade\r\n"...)
	} else {
		dst = append(dst, "\r\nConnection: close\r\n"...)
	}
	if !a.Date.IsZero() {
		dst = append(dst, "Date: "...)
		dst = a.Date.UTC().AppendFormat(dst, http.TimeFormat)
		dst = append(dst, "\r\n"...)
	}
	if a.RetryAfter > 0 {
		dst = append(dst, "Retry-After: "...)
		dst = strconv.AppendInt(dst, int64(a.RetryAfter), 10)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, e.Header...)
	dst = append(dst, "\r\n"...)
	if a.Bodiless {
		return dst
	}
	return append(dst, e.Reason...)
}
