package handshake

import "bytes"

// UnescapePath returns the path that an escaped one, of valid escapes, stands
// for: each "%" and its two digits as the octet they are. It reports false for
// a path that readers take for different ones: an escaped slash is one to some
// and to others not, and an escaped control character ends or splits it. A path
// without escapes is returned as it is.
func UnescapePath(path []byte) ([]byte, bool) {
	if bytes.IndexByte(path, '%') < 0 {
		return path, true
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if len(path) < i+3 || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return nil, false
			}
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			if c == '/' || c < 0x20 || c == 0x7f {
				return nil, false
			}
			i += 2
		}
		out = append(out, c)
	}
	return out, true
}

// HostName returns the name or the address in a Host field that Parse has let
// pass: without the port and the brackets, and without a dot at its end.
func HostName(host []byte) []byte {
	name, _, _ := cutPort(host)
	name = bytes.TrimPrefix(bytes.TrimSuffix(name, []byte{']'}), []byte{'['})
	return bytes.TrimSuffix(name, []byte{'.'})
}
