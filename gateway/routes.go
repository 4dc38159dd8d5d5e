package gateway

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"sluice/gateway/config"
	"sluice/gateway/handshake"
)

// errMisdirected is the answer to a request for a host that is not ours: a
// foreign page may have had its own name lead here (DNS rebinding).
var errMisdirected = &handshake.Error{Status: http.StatusMisdirectedRequest, Reason: "this host is not served here; if it should be, add it to hosts"}

// hosts is who the requests on the clients' port may be for. The zero value is
// everybody.
type hosts struct {
	names     map[string]bool // in lower case; addresses in their canonical form
	addresses bool            // and localhost: no page can have made those its own
}

// hostsOf reads which hosts cfg allows. Those that it lists are all, besides the
// endpoint's; the endpoint alone speaks of names only.
func hostsOf(cfg *config.Config) hosts {
	if len(cfg.Hosts) == 0 && cfg.Endpoint == "" {
		return hosts{}
	}
	h := hosts{names: make(map[string]bool), addresses: len(cfg.Hosts) == 0}
	for _, name := range cfg.Hosts {
		h.names[canonicalHost(name)] = true
	}
	if u, err := url.Parse(cfg.Endpoint); err == nil && cfg.Endpoint != "" {
		h.names[canonicalHost(u.Hostname())] = true
	}
	return h
}

// allow reports whether a request with that Host field may be for this node.
func (h *hosts) allow(field []byte) bool {
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

// route returns the hub at a path as it was sent. The error is that of a path
// which could be taken for another.
func (s *settings) route(path []byte) (*hub, error) {
	plain, ok := handshake.UnescapePath(path)
	if !ok {
		return nil, handshake.ErrTarget
	}
	if h := s.routes[string(plain)]; h != nil {
		return h, nil
	}
	if name, ok := bytes.CutPrefix(plain, []byte("/client/hubs/")); ok {
		if h := s.hub(string(name)); h != nil {
			return h, nil
		}
	}
	return nil, errNoSuchHub
}

// hub returns the hub of that name in whatever case, as the service does that
// the SDKs come from; nil if there is none. Paths that a hub has been given are
// another matter: they are compared as they are.
func (s *settings) hub(name string) *hub {
	if h := s.hubs[name]; h != nil {
		return h
	}
	h := s.folded[strings.ToLower(name)]
	if h == nil || len(h.name) != len(name) { // letters beyond ASCII may have small ones within it
		return nil
	}
	return h
}
