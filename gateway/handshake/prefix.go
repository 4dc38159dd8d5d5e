package handshake

import "bytes"

// TooLarge is the refusal of p, more octets than a head may have without its
// end: of the target, if that alone is too long.
func TooLarge(p []byte) *Error {
	line := SkipEmptyLine(p)
	if method, target, ok := bytes.Cut(line, []byte{' '}); ok && isToken(method) && !bytes.ContainsAny(target, " \r\n") {
		return ErrTargetTooLong
	}
	return ErrHeadTooLarge
}

// AsksForHead reports whether p begins a HEAD request, whose answer has no
// body whatever it is.
func AsksForHead(p []byte) bool { return bytes.HasPrefix(SkipEmptyLine(p), []byte("HEAD ")) }

// SkipEmptyLine cuts off the one empty line that may come before a request
// line (RFC 9112 §2.2): some clients end a body with one too many.
func SkipEmptyLine(p []byte) []byte { return bytes.TrimPrefix(p, []byte("\r\n")) }

// CheckPrefix looks at an unfinished head, of which the first from bytes were
// looked at before, and refuses what no further byte can mend, so that the
// client need not wait for the deadline to be told.
func CheckPrefix(p []byte, from int) error {
	const tlsHandshake = 0x16 // RFC 8446 §5.1
	if from == 0 && len(p) > 0 && p[0] == tlsHandshake {
		return ErrTLS
	}
	for at := from; ; {
		n := bytes.IndexByte(p[at:], '\n')
		if n < 0 {
			return nil
		}
		if at += n; at == 0 || p[at-1] != '\r' {
			return ErrLineEnd
		}
		at++
	}
}
