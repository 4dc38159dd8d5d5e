package auth

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func origins(t testing.TB, list ...string) *Origins {
	t.Helper()
	o, err := ParseOrigins(list)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestSameOriginIsAllowed(t *testing.T) {
	for _, c := range []struct {
		origin, host string
		want         bool
	}{
		{"http://example.com", "example.com", true},
		{"https://example.com", "example.com", true},
		{"https://Example.com", "eXample.COM", true},
		{"HTTPS://example.com", "example.com:443", true},
		{"https://example.com:443", "example.com", true},
		{"http://example.com:80", "example.com", true},
		{"http://example.com", "example.com:80", true},
		{"http://example.com:8080", "example.com:8080", true},
		{"http://127.0.0.1:8080", "127.0.0.1:8080", true},
		{"http://localhost:0080", "localhost", true},
		{"http://[::1]:8080", "[::1]:8080", true},
		{"https://[2001:db8::1]", "[2001:DB8:0::1]:443", true},
		{"https://a_b.example.com", "a_b.example.com", true},

		{"http://example.com", "example.com:443", false},
		{"https://example.com", "example.com:80", false},
		{"https://example.com:80", "example.com", false},
		{"https://example.com:8443", "example.com", false},
		{"https://example.com", "example.com:8443", false},
		{"https://example.com", "example.org", false},
		{"https://example.com", "example.com.", false},
		{"https://example.com", "www.example.com", false},
		{"https://www.example.com", "example.com", false},
		{"https://example.com.evil.org", "example.com", false},
		{"https://evil-example.com", "example.com", false},
		{"http://[::1]", "[::2]", false},
		{"http://[::ffff:127.0.0.1]", "127.0.0.1", false},
		{"ftp://example.com", "example.com", false},
		{"chrome-extension://example.com", "example.com", false},
		{"https://example.com", "", false},
		{"https://example.com", "example.com:", false},
		{"https://example.com", "user@example.com", false},
		{"null", "null", false},
		{"file://", "", false},
	} {
		o := &Origins{}
		if got := o.Allow([]byte(c.origin), []byte(c.host)); got != c.want {
			t.Errorf("Allow(%q, %q) = %v, want %v", c.origin, c.host, got, c.want)
		}
	}
}

func TestListedOriginIsAllowed(t *testing.T) {
	o := origins(t, "https://App.example.com", "http://localhost:3000", "https://plain.example.com:443", "http://[2001:DB8:0::1]",
		"capacitor://localhost", "file://", "HTTP://upper.example.com:080")
	for origin, want := range map[string]bool{
		"https://app.example.com":       true,
		"https://app.example.com:443":   true,
		"HTTPS://APP.EXAMPLE.COM":       true,
		"http://localhost:3000":         true,
		"https://plain.example.com":     true,
		"http://[2001:db8::1]":          true,
		"http://[2001:db8::0:1]:80":     true,
		"capacitor://localhost":         true,
		"file://":                       true,
		"http://upper.example.com":      true,
		"http://app.example.com":        false,
		"https://app.example.com:8443":  false,
		"https://sub.app.example.com":   false,
		"https://app.example.com.org":   false,
		"http://localhost":              false,
		"https://localhost:3000":        false,
		"capacitor://localhost:80":      false,
		"http://[2001:db8::2]":          false,
		"http://2001:db8::1":            false,
		"null":                          false,
		"http://":                       false,
		"https://app.example.com/":      false,
		"https://app.example.com?":      false,
		"https://app.example.com#":      false,
		"https://u@app.example.com":     false,
		"https://app.example.com:":      false,
		" https://app.example.com":      false,
		"https://app.example.com ":      false,
		"https://app.example.com\x00":   false,
		"https:app.example.com":         false,
		"app.example.com":               false,
		"*":                             false,
		"":                              false,
		"https://app.example.com, null": false,
		"https://" + strings.Repeat("a", 300) + ".example.com": false,
	} {
		if got := o.Allow([]byte(origin), []byte("gateway.example.net")); got != want {
			t.Errorf("Allow(%q) = %v, want %v", origin, got, want)
		}
	}
}

func TestLongOriginsCanBeListed(t *testing.T) {
	long := "https://" + strings.Repeat("a", 300) + ".example.com"
	if !origins(t, long).Allow([]byte(long), []byte("h")) {
		t.Error("a listed origin is not allowed")
	}
}

func TestNullIsAllowedOnlyIfListed(t *testing.T) {
	if origins(t, "https://example.com").Allow([]byte("null"), []byte("h")) {
		t.Error("null is allowed though it is not listed")
	}
	o := origins(t, "null", "https://example.com")
	if !o.Allow([]byte("null"), []byte("h")) || !o.Allow([]byte("https://example.com"), []byte("h")) {
		t.Error("null is listed and not allowed, or hides what stands beside it")
	}
	if o.Allow([]byte("NULL"), []byte("h")) {
		t.Error("NULL is no origin")
	}
}

func TestStarAllowsEverything(t *testing.T) {
	o := origins(t, "*")
	for _, origin := range []string{"https://example.com", "null", "moz-extension://x", ""} {
		if !o.Allow([]byte(origin), []byte("h")) {
			t.Errorf("%q is not allowed", origin)
		}
	}
}

func TestEmptyListAllowsTheSameOriginOnly(t *testing.T) {
	o := origins(t)
	if !o.Allow([]byte("http://h"), []byte("h")) || o.Allow([]byte("http://g"), []byte("h")) {
		t.Error("not just the same origin")
	}
}

func TestParseOriginsRefuses(t *testing.T) {
	for origin, want := range map[string]string{
		"":                            "must be scheme://host",
		"example.com":                 "must be scheme://host",
		"https://example.com/":        "without a path",
		"https://example.com/chat":    "without a path",
		"https://example.com?q":       "without a path",
		"https://u:p@example.com":     "without a path",
		"1https://example.com":        "must be scheme://host",
		"://example.com":              "must be scheme://host",
		"https://":                    "malformed host",
		"https://*.example.com":       "patterns are not supported",
		"https://ex ample.com":        "malformed host",
		"https://b\u00fccher.example": "xn--",
		"https://[::1":                "malformed host",
		"https://[::1]x":              "malformed host",
		"https://[127.0.0.1]":         "malformed host",
		"https://[fe80::1%25eth0]":    "malformed host",
		"https://[fe80::1%eth0]":      "malformed host",
		"https://a:b:1":               "malformed port",
		"https://example.com:":        "malformed port",
		"https://example.com:x":       "malformed port",
		"https://example.com:65536":   "malformed port",
		"https://example.com:000001":  "malformed port",
		"wss://example.com":           "http or https",
		"WS://example.com":            "http or https",
	} {
		_, err := ParseOrigins([]string{"https://good.example.com", origin})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), strconv.Quote(origin)) {
			t.Errorf("ParseOrigins(%q): %v, want an error that quotes it and says %q", origin, err, want)
		}
	}
	if _, err := ParseOrigins([]string{"https://example.com", "*"}); err == nil {
		t.Error("* beside another origin is accepted")
	}
}

func TestHostNamesAreJudgedWithoutAllocation(t *testing.T) {
	o := origins(t, "https://app.example.com")
	host := []byte("gateway.example.com:8443")
	for _, origin := range []string{"https://gateway.example.com:8443", "https://app.example.com", "https://evil.example.com", "junk"} {
		p := []byte(origin)
		if n := testing.AllocsPerRun(100, func() { o.Allow(p, host) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", origin, n)
		}
	}
}

// FuzzAllow holds Allow against net/url's idea of origins: what is allowed is
// a well-formed origin that is the same as the host or the one in the list.
func FuzzAllow(f *testing.F) {
	f.Add("https://example.com", "example.com", "https://app.example.com")
	f.Add("http://[::1]:80", "[::1]", "http://[::2]")
	f.Add("HTTP://A", "a:80", "null")
	f.Add("capacitor://localhost", "h", "capacitor://LOCALHOST")
	f.Add("http://b:8080", "a:8080", "http://b:08080")
	f.Add("file://", "", "file://")
	f.Fuzz(func(t *testing.T, origin, host, listed string) {
		o, err := ParseOrigins([]string{listed})
		if err != nil || listed == "*" {
			o, listed = &Origins{}, ""
		}
		got := o.Allow([]byte(origin), []byte(host))
		same, known := spell(t, origin), listed != "" && spell(t, origin) == spell(t, listed)
		if strings.HasPrefix(same, "http:") || strings.HasPrefix(same, "https:") {
			scheme, _, _ := strings.Cut(same, ":")
			if _, err := parseAuthority([]byte(host)); err == nil && same == spell(t, scheme+"://"+host) {
				known = true
			}
		}
		if want := same != "" && known; got != want {
			t.Errorf("Allow(%q, %q) with %q listed = %v, want %v (%q)", origin, host, listed, got, want, same)
		}
	})
}

// spell spells an origin in one way, or returns "" if it is none. It follows
// net/url, and parseOrigin only for what is none.
func spell(t *testing.T, s string) string {
	if s == "null" {
		return s
	}
	if _, err := parseOrigin([]byte(s)); err != nil {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil {
		t.Fatalf("net/url does not know the origin %q: %v", s, err)
	}
	if u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Opaque != "" || strings.ContainsAny(s, "?#") {
		t.Fatalf("%q is more than an origin: %#v", s, u)
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = netip.MustParseAddr(host).String()
	}
	port := -1
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil || port > 65535 {
			t.Fatalf("the port of %q: %v", s, err)
		}
	}
	if defaultPort, ok := map[string]int{"http": 80, "https": 443}[u.Scheme]; ok && port < 0 {
		port = defaultPort
	}
	return u.Scheme + "://" + host + " " + strconv.Itoa(port)
}

func BenchmarkAllow(b *testing.B) {
	o := origins(b, "https://app.example.com", "https://admin.example.com")
	host := []byte("gateway.example.com")
	for name, origin := range map[string][]byte{
		"same":    []byte("https://gateway.example.com"),
		"listed":  []byte("https://app.example.com"),
		"foreign": []byte("https://evil.example.com"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if o.Allow(origin, host) == (name == "foreign") {
					b.Fatal("wrong answer")
				}
			}
		})
	}
}
