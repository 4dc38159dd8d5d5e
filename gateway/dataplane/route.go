package dataplane

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sluice/gateway/delivery"
)

// route is one operation of the API.
type route struct {
	method string
	path   string        // in segments of which {name} stands for any text
	kind   delivery.Kind // how the path names sessions
	query  []string      // parameters besides api-version, which may be any
	// statuses are that of a success, and those of errors that this route has
	// besides 400, 401, 404 for an unknown hub, 429, 500 and 503.
	statuses []int
	// handle does it. The header is the answer's; a body, if there is one, is
	// answered as JSON.
	handle func(a *api, r *request, h http.Header) (body any, err error)
}

// routes returns the table of all there are. The OpenAPI document says the same.
func routes() []route {
	const (
		hub        = "/api/hubs/{hub}"
		group      = hub + "/groups/{group}"
		user       = hub + "/users/{userId}"
		connection = hub + "/connections/{connectionId}"
		member     = group + "/connections/{connectionId}"
		permission = hub + "/permissions/{permission}/connections/{connectionId}"
	)
	var (
		send  = []string{"excluded", "filter", "messageTtlSeconds"}
		one   = []string{"messageTtlSeconds"}
		shut  = []string{"excluded", "filter", "reason"}
		pages = []string{"filter", "maxpagesize", "top", "continuationToken"}
		grant = []string{"targetName"}
		token = []string{"userId", "role", "group", "minutesToExpire", "clientType"}
	)
	return []route{
		{"POST", hub + "/:send", delivery.All, send, []int{202, 413, 415}, (*api).send},
		{"POST", group + "/:send", delivery.Group, send, []int{202, 413, 415}, (*api).send},
		{"POST", user + "/:send", delivery.User, send, []int{202, 413, 415}, (*api).send},
		{"POST", connection + "/:send", delivery.Connection, one, []int{202, 413, 415}, (*api).send},

		{"POST", hub + "/:closeConnections", delivery.All, shut, []int{204}, (*api).close},
		{"POST", group + "/:closeConnections", delivery.Group, shut, []int{204}, (*api).close},
		{"POST", user + "/:closeConnections", delivery.User, shut, []int{204}, (*api).close},
		{"DELETE", connection, delivery.Connection, []string{"reason"}, []int{204}, (*api).close},

		{"HEAD", group, delivery.Group, nil, []int{200, 404}, (*api).exists},
		{"HEAD", user, delivery.User, nil, []int{200, 404}, (*api).exists},
		{"HEAD", connection, delivery.Connection, nil, []int{200, 404}, (*api).exists},
		{"GET", hub + "/connections", delivery.All, pages, []int{200}, (*api).list},
		{"GET", group + "/connections", delivery.Group, pages, []int{200}, (*api).list},

		{"PUT", member, delivery.Connection, nil, []int{200, 404, 409}, (*api).join},
		{"DELETE", member, delivery.Connection, nil, []int{204}, (*api).leave},
		{"DELETE", connection + "/groups", delivery.Connection, nil, []int{204}, (*api).leave},
		{"PUT", user + "/groups/{group}", delivery.User, nil, []int{200, 409}, (*api).join},
		{"DELETE", user + "/groups/{group}", delivery.User, nil, []int{204}, (*api).leave},
		{"DELETE", user + "/groups", delivery.User, nil, []int{204}, (*api).leave},
		{"POST", hub + "/:addToGroups", delivery.All, nil, []int{200, 409, 413, 415}, (*api).joinMany},
		{"POST", hub + "/:removeFromGroups", delivery.All, nil, []int{200, 413, 415}, (*api).leaveMany},

		{"PUT", permission, delivery.Connection, grant, []int{200, 404}, (*api).grant},
		{"HEAD", permission, delivery.Connection, grant, []int{200, 404}, (*api).granted},
		{"DELETE", permission, delivery.Connection, grant, []int{204}, (*api).revoke},

		{"POST", hub + "/:generateToken", delivery.All, token, []int{200, 409}, (*api).token},
	}
}

// lookup returns the route of r, and puts the values of its path into r, decoded
// once. HEAD asks what GET would answer, where it has no route of its own.
//
// It is not an http.ServeMux because that answers some requests itself: in text,
// or by a redirect to a path that was not signed.
func lookup(routes []route, r *http.Request) (*route, error) {
	segments := split(r.URL)
	var allowed []string
	var head *route
	for i := range routes {
		route := &routes[i]
		if !matches(route.path, segments) {
			continue
		}
		if route.method == r.Method {
			return fill(r, route, segments), nil
		}
		allowed = append(allowed, route.method)
		if route.method == http.MethodGet {
			head = route
			allowed = append(allowed, http.MethodHead)
		}
	}
	switch {
	case head != nil && r.Method == http.MethodHead:
		return fill(r, head, segments), nil
	case len(allowed) > 0:
		slices.Sort(allowed)
		return nil, notAllowed(r.Method, slices.Compact(allowed))
	}
	return nil, errNoRoute
}

// split returns the segments of a path, decoded. A slash that is encoded is part
// of its segment.
func split(u *url.URL) []string {
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		segments[i], _ = url.PathUnescape(s) // it is well encoded
	}
	return segments
}

// matches reports whether a path has the form of a pattern.
func matches(pattern string, segments []string) bool {
	i := 0
	for want := range strings.SplitSeq(pattern, "/") {
		if i == len(segments) || variable(want) == "" && segments[i] != want {
			return false
		}
		i++
	}
	return i == len(segments)
}

// fill puts the values in the path into r.
func fill(r *http.Request, route *route, segments []string) *route {
	i := 0
	for part := range strings.SplitSeq(route.path, "/") {
		if name := variable(part); name != "" {
			r.SetPathValue(name, segments[i])
		}
		i++
	}
	return route
}

// variable returns the name in {name}, "" if the segment is none of that.
func variable(segment string) string {
	if strings.HasPrefix(segment, "{") {
		return segment[1 : len(segment)-1]
	}
	return ""
}
