package handshake

import (
	"bytes"
	"encoding/binary"
)

// Classes of octets, as bits of octets[c].
const (
	tokenOctet = 1 << iota // tchar, RFC 9110 §5.6.2
	hostOctet              // what may stand in uri-host [":" port], RFC 3986 §3.2.2
)

var octets = func() (t [256]uint8) {
	const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for _, c := range []byte(alphanumeric + "!#$%&'*+-.^_`|~") {
		t[c] |= tokenOctet
	}
	for _, c := range []byte(alphanumeric + "-._~%!$&'()*+,;=:[]") {
		t[c] |= hostOctet
	}
	return t
}()

// all reports whether p has octets of the class only. Empty p has.
func all(p []byte, class uint8) bool {
	for _, c := range p {
		if octets[c]&class == 0 {
			return false
		}
	}
	return true
}

func isToken(p []byte) bool { return len(p) > 0 && all(p, tokenOctet) }

// hasControl reports whether p holds a control character: CTL of RFC 5234,
// that is 0x00-0x1f and 0x7f. It looks at eight octets at a time because
// cookies and tokens are long.
func hasControl(p []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for len(p) >= 8 {
		v := binary.LittleEndian.Uint64(p)
		low := (v - 0x20*ones) &^ v // high bit: an octet below 0x20
		del := v ^ 0x7f*ones
		del = (del - ones) &^ del // high bit: an octet equal to 0x7f
		if (low|del)&highs != 0 {
			return true
		}
		p = p[8:]
	}
	for _, c := range p {
		if c < 0x20 || c == 0x7f {
			return true
		}
	}
	return false
}

// validValue reports whether v may be a field value: no control characters
// but the tab (RFC 9110 §5.5).
func validValue(v []byte) bool {
	for hasControl(v) {
		tab := bytes.IndexByte(v, '\t')
		if tab < 0 || hasControl(v[:tab]) {
			return false
		}
		v = v[tab+1:]
	}
	return true
}

// equalFold reports whether p is lower (in lower case already) but for the
// case of ASCII letters. bytes.EqualFold would take U+212A for a k.
func equalFold(p []byte, lower string) bool {
	if len(p) != len(lower) {
		return false
	}
	for i, c := range p {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trim cuts optional white space, OWS of RFC 9110 §5.6.3, off both ends.
func trim(p []byte) []byte {
	for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
		p = p[1:]
	}
	for len(p) > 0 && (p[len(p)-1] == ' ' || p[len(p)-1] == '\t') {
		p = p[:len(p)-1]
	}
	return p
}

// cutElement cuts the first element off a comma-separated list without quoted
// strings. The element may be empty; the list has ended when rest is nil.
func cutElement(list []byte) (element, rest []byte) {
	element, rest, _ = bytes.Cut(list, []byte{','})
	return trim(element), rest
}

// hasElement reports whether the list names lower, in any case.
func hasElement(list []byte, lower string) bool {
	for list != nil {
		var element []byte
		if element, list = cutElement(list); equalFold(element, lower) {
			return true
		}
	}
	return false
}
