package config

import (
	"net/url"
	"slices"
	"strings"
)

// leastKey is how long access keys and API keys must be, in characters.
const leastKey = 16

// mostKeys is how many access keys a hub may have.
const mostKeys = 2

// keys checks a list of keys; most is how many there may be, 0 any number. It
// never quotes one.
func (v *validator) keys(key string, list []string, most int) {
	if most > 0 && len(list) > most {
		v.add(key, "%d keys; the most is %d: the primary one and the one that it replaces", len(list), most)
	}
	for i, k := range list {
		key := item(key, i)
		switch {
		case len(k) < leastKey:
			v.add(key, "shorter than %d characters, which can be guessed; openssl rand -base64 32 makes a good one", leastKey)
		case strings.ContainsFunc(k, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }):
			v.add(key, "has white space, a comma, or what is not ASCII; write letters, digits and other signs")
		case slices.Contains(list[:i], k):
			v.add(key, "is there twice; remove one")
		}
	}
}

// endpoint never quotes the URL: it may hold a password.
func (v *validator) endpoint(text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		v.add("endpoint", "not a URL; write http://host[:port] or https://host[:port]")
	case u.User != nil:
		v.add("endpoint", "has a user or a password; leave them out")
	case text != u.Scheme+"://"+u.Host:
		v.add("endpoint", "has more than a scheme, a host and a port; leave the rest out, a slash at the end too")
	}
}

// traceEndpoint never quotes the URL, either.
func (v *validator) traceEndpoint(text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		v.add("trace.endpoint", "not a URL; write http://host:4318 or https://host:4318")
	case u.Fragment != "":
		v.add("trace.endpoint", "has a fragment (#…), which is never sent; leave it out")
	}
}
