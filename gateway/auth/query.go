package auth

import (
	"net/url"
	"strings"
)

// ParseQuery reads a query as browsers do (URL Standard, section 5.1): & alone
// separates parameters, so that a semicolon is part of a value, and a % that no
// two hex digits follow stands for itself. Nothing is dropped. What is not UTF-8
// when it is decoded becomes U+FFFD, one for each run of such bytes.
func ParseQuery(raw string) url.Values {
	values := make(url.Values)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name = strings.ToValidUTF8(unescape(name), "\ufffd")
		values[name] = append(values[name], strings.ToValidUTF8(unescape(value), "\ufffd"))
	}
	return values
}

// unescape decodes a name or a value.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			b = append(b, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}
