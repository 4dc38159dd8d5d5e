package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// parseAddress reads what a listener takes. An empty host is every address of
// both families, like [::].
func parseAddress(s string) (netip.AddrPort, error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address; write host:port, such as %s, [::1]:%s or :%[3]s", s, DefaultListen, defaultPort)
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("the port %q is no number from 0 to 65535", digits)
	}
	addr := netip.IPv6Unspecified()
	switch host {
	case "":
	case "localhost":
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		if addr, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, fmt.Errorf("the host %q is no IP address; write one, localhost, or nothing for all addresses", host)
		}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

// overlap reports whether two listeners would want the same socket.
func overlap(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Port() != 0 &&
		(a == b || covers(a.Addr(), b.Addr()) || covers(b.Addr(), a.Addr()))
}

// covers reports whether a stands for all addresses, b among them: [::] is both families.
func covers(a, b netip.Addr) bool {
	return a.IsUnspecified() && (a.Is6() || b.Is4())
}

func (v *validator) addresses(c *Config) {
	client, err := parseAddress(c.Listen)
	if err != nil {
		v.add("listen", "%s", err)
	}
	if c.Admin.Off() {
		return
	}
	admin, adminErr := parseAddress(c.Admin.Listen)
	if adminErr != nil {
		v.add("admin.listen", "%s", adminErr)
	}
	if err == nil && adminErr == nil && overlap(client, admin) {
		v.addAlso("admin.listen", "listen", "%q and listen %q are the same socket; give admin another port, or off",
			c.Admin.Listen, c.Listen)
	}
}

// hostName is RFC 1123, section 2.1, and the underscores that name services.
var hostName = regexp.MustCompile(`^(?i:[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)(\.(?i:[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?))*$`)

// hosts checks names that a Host field may have, and addresses if those are not
// allowed anyway.
func (v *validator) hosts(key string, list []string, addresses bool) {
	for i, name := range list {
		_, err := netip.ParseAddr(name)
		switch key := item(key, i); {
		case err == nil && !addresses:
			v.add(key, "%q is an address, and those are always allowed; leave it out", name)
		case err != nil && !hostName.MatchString(name):
			v.add(key, "%q is no host name; write it without a scheme, a port and a dot at the end, such as console.example.com", name)
		case slices.ContainsFunc(list[:i], func(other string) bool { return strings.EqualFold(other, name) }):
			v.add(key, "%q is there twice; remove one", name)
		}
	}
}
