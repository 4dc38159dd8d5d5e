package auth

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// Origins says from which web origins (RFC 6454) a browser may connect. The
// zero Origins allows nothing but the same origin. It is immutable and may be
// used by any number of goroutines.
//
// A request without an Origin field comes from no browser and needs no
// Origins: that case is the caller's.
type Origins struct {
	any    bool
	listed map[string]struct{} // "null", or as origin.appendTo writes them
}

// ParseOrigins reads a list of allowed origins, each "scheme://host" or
// "scheme://host:port", compared without regard to case and with the default
// ports of http and https understood; or "null", which stands for sandboxed
// documents and local files; or "*" alone, which allows whatever the Origin
// field says.
func ParseOrigins(list []string) (*Origins, error) {
	o := &Origins{listed: make(map[string]struct{}, len(list))}
	for _, s := range list {
		switch s {
		case "*":
			if len(list) > 1 {
				return nil, errors.New(`origin "*" allows every origin and must stand alone`)
			}
			o.any = true
		case "null":
			o.listed[s] = struct{}{}
		default:
			parsed, err := parseOrigin([]byte(s))
			if err != nil {
				return nil, fmt.Errorf("origin %q: %w", s, err)
			}
			o.listed[string(parsed.appendTo(nil))] = struct{}{}
		}
	}
	return o, nil
}

// Allow reports whether a request with these Origin and Host fields may
// connect: because the origin is listed, or because it is the same, that is an
// http or https origin whose host and port are those of Host. Of a Host
// without a port it is assumed to mean the default port of the origin's
// scheme, as whether the client speaks TLS may be known to a proxy only. A
// malformed origin is not allowed. Nothing is allocated for host names of up to
// a hundred octets.
func (o *Origins) Allow(origin, host []byte) bool {
	if o.any {
		return true
	}
	if string(origin) == "null" {
		_, ok := o.listed["null"]
		return ok
	}
	parsed, err := parseOrigin(origin)
	if err != nil {
		return false
	}
	if parsed.sameAs(host) {
		return true
	}
	var buf [128]byte
	_, ok := o.listed[string(parsed.appendTo(buf[:0]))]
	return ok
}

// origin is an origin taken apart.
type origin struct {
	scheme []byte
	authority
}

// authority is uri-host [ ":" port ] of RFC 3986 §3.2.2.
type authority struct {
	name []byte     // a host name or an IPv4 address, in any case
	addr netip.Addr // valid instead of name: what stood in brackets
	port int        // -1: none was given
}

var (
	errForm   = errors.New("must be scheme://host or scheme://host:port, without a path or a slash at the end")
	errScheme = errors.New("browsers send the origin of the page, which is http or https")
	errHost   = errors.New("malformed host: patterns are not supported, and other alphabets must be in their xn-- form")
	errPort   = errors.New("malformed port")
)

// parseOrigin takes an origin apart. Nothing is allocated for a host name.
func parseOrigin(p []byte) (origin, error) {
	scheme, rest, ok := bytes.Cut(p, []byte("://"))
	switch {
	case !ok || !isScheme(scheme):
		return origin{}, errForm
	case bytes.EqualFold(scheme, []byte("ws")), bytes.EqualFold(scheme, []byte("wss")):
		return origin{}, errScheme
	case len(rest) == 0 && bytes.EqualFold(scheme, []byte("file")):
		// What the web views of mobile applications send.
		return origin{scheme: scheme, authority: authority{port: -1}}, nil
	}
	a, err := parseAuthority(rest)
	if err != nil && bytes.ContainsAny(rest, "/?#@") {
		err = errForm
	}
	return origin{scheme, a}, err
}

// isScheme follows RFC 3986 §3.1.
func isScheme(p []byte) bool {
	for i, c := range p {
		switch {
		case isLetter(c):
		case i > 0 && (isDigit(c) || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return len(p) > 0
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

func parseAuthority(p []byte) (authority, error) {
	a := authority{port: -1}
	end := bytes.IndexByte(p, ':')
	if len(p) > 0 && p[0] == '[' {
		end = bytes.IndexByte(p, ']') + 1
		if end == 0 {
			return a, errHost
		}
		addr, err := netip.ParseAddr(string(p[1 : end-1]))
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return a, errHost
		}
		a.addr = addr
	} else {
		if end < 0 {
			end = len(p)
		}
		a.name = p[:end]
		if !isName(a.name) {
			return a, errHost
		}
	}
	if end == len(p) {
		return a, nil
	}
	if p[end] != ':' {
		return a, errHost
	}
	var ok bool
	if a.port, ok = parsePort(p[end+1:]); !ok {
		return a, errPort
	}
	return a, nil
}

func isName(p []byte) bool {
	for _, c := range p {
		if !isLetter(c) && !isDigit(c) && c != '-' && c != '.' && c != '_' && c != '~' {
			return false
		}
	}
	return len(p) > 0
}

func parsePort(p []byte) (port int, ok bool) {
	for _, c := range p {
		if !isDigit(c) {
			return 0, false
		}
		port = port*10 + int(c-'0')
	}
	return port, 0 < len(p) && len(p) <= len("65535") && port <= 65535
}

// defaultPort returns that of the scheme, or -1.
func (o origin) defaultPort() int {
	switch {
	case bytes.EqualFold(o.scheme, []byte("http")):
		return 80
	case bytes.EqualFold(o.scheme, []byte("https")):
		return 443
	}
	return -1
}

// sameAs reports whether a page of this origin was served by host, a Host field.
func (o origin) sameAs(host []byte) bool {
	implied := o.defaultPort()
	if implied < 0 {
		return false
	}
	h, err := parseAuthority(host)
	if err != nil {
		return false
	}
	if o.port < 0 {
		o.port = implied
	}
	if h.port < 0 {
		h.port = implied
	}
	return o.port == h.port && o.addr == h.addr && bytes.EqualFold(o.name, h.name)
}

// appendTo appends the one spelling of the origin that all its spellings share.
func (o origin) appendTo(dst []byte) []byte {
	dst = appendLower(dst, o.scheme)
	dst = append(dst, "://"...)
	if o.addr.IsValid() {
		dst = append(dst, '[')
		dst = o.addr.AppendTo(dst)
		dst = append(dst, ']')
	}
	dst = appendLower(dst, o.name)
	if o.port >= 0 && o.port != o.defaultPort() {
		dst = append(dst, ':')
		dst = strconv.AppendInt(dst, int64(o.port), 10)
	}
	return dst
}

func appendLower(dst, ascii []byte) []byte {
	for _, c := range ascii {
		if isLetter(c) {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}
