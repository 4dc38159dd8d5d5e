package config

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/gateway/golden"
)

func TestReferenceIsComplete(t *testing.T) {
	golden.Check(t, "testdata/reference.md", []byte(Reference()))
	key := regexp.MustCompile(`^[a-z_]+(\.([a-z_]+|<name>|<issuer>))*$`)
	reference().settings(func(s setting) {
		if doc := s.tag.Get("doc"); !strings.HasSuffix(doc, ".") {
			t.Errorf("%s: meaning %q", s.key, doc)
		}
		if !key.MatchString(s.key) {
			t.Errorf("%s: no good key", s.key)
		}
		if (s.value.CanInt() || s.value.CanFloat()) && s.tag.Get("min") == "" {
			t.Errorf("%s: no least value", s.key)
		}
		for _, name := range []string{"min", "max"} {
			if text, ok := s.tag.Lookup(name); ok {
				bound(s.value.Type(), text) // panics on a tag it cannot read
			}
		}
		if name := s.tag.Get("secret"); name != "" && name != "url" && name != "true" {
			t.Errorf("%s: secret %q", s.key, name)
		}
		if r, ok := s.tag.Lookup("reload"); ok && r != "restart" {
			t.Errorf("%s: reload %q", s.key, r)
		}
	})
}

func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	next := Default()
	next.Listen = ":1"
	next.Admin.Listen = "off"
	next.Loops = 3
	next.Log = Log{Level: "debug", Format: "json"}
	next.Heartbeat = Heartbeat{Interval: 1, Timeout: 1}
	next.Drain = Drain{}
	next.Limits = Limits{}
	next.Endpoint = "https://ws.example.com"
	next.Hosts = []string{"ws.example.com"}
	next.Admin.Hosts = []string{"console.example.com"}
	next.Trace = Trace{Endpoint: "http://127.0.0.1:4318", Sample: 1}
	next.Keys, next.APIKeys = []string{"a"}, []string{"b"}
	next.Hubs = map[string]Hub{"chat": {}}
	want := []string{"listen", "admin.listen", "loops", "log.format", "trace.endpoint", "trace.sample"}
	if got := Default().Changes(next); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Default().Changes(Default()); got != nil {
		t.Errorf("equal configurations differ in %q", got)
	}
}

// The race detector is the judge: a reload looks at the configuration that the loops read.
func TestAConfigurationInForceIsOnlyRead(t *testing.T) {
	c := Default()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			if err := c.Validate(); err != nil {
				t.Error(err)
			}
			c.Changes(c)
			c.Open()
		}
	}()
	for range 1000 {
		if !c.Hubs["default"].Anonymous {
			t.Error("changed")
		}
	}
	<-done
}

func TestOpenSaysWhatEverybodyMayDo(t *testing.T) {
	for _, test := range []struct {
		name  string
		alter func(*Config)
		want  []string
	}{
		{"defaults", func(*Config) {}, []string{"hub default accepts anonymous clients"}},
		{"closed", func(c *Config) { c.Hubs = map[string]Hub{"a": {Origins: []string{"https://b.example"}}} }, nil},
		{"origins", func(c *Config) {
			c.Hubs = map[string]Hub{"b": {Origins: []string{"*"}}, "a": {Anonymous: true}}
		}, []string{"hub a accepts anonymous clients", "hub b accepts browsers from every origin"}},
		{"admin", func(c *Config) { c.Hubs = nil; c.Admin.Listen = ":9090" },
			[]string{"admin (metrics, profiles, console) is served without a password on :9090"}},
		{"admin off", func(c *Config) { c.Hubs = nil; c.Admin.Listen = "off" }, nil},
		{"admin on localhost", func(c *Config) { c.Hubs = nil; c.Admin.Listen = "localhost:1" }, nil},
	} {
		c := Default()
		test.alter(c)
		if got := c.Open(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestListenersThatWantTheSameSocketOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "localhost:1", true},
		{"127.0.0.1:1", "[::ffff:127.0.0.1]:1", true},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"127.0.0.1:1", ":1", true},
		{"[::1]:1", ":1", true},
		{"[::1]:1", "0.0.0.0:1", false},
		{"[::1]:1", "127.0.0.1:1", false},
		{"0.0.0.0:1", "[::]:1", true},
		{"0.0.0.0:1", "10.0.0.1:1", true},
	} {
		a, err := parseAddress(test.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := parseAddress(test.b)
		if err != nil {
			t.Fatal(err)
		}
		if overlap(a, b) != test.want || overlap(b, a) != test.want {
			t.Errorf("%s and %s: want %v", test.a, test.b, test.want)
		}
	}
}

func TestSuggestionIsTheNearestName(t *testing.T) {
	known := []string{"listen", "limits", "log", "loops", "message_age"}
	for name, want := range map[string]string{
		"lisen": "listen", "LISTEN": "listen", "limit": "limits", "loop": "loops", "messageAge": "message_age", "message-age": "message_age",
	} {
		if got := suggest(name, known); got != "did you mean "+want+"?" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := suggest("hubs_and_more", known); got != "known here: listen, limits, log, loops, message_age" {
		t.Errorf("a name like none: %s", got)
	}
	if got := distance("kitten", "sitting"); got != 3 {
		t.Errorf("distance %d", got)
	}
}

func TestEverySchemeIsNamedOnce(t *testing.T) {
	c := Default()
	c.Hubs["chat"] = Hub{Upstream: Upstream{URL: "ftp://host"}}
	known := regexp.MustCompile(`(?m)known here: (.*)$`)
	for schemes, want := range map[string]string{"": "echo, http, https", "http https": "echo, http, https", "https test": "echo, http, https, test"} {
		err := c.Validate(strings.Fields(schemes)...)
		if err == nil {
			t.Fatal("ftp: is spoken")
		}
		if got := known.FindStringSubmatch(err.Error()); got == nil || got[1] != want {
			t.Errorf("with %q: %v", schemes, err)
		}
	}
}
