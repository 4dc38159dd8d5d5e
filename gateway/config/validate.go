package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sluice/gateway/auth"
)

// Validate reports every rule that c breaks, joined, each with its key and what
// to do about it. Upstreams may use the schemes given besides echo, http and https.
func (c *Config) Validate(schemes ...string) error {
	var errs []error
	for _, p := range c.check(schemes) {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// check is Validate for a caller that knows where the settings came from.
func (c *Config) check(schemes []string) []*problem {
	v := validator{schemes: []string{"echo", "http", "https"}, paths: map[string]string{}}
	for _, s := range schemes {
		if !slices.Contains(v.schemes, s) {
			v.schemes = append(v.schemes, s)
		}
	}
	v.addresses(c)
	v.hosts("hosts", c.Hosts, true)
	v.hosts("admin.hosts", c.Admin.Hosts, false)
	v.endpoint(c.Endpoint)
	v.traceEndpoint(c.Trace.Endpoint)
	v.keys("keys", c.Keys, mostKeys)
	v.keys("api_keys", c.APIKeys, 0)
	c.settings(v.inRange)
	v.heartbeat(c.Heartbeat)
	v.drain(c.Drain)
	v.limits(c.Limits)
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	if len(c.Hubs) == 0 {
		v.add("hubs", "no hub; name one, or leave the key out for the default hub")
	}
	twins := map[string]string{} // by name in lower case
	for _, name := range slices.Sorted(maps.Keys(c.Hubs)) {
		v.hub(name, c.Hubs[name])
		folded := strings.ToLower(name)
		if twin, ok := twins[folded]; ok {
			v.add(join("hubs", name), "%q is hub %s in another case, and the names of hubs ignore case; rename or remove one", name, twin)
		}
		twins[folded] = name
	}
	return v.problems
}

type validator struct {
	schemes  []string
	paths    map[string]string // the hub of each path so far
	problems []*problem
}

func (v *validator) add(key, format string, args ...any) {
	v.problems = append(v.problems, &problem{key: key, text: fmt.Sprintf(format, args...)})
}

// addAlso is add for a rule about two settings.
func (v *validator) addAlso(key, also, format string, args ...any) {
	v.add(key, format, args...)
	v.problems[len(v.problems)-1].also = also
}

// inRange holds a setting against its min and max tags.
func (v *validator) inRange(s setting) {
	low, hasLow := s.tag.Lookup("min")
	high, hasHigh := s.tag.Lookup("max")
	if hasLow && compare(s.value, bound(s.value.Type(), low)) < 0 {
		v.add(s.key, "%v is too small; the least is %s", s.value.Interface(), low)
	}
	if hasHigh && compare(s.value, bound(s.value.Type(), high)) > 0 {
		v.add(s.key, "%v is too large; the most is %s", s.value.Interface(), high)
	}
}

// bound parses the text of a tag, which a test has held to be right.
func bound(t reflect.Type, text string) reflect.Value {
	b := reflect.New(t).Elem()
	if err := set(b, text); err != nil {
		panic("config: tag: " + err.Error())
	}
	return b
}

// compare compares two numbers of one type. NaN is less than any.
func compare(a, b reflect.Value) int {
	if a.CanFloat() {
		return cmp.Compare(a.Float(), b.Float())
	}
	return cmp.Compare(a.Int(), b.Int())
}

func (v *validator) oneOf(key, value string, known ...string) {
	if !slices.Contains(known, value) {
		v.add(key, "unknown value %q; %s", value, suggest(value, known))
	}
}

func (v *validator) heartbeat(h Heartbeat) {
	if h.Timeout > h.Interval {
		v.addAlso("heartbeat.timeout", "heartbeat.interval",
			"%v is longer than heartbeat.interval (%v); a ping must be answered before the next is due", h.Timeout, h.Interval)
	}
}

func (v *validator) drain(d Drain) {
	if least := d.Delay + d.Window; d.Timeout < least {
		also := "drain.window"
		if d.Delay > d.Window {
			also = "drain.delay"
		}
		v.addAlso("drain.timeout", also,
			"%v is shorter than drain.delay and drain.window together (%v); clients would be cut off", d.Timeout, least)
	}
}

func (v *validator) limits(l Limits) {
	if l.Buffered != 0 && l.Buffered < l.Message {
		v.addAlso("limits.buffered", "limits.message",
			"%v is less than limits.message (%v): such a message could never be held; raise it, or 0 for a quarter of the memory limit", l.Buffered, l.Message)
	}
}

var hubName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,127}$`)

func (v *validator) hub(name string, h Hub) {
	key := join("hubs", name)
	if !hubName.MatchString(name) {
		v.add(key, "%q is no hub name; write a letter, then at most 127 letters, digits, _ . or -", name)
	}
	for i, path := range h.Paths {
		v.path(item(key+".paths", i), name, path)
	}
	v.upstream(key+".upstream", h.Upstream)
	v.keys(key+".keys", h.Keys, mostKeys)
	v.issuers(key+".issuers", h.Issuers)
	v.origins(key+".origins", h.Origins)
	v.subprotocols(key+".subprotocols", h.Subprotocols)
}

// pathSyntax is RFC 3986, section 3.3: what a client sends as the path, unchanged.
var pathSyntax = regexp.MustCompile(`^/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*$`)

// ambiguous is what different readers decode to different paths.
var ambiguous = regexp.MustCompile(`(?i)%(2f|[01][0-9a-f]|7f)`)

func (v *validator) path(key, hub, path string) {
	plain := path
	if unescaped, err := url.PathUnescape(path); err == nil {
		plain = unescaped
	}
	owner, taken := v.paths[plain]
	switch {
	case !strings.HasPrefix(path, "/"):
		v.add(key, "%q does not begin with /", path)
	case !pathSyntax.MatchString(path):
		v.add(key, "%q is no request path; write it without a query and with %%XX for other characters", path)
	case ambiguous.MatchString(path):
		v.add(key, "%q has an escaped slash or control character, at which clients are refused; leave it out", path)
	case dotted(plain):
		v.add(key, "%q has an empty, . or .. segment, which browsers and proxies rewrite", path)
	case under(plain, "/api"):
		v.add(key, "%q belongs to the data plane, as all of /api does; choose another", path)
	case under(plain, "/client/hubs"):
		v.add(key, "%q belongs to the hubs' own paths, /client/hubs/<name>; leave it out or choose another", path)
	case taken && owner == hub:
		v.add(key, "%q is there twice; remove one", path)
	case taken:
		v.add(key, "%q is already a path of hub %s; a path has one hub", path, owner)
	default:
		v.paths[plain] = hub
	}
}

// dotted reports whether some segment of path but the last is empty, or any is a dot segment.
func dotted(path string) bool {
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		if s == "." || s == ".." || s == "" && i < len(segments)-1 {
			return true
		}
	}
	return false
}

func under(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

// origins asks the parser that will read the list, so that the two cannot disagree.
func (v *validator) origins(key string, list []string) {
	for i, o := range list {
		key := item(key, i)
		if o == "*" && len(list) > 1 {
			v.add(key, `"*" allows every origin already; let it stand alone`)
		} else if _, err := auth.ParseOrigins(list[i : i+1]); err != nil {
			v.add(key, "%s", err)
		} else if slices.Contains(list[:i], o) {
			v.add(key, "%q is there twice; remove one", o)
		}
	}
}

// token is RFC 7230, section 3.2.6, as RFC 6455 wants of a subprotocol.
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (v *validator) subprotocols(key string, list []string) {
	for i, s := range list {
		switch key := item(key, i); {
		case !token.MatchString(s):
			v.add(key, "%q is no subprotocol; write letters, digits and !#$%%&'*+-.^_`|~ only", s)
		case slices.Contains(list[:i], s):
			v.add(key, "%q is there twice; remove one", s)
		}
	}
}
