package config

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// another returns a valid value of the setting other than its default.
func another(t *testing.T, s setting) string {
	switch v := s.value.Interface().(type) {
	case bool:
		return map[bool]string{true: "false", false: "true"}[v]
	case int:
		return strconv.Itoa(v + 1)
	case Duration:
		return (v + second/1000).String()
	case Size:
		if v == 0 {
			return (4 * MiB).String()
		}
		return (v + 1).String()
	}
	value, ok := map[string]string{
		"listen":                       "127.0.0.1:8888",
		"endpoint":                     "https://ws.example.com:8443",
		"hosts":                        "ws.example.com,10.0.0.7",
		"admin.listen":                 "off",
		"admin.hosts":                  "console.example.com,console.example.net",
		"keys":                         "0123456789abcdef, fedcba9876543210",
		"api_keys":                     "0123456789abcdef",
		"hubs.default.keys":            "0123456789abcdef",
		"hubs.default.upstream.events": "connect, typing",
		"hubs.default.paths":           "/a, /b",
		"hubs.default.upstream.url":    "http://backend/",
		"hubs.default.origins":         "https://example.org",
		"hubs.default.subprotocols":    "a,b",
		"log.level":                    "debug",
		"log.format":                   "json",
		"trace.endpoint":               "https://collector.example.com:4318",
		"trace.sample":                 "0.5",
	}[s.key]
	if !ok {
		t.Fatalf("no value to try for %s", s.key)
	}
	return value
}

func TestEverySettingHasAVariable(t *testing.T) {
	n := 0
	Default().settings(func(s setting) {
		n++
		name, value := variable(s.key), another(t, s)
		c, err := Parse("", nil, []string{name + "=" + value})
		if err != nil {
			t.Errorf("%s=%s: %v", name, value, err)
			return
		}
		now := map[string]any{}
		c.settings(func(s setting) { now[s.key] = s.value.Interface() })
		Default().settings(func(d setting) {
			changed := !reflect.DeepEqual(now[d.key], d.value.Interface())
			if changed != (d.key == s.key) {
				t.Errorf("%s=%s: %s is %v", name, value, d.key, now[d.key])
			}
		})
	})
	if n < 30 {
		t.Errorf("visited %d settings only", n)
	}
}

func TestServiceLinksOfKubernetesAreIgnored(t *testing.T) {
	for _, entry := range []string{
		"SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_SERVICE_PORT=80", "SLUICE_SERVICE_PORT_HTTP=80",
		"SLUICE_PORT=tcp://10.0.0.1:80", "SLUICE_PORT_80_TCP=tcp://10.0.0.1:80", "SLUICE_PORT_80_TCP_ADDR=10.0.0.1",
		"SLUICE_ADMIN_SERVICE_HOST=10.0.0.1", "SLUICE_ADMIN_SERVICE_PORT_METRICS=9090", "SLUICE_ADMIN_PORT=tcp://10.0.0.1:9090",
		"SLUICE_ADMIN_PORT_9090_TCP_PROTO=tcp", "SLUICE_A_B_PORT_53_UDP=udp://10.0.0.1:53",
	} {
		if _, err := Parse("", nil, []string{entry}); err != nil {
			t.Errorf("%s: %v", entry, err)
		}
	}
	for _, entry := range []string{
		"SLUICE_=1", "SLUICE_SERVICES=1", "SLUICE_PORTS=1", "SLUICE_LISTEN_PORT=8080", "SLUICE_ADMIN_PORT=9090", "SLUICE_ADMIN_PORT_9090=1",
	} {
		if _, err := Parse("", nil, []string{entry}); err == nil {
			t.Errorf("%s passed in silence", entry)
		}
	}
}

func TestNoSettingLooksLikeAServiceLink(t *testing.T) {
	Default().settings(func(s setting) {
		if name := variable(s.key); serviceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") {
			t.Errorf("%s would be ignored", name)
		}
	})
}
