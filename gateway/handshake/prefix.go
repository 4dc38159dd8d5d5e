package handshake

import "bytes"

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
