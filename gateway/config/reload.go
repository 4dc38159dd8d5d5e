package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Changes returns the keys, in the order of the reference, of the settings that
// differ in next and that only a restart can change. What it does not name, a
// reload applies: endpoint, hosts, admin.hosts, keys, hubs, limits, heartbeat, drain and
// log.level.
func (c *Config) Changes(next *Config) (restart []string) {
	now := map[string]any{}
	c.settings(func(s setting) { now[s.key] = s.value.Interface() })
	next.settings(func(s setting) {
		if s.tag.Get("reload") == "restart" && !reflect.DeepEqual(now[s.key], s.value.Interface()) {
			restart = append(restart, s.key)
		}
	})
	return restart
}

// Open says in sentences what everybody may do with this node, for one line in
// the log at start; none if nothing is open. c must be valid.
func (c *Config) Open() []string {
	var open []string
	for _, name := range slices.Sorted(maps.Keys(c.Hubs)) {
		h := c.Hubs[name]
		if h.Anonymous {
			open = append(open, fmt.Sprintf("hub %s accepts anonymous clients", name))
		}
		if slices.Contains(h.Origins, "*") {
			open = append(open, fmt.Sprintf("hub %s accepts browsers from every origin", name))
		}
	}
	if a, err := parseAddress(c.Admin.Listen); err == nil && !c.Admin.Off() && !a.Addr().IsLoopback() {
		open = append(open, fmt.Sprintf("admin (metrics, profiles, console) is served without a password on %s", c.Admin.Listen))
	}
	return open
}
