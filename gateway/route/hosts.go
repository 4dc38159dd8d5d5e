package route

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"sluice/gateway/handshake"
)

// ErrMisdirected is the answer to a request for a host that is not ours: a
// foreign page may have had its own name lead here (DNS rebinding).
var ErrMisdirected = &handshake.Error{Status: http.StatusMisdirectedRequest, Reason: "this host is not served here; if it should be, add it to hosts"}

// Hosts is who the requests on the clients' port may be for. The zero value is
// everybody.
type Hosts struct {
	names     map[string]bool // in lower case; addresses in their canonical form
	addresses bool            // and localhost: no page can have made those its own
}

// HostsOf allows the hosts that are listed, and that of the endpoint, a URL; the
// endpoint alone speaks of names only. If neither is given, it allows everybody.
func HostsOf(listed []string, endpoint string) Hosts {
	if len(listed) == 0 && endpoint == "" {
		return Hosts{}
	}
	h := Hosts{names: make(map[string]bool), addresses: len(listed) == 0}
	for _, name := range listed {
		h.names[canonicalHost(name)] = true
	}
	if u, err := url.Parse(endpoint); err == nil && endpoint != "" {
		h.names[canonicalHost(u.Hostname())] = true
	}
	return h
}

// Allow reports whether a request with that Host field may be for this node.
func (h *Hosts) Allow(field []byte) bool {
	if h.names == nil {
		return true
	}
	name := canonicalHost(string(handshake.HostName(field)))
	if h.names[name] {
		return true
	}
	_, err := netip.ParseAddr(name)
	return h.addresses && (err == nil || name == "localhost")
}

// canonicalHost is the one way to write a name or an address.
func canonicalHost(name string) string {
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(name), ".")
}
