package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guard keeps other people's pages out. An operator's browser reaches this
// listener, and so does every page that it shows: they can send requests here,
// and under a name of their own that resolves to this host (DNS rebinding) read
// the answers too.
//
// Metrics and health are not behind it. Machines ask for those, under whatever
// name they know, and they tell counts that belong to nobody.
type guard struct {
	hosts func() []string
}

// named lets requests through that name this listener, and that no other site's
// page has sent.
func (g guard) named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !g.knows(r.Host):
			text(w, http.StatusMisdirectedRequest,
				fmt.Sprintf("%q is no name of this listener; if it should be one, add it to admin.hosts\n", r.Host))
		case foreign(r), acts(r) && r.Header.Get("Origin") != "" && !ownOrigin(r):
			text(w, http.StatusForbidden, "this is for its own pages only, and another site's has asked\n")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// own is named for what only the console's page has business with: what it does
// must come with its Origin, which browsers send and nobody can make them change.
func (g guard) own(next http.Handler) http.Handler {
	return g.named(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if acts(r) && !ownOrigin(r) {
			text(w, http.StatusForbidden, "this is for the console, whose Origin the request does not have\n")
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// knows reports whether a Host field can be trusted to mean this listener: an
// address does, because a foreign page would have to come from that address
// itself; a name only if it is known not to be the foreign page's own.
func (g guard) knows(host string) bool {
	name := strings.TrimSuffix((&url.URL{Host: host}).Hostname(), ".")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return g.hosts != nil && slices.ContainsFunc(g.hosts(), func(h string) bool { return strings.EqualFold(h, name) })
}

// foreign reports whether a browser says that another site, or another port of
// this one, has sent r (Fetch Metadata). Whoever follows a link from there to the
// console may: a page of its own is all that comes of it.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	follows := r.Method == http.MethodGet && r.URL.Path == "/" &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	return !follows
}

// acts reports whether r may change something, or opens a WebSocket, whose
// answers are no secret to whoever opened it from where.
func acts(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != ""
}

// ownOrigin reports whether the page that sent r came from this listener. A
// proxy may have spoken TLS to it, so the scheme says nothing.
func ownOrigin(r *http.Request) bool {
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Host != "" && strings.EqualFold(origin.Host, r.Host)
}
