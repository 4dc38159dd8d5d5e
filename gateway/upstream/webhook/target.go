package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// target is the URL of a hub's backend, taken apart for sending.
type target struct {
	secure        bool
	host          string // as the Host header has it
	name          string // host name or IP address alone
	address       string // host:port to connect to
	authorization string // value of the header, "" without one
	// pieces of the request target: {event} stands between two of them.
	pieces []string
}

const (
	hubMark   = "{hub}"
	eventMark = "{event}"
)

// originForm is RFC 9112, section 3.2.1, with the octets of RFC 3986.
var originForm = regexp.MustCompile(`^/([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*$`)

// parseTarget reads a URL template. Its errors never repeat a password or a
// query.
func parseTarget(text, hub string) (target, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "http" && scheme != "https" {
		return target{}, errors.New("the URL does not begin with http:// or https://")
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if strings.ContainsAny(authority, "{}") {
		return target{}, errors.New("the host of the URL must not have a placeholder: events go to one host")
	}
	u, err := url.Parse(scheme + "://" + authority)
	if err != nil || u.Hostname() == "" {
		return target{}, errors.New("the URL has no valid host; write " + scheme + "://host[:port]/path")
	}
	if !visible(u.Host) {
		return target{}, errors.New("the host of the URL is not ASCII; write its xn-- form")
	}
	t := target{
		secure: scheme == "https",
		host:   strings.TrimSuffix(u.Host, ":"),
		name:   u.Hostname(),
	}
	port := u.Port()
	if port == "" {
		port = defaultPort(scheme)
	}
	t.address = net.JoinHostPort(t.name, port)
	if u.User != nil {
		password, _ := u.User.Password()
		t.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	t.pieces, err = parsePath(path, hub)
	return t, err
}

// parsePath fills in the hub and cuts a path with its query at each {event}.
func parsePath(path, hub string) ([]string, error) {
	if path == "" || path[0] == '?' {
		path = "/" + path
	}
	if strings.Contains(path, "#") {
		return nil, errors.New("the URL has a fragment (#), which is never sent; leave it out")
	}
	pieces := strings.Split(strings.ReplaceAll(path, hubMark, hub), eventMark)
	if plain := strings.Join(pieces, ""); strings.ContainsAny(plain, "{}") {
		return nil, fmt.Errorf("the URL has an unknown placeholder; there are %s and %s", hubMark, eventMark)
	} else if !originForm.MatchString(plain) {
		return nil, errors.New("the URL has characters that must be written as %XX")
	}
	return pieces, nil
}

// append appends the request target for an event to p.
func (t *target) append(p []byte, event string) []byte {
	for i, piece := range t.pieces {
		if i > 0 {
			p = append(p, event...)
		}
		p = append(p, piece...)
	}
	return p
}

// common returns the header lines of every request.
func (t *target) common(origin string) string {
	lines := "Host: " + t.host + "\r\nUser-Agent: sluice\r\n"
	if t.authorization != "" {
		lines += "Authorization: " + t.authorization + "\r\n"
	}
	return lines + "WebHook-Request-Origin: " + origin + "\r\nce-awpsversion: 1.0\r\n"
}

// originOf returns how the gateway names itself: the host of its base URL, with
// the port unless that is the scheme's own, as URL.host is in JavaScript.
func originOf(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" || !visible(u.Host) {
		return "", fmt.Errorf("endpoint %q is no URL with a host: backends are told it", endpoint)
	}
	if port := u.Port(); port == "" || port == defaultPort(u.Scheme) {
		return strings.TrimSuffix(u.Host, ":"+port), nil
	}
	return u.Host, nil
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// visible reports whether s is visible ASCII throughout.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
