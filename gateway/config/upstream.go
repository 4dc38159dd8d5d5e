package config

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"sluice/gateway/auth"
	"sluice/gateway/name"
)

func (v *validator) upstream(key string, u Upstream) {
	v.upstreamURL(key+".url", u.URL)
	v.events(key+".events", u.Events)
	if u.Timeout > u.Budget {
		v.addAlso(key+".timeout", key+".budget",
			"%v is longer than budget (%v), in which at least one attempt must fit", u.Timeout, u.Budget)
	}
	if u.Timeout > u.ConnectBudget {
		v.addAlso(key+".timeout", key+".connect_budget",
			"%v is longer than connect_budget (%v), in which at least one attempt must fit", u.Timeout, u.ConnectBudget)
	}
}

// placeholder is what is filled into the URL of an upstream.
var placeholder = regexp.MustCompile(`\{(hub|event)\}`)

// upstreamURL never quotes the URL: it may hold a password.
func (v *validator) upstreamURL(key, text string) {
	if text == "" {
		v.add(key, "required; write where the hub's events go, or echo: to send every message back")
		return
	}
	filled := placeholder.ReplaceAllLiteralString(text, "x")
	if strings.ContainsAny(filled, "{}") {
		v.add(key, "has { or }, and not as {hub} or {event}, which alone are filled in; write others as %%7B and %%7D")
		return
	}
	u, err := url.Parse(filled)
	if err != nil || u.Scheme == "" {
		v.add(key, "not a URL; write scheme://host[:port]/path, or echo:")
		return
	}
	switch {
	case !slices.Contains(v.schemes, u.Scheme):
		v.add(key, "unknown scheme %q; known here: %s", u.Scheme, strings.Join(v.schemes, ", "))
	case u.Scheme == "echo" && text != "echo:":
		v.add(key, "echo: takes nothing behind the colon")
	case u.Scheme != "echo" && u.Hostname() == "":
		v.add(key, "no host; write %s://host[:port]/path", u.Scheme)
	case u.Fragment != "":
		v.add(key, "has a fragment (#…), which is never sent; leave it out")
	case strings.Contains(beforePath(text), "{"):
		v.add(key, "has {hub} or {event} before the path; event names come from clients, and may fill in the path and the query only")
	}
}

// beforePath returns the scheme, the user and the host of a URL.
func beforePath(text string) string {
	scheme, rest, _ := strings.Cut(text, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return scheme + rest
}

func (v *validator) events(key string, list []string) {
	for i, event := range list {
		key := item(key, i)
		switch {
		case slices.Contains(list[:i], event):
			v.add(key, "%q is there twice; remove one", event)
		case event == "*", event == "connect", event == "connected", event == "disconnected":
		case !name.Event(event):
			v.add(key, "%q is no event name; write 1 to 128 letters, digits, _ - and single dots, or * for every message", event)
		case slices.Contains(list, "*"):
			v.add(key, "%q is a message, and * stands for all of them already; remove one", event)
		}
	}
}

var issuerName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

func (v *validator) issuers(key string, hub map[string]Issuer) {
	owner := map[string]string{} // by iss
	for _, name := range slices.Sorted(maps.Keys(hub)) {
		i := hub[name]
		v.issuer(join(key, name), name, i)
		if i.Issuer == "" {
			continue
		}
		if first, taken := owner[i.Issuer]; taken {
			v.add(join(key, name)+".issuer", "%q is already that of %s; a token's issuer must be one of them only", i.Issuer, first)
		} else {
			owner[i.Issuer] = name
		}
	}
}

func (v *validator) issuer(key, name string, i Issuer) {
	if !issuerName.MatchString(name) {
		v.add(key, "%q is no name for an issuer; write a letter, then at most 63 letters, digits, _ or -", name)
	}
	if i.Issuer == "" {
		v.add(key+".issuer", "required; write what the iss claim of its tokens is")
	}
	if i.JWKS == "" {
		v.add(key+".jwks", "required; write where its keys are published")
	} else if err := auth.CheckKeySetURL(i.JWKS); err != nil {
		v.add(key+".jwks", "%s", err)
	}
	for n, a := range i.Algorithms {
		if key := item(key+".algorithms", n); slices.Contains(i.Algorithms[:n], a) {
			v.add(key, "%q is there twice; remove one", a)
		} else if known := auth.Algorithms(); !slices.Contains(known, a) {
			v.add(key, "unknown or not allowed: %q; %s", a, suggest(a, known))
		}
	}
}
