package auth

import (
	"math"
	"net/url"
	"strings"
)

// clientPath is the path at which a hub's clients connect, and which their
// tokens name whatever other paths the hub has.
func clientPath(hub string) string { return "/client/hubs/" + hub }

func trimSlash(endpoint string) string { return strings.TrimSuffix(endpoint, "/") }

// endpointHost returns the host of the gateway's configured base URL without
// the default port of its scheme, "" if none is configured.
func endpointHost(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return withoutPort(u.Host, defaultPort(u.Scheme))
}

// means reports whether aud, a token's audience, is the URL of target, a path
// with or without a query, at one of the gateway's hosts: that of the request,
// or that of its endpoint. Which of http, https, ws and wss the URL has is not
// looked at: what a client speaks to a proxy need not be what comes out of it.
func means(aud, host, endpointHost, target string) bool {
	scheme, rest, ok := strings.Cut(aud, "://")
	port := defaultPort(scheme)
	if !ok || port == "" {
		return false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return false
	}
	named := withoutPort(rest[:end], port)
	if named == "" || !strings.EqualFold(named, withoutPort(host, port)) && !strings.EqualFold(named, endpointHost) {
		return false
	}
	return sameTarget(rest[end:], target)
}

// defaultPort returns the port that a URL of the scheme need not name, "" for
// a scheme that is not spoken here.
func defaultPort(scheme string) string {
	switch {
	case strings.EqualFold(scheme, "https"), strings.EqualFold(scheme, "wss"):
		return ":443"
	case strings.EqualFold(scheme, "http"), strings.EqualFold(scheme, "ws"):
		return ":80"
	}
	return ""
}

func withoutPort(host, port string) string {
	if port == "" {
		return host
	}
	return strings.TrimSuffix(host, port)
}

// sameTarget reports whether two request targets are the same but for octets
// that one has percent-encoded and the other has not: URL libraries do not agree
// on which need it, and some encode between signing and sending. Delimiters are
// another matter: encoded, they mean something else (RFC 3986, section 2.2). The
// third segment is the name of a hub, in whatever case.
func sameTarget(a, b string) bool {
	segment := 0
	for a != "" && b != "" {
		var x, y octet
		x, a = nextOctet(a)
		y, b = nextOctet(b)
		if segment == 3 {
			x.value, y.value = lower(x.value), lower(y.value)
		}
		if x != y {
			return false
		}
		switch x {
		case octet{value: '/'}:
			segment++
		case octet{value: '?'}, octet{value: '#'}:
			segment = pathEnd
		}
	}
	return a == b
}

// pathEnd stands for all that is not path.
const pathEnd = math.MinInt

// lower is for ASCII, of which hubs' names are.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// octet is one octet of a target.
type octet struct {
	value   byte
	encoded bool // and a delimiter, so that this matters
}

func nextOctet(s string) (octet, string) {
	if s[0] != '%' || len(s) < 3 {
		return octet{value: s[0]}, s[1:]
	}
	high, low := unhex(s[1]), unhex(s[2])
	if high < 0 || low < 0 {
		return octet{value: s[0]}, s[1:]
	}
	value := byte(high<<4 | low)
	return octet{value, strings.IndexByte("/?#&=+;%", value) >= 0}, s[3:]
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
