package name

import "strings"

// MaxEvent is how long the name of an event may be, in bytes.
const MaxEvent = 128

// Event reports whether a client may call a message so: the name becomes part
// of header values and of the URL, where it must stay one segment.
func Event(s string) bool {
	if s == "" || len(s) > MaxEvent || s == "." || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}
