package handshake

import (
	"bytes"
	"net/netip"
)

// validHost reports whether host is uri-host [":" port] (RFC 9110 §7.2), which
// is stricter than net/http: what is no host here must not be one elsewhere.
func validHost(host []byte) bool {
	if len(host) == 0 || !all(host, hostOctet) {
		return false
	}
	name, port, ok := cutPort(host)
	if !ok || !validPort(port) {
		return false
	}
	if name[0] == '[' {
		return validAddress(name[1 : len(name)-1])
	}
	return !bytes.ContainsAny(name, "[]") && validEscapes(name)
}

// cutPort cuts ":" and the port off a host. The name is not empty, and ends
// with "]" if it begins with "[".
func cutPort(host []byte) (name, port []byte, ok bool) {
	end := bytes.IndexByte(host, ':')
	if len(host) > 0 && host[0] == '[' {
		end = bytes.IndexByte(host, ']') + 1
		if end == 0 {
			return nil, nil, false
		}
	}
	if end < 0 {
		end = len(host)
	}
	name, port = host[:end], host[end:]
	if len(port) > 0 && port[0] != ':' {
		return nil, nil, false
	}
	return name, bytes.TrimPrefix(port, []byte{':'}), len(name) > 0
}

// validPort reports whether port, which may be empty (RFC 3986 §3.2.3), is a
// number of 16 bits.
func validPort(port []byte) bool {
	if len(port) > len("65535") {
		return false
	}
	n := 0
	for _, c := range port {
		if !isDigit(c) {
			return false
		}
		n = 10*n + int(c-'0')
	}
	return n <= 65535
}

// validAddress reports whether p is what may stand in brackets: an IPv6 address
// without a zone, which means nothing to anybody but its sender.
func validAddress(p []byte) bool {
	const longest = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
	if len(p) > longest || bytes.IndexByte(p, '%') >= 0 {
		return false
	}
	addr, err := netip.ParseAddr(string(p))
	return err == nil && addr.Is6()
}
