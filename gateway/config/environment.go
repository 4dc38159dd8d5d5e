package config

import (
	"regexp"
	"strings"
)

const prefix = "SLUICE_"

// Kubernetes sets these for a Service called sluice or sluice-…, in every pod of
// its namespace. Anything else that starts like ours and is not known is a typo.
var serviceLink = regexp.MustCompile(`^SLUICE_(SERVICE|PORT)(_.*)?$|` +
	`^SLUICE_.+_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// serviceURL tells the last kind of them, SLUICE_ADMIN_PORT=tcp://10.0.0.1:9090,
// from somebody's guess at a setting.
var serviceURL = regexp.MustCompile(`^SLUICE_.+_PORT=(tcp|udp|sctp)://`)

// variable returns the name of the variable that sets key.
func variable(key string) string {
	return prefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// override sets what the variables of environ say. They change hubs that exist;
// they make none, so that a misspelt hub is not a new one.
func override(c *Config, environ []string, f *findings) {
	keys := map[string][]string{} // by variable; several when hub names differ in punctuation or case only
	var names []string
	c.settings(func(s setting) {
		name := variable(s.key)
		if keys[name] == nil {
			names = append(names, name)
		}
		keys[name] = append(keys[name], s.key)
	})
	values := map[string]string{} // by key
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || !strings.HasPrefix(name, prefix) || serviceLink.MatchString(name) || serviceURL.MatchString(entry) {
			continue
		}
		switch k := keys[name]; len(k) {
		case 0:
			hint := "a setting's variable is its key in capitals, such as SLUICE_ADMIN_LISTEN"
			if best := nearest(name, names); best != "" {
				hint = "did you mean " + best + "?"
			}
			f.add(name, "", "unknown variable; %s", hint)
		case 1:
			values[k[0]] = value
		default:
			f.add(name, "", "means %s alike; set them in the file", strings.Join(k, " and "))
		}
	}
	c.settings(func(s setting) {
		value, ok := values[s.key]
		if !ok {
			return
		}
		name := variable(s.key)
		f.origin[s.key] = name
		for i := 0; f.origin[item(s.key, i)] != ""; i++ {
			delete(f.origin, item(s.key, i))
		}
		if err := set(s.value, value); err != nil {
			f.add(name, s.key, "%s", err)
		}
	})
}
