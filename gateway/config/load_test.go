package config

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sluice/gateway/golden"
)

func TestDefaultsAreWhatIsDocumented(t *testing.T) {
	var b bytes.Buffer
	if err := Default().WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/default.yaml", b.Bytes())
	if err := Default().Validate(); err != nil {
		t.Errorf("the defaults are invalid: %v", err)
	}
}

func TestNothingConfiguredIsTheDefaults(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "{}", "~", "limits:\nlog:\nadmin: {}\n"} {
		c, err := Parse("sluice.yaml", []byte(text), nil)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if !reflect.DeepEqual(c, Default()) {
			t.Errorf("%q: %+v", text, c)
		}
	}
	if c, err := Load("", nil); err != nil || !reflect.DeepEqual(c, Default()) {
		t.Errorf("no file: %+v, %v", c, err)
	}
}

func TestFileOverridesDefaultsAndVariablesOverrideTheFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sluice.yaml")
	text := `
listen: :8000
endpoint: https://ws.example.com
keys: [0123456789abcdef]
heartbeat: {interval: 1m30s}
hubs:
  chat: &chat
    paths: [/chat, /room/]
    upstream: {url: "http://chat.internal:8080/{hub}/{event}", events: [connect, typing], breaker: {probe: 1s}}
    keys: [fedcba9876543210, 0123456789abcdef]
    issuers:
      corp: {issuer: "https://id.example", jwks: "https://id.example/keys"}
    origins: ["https://example.org"]
    subprotocols: ["json.webpubsub.azure.v1"]
    deflate: true
  news.eu:
    upstream: {url: "echo:"}
limits: {message: 65536, queue: 2MB}
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(name, []string{
		"HOME=/root",
		"SLUICE_LISTEN=[::1]:8001",
		"SLUICE_HUBS_CHAT_ORIGINS=https://a.example, https://b.example",
		"SLUICE_HUBS_CHAT_SUBPROTOCOLS=",
		"SLUICE_HUBS_CHAT_ISSUERS_CORP_ALGORITHMS=ES256,EdDSA",
		"SLUICE_HUBS_CHAT_UPSTREAM_TIMEOUT=1s",
		"SLUICE_KEYS=0123456789ABCDEF,fedcba9876543210",
		"SLUICE_HUBS_NEWS_EU_ANONYMOUS=true",
		"SLUICE_LIMITS_QUEUE=3MiB",
		"SLUICE_ADMIN_LISTEN=",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Listen = "[::1]:8001"
	want.Admin.Listen = ""
	want.Heartbeat.Interval = 90 * second
	want.Limits.Message = 64 * KiB
	want.Limits.Queue = 3 * MiB
	want.Endpoint = "https://ws.example.com"
	want.Keys = []string{"0123456789ABCDEF", "fedcba9876543210"}
	chat := DefaultUpstream("http://chat.internal:8080/{hub}/{event}")
	chat.Events = []string{"connect", "typing"}
	chat.Breaker.Probe = second
	chat.Timeout = second
	want.Hubs = map[string]Hub{
		"chat": {
			Paths:    []string{"/chat", "/room/"},
			Upstream: chat,
			Keys:     []string{"fedcba9876543210", "0123456789abcdef"},
			Issuers: map[string]Issuer{"corp": {
				Issuer: "https://id.example", JWKS: "https://id.example/keys", Algorithms: []string{"ES256", "EdDSA"},
			}},
			Origins: []string{"https://a.example", "https://b.example"},
			Deflate: true,
		},
		"news.eu": {Upstream: DefaultUpstream("echo:"), Anonymous: true},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestMissingFileIsAnError(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("%v", err)
	}
}

func TestErrorsNeverQuoteAnUpstreamURL(t *testing.T) {
	for _, u := range []string{
		"ftp://user:hunter2@host", "http://user:hunter2@host:port/", "http://us er:hunter2@host",
		"hunter2", "//user:hunter2@host", "http://user:hunter2@", "http://user:hunt%zzer2hunter2@host", "echo:hunter2", "http://a:hunter2/b@c",
	} {
		_, err := Parse("", nil, []string{"SLUICE_HUBS_DEFAULT_UPSTREAM_URL=" + u})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// withoutSecrets takes out of c what WriteYAML leaves out.
func withoutSecrets(c *Config) *Config {
	c.settings(func(s setting) {
		switch s.tag.Get("secret") {
		case "true":
			s.value.SetZero()
		case "url":
			shown, _ := redactURL(s.value.String())
			s.value.SetString(shown)
		}
	})
	return c
}

func FuzzParse(f *testing.F) {
	for _, name := range badFiles(f) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		_, text, _ := strings.Cut(string(data), "-- sluice.yaml --\n")
		text, _, _ = strings.Cut(text, "-- ")
		f.Add([]byte(text), "SLUICE_LISTEN=:1")
	}
	var defaults bytes.Buffer
	if err := Default().WriteYAML(&defaults); err != nil {
		f.Fatal(err)
	}
	f.Add(defaults.Bytes(), "SLUICE_HUBS_DEFAULT_PATHS=/a,/b")
	f.Add([]byte("hubs: {a: {upstream: {url: 'http://h/'}, origins: ['*'], subprotocols: [\"1\", 'null', '!']}}"), "SLUICE_LIMITS_QUEUE=2GB")
	f.Add([]byte("keys: [0123456789abcdef]\nhubs: {a: {upstream: {url: 'http://u:p@h/{event}?code=1'}, issuers: {b: {issuer: c, jwks: 'https://d/'}}}}"), "SLUICE_HUBS_A_KEYS=0123456789abcdef")
	f.Fuzz(func(t *testing.T, data []byte, variable string) {
		c, err := Parse("f.yaml", data, []string{variable})
		if err != nil {
			if c != nil || err.Error() == "" {
				t.Errorf("%v beside error %q", c, err)
			}
			return
		}
		var b bytes.Buffer
		if err := c.WriteYAML(&b); err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again.yaml", b.Bytes(), nil)
		if err != nil {
			t.Fatalf("its own output is refused: %v\n%s", err, b.Bytes())
		}
		if want := withoutSecrets(c); !reflect.DeepEqual(want, again) {
			t.Errorf("got  %+v\nwant %+v", again, want)
		}
	})
}
