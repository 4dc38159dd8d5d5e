package handshake

import "testing"

func TestUnescapePathDecodesOnce(t *testing.T) {
	for path, want := range map[string]string{
		"/":                   "/",
		"/chat":               "/chat",
		"/client/hubs/ch%61t": "/client/hubs/chat",
		"/%63%68%61%74":       "/chat",
		"/ch%2561t":           "/ch%61t",
		"/caf%c3%A9":          "/caf\xc3\xa9",
		"/%7e~":               "/~~",
		"/%2E%2e":             "/..",
	} {
		if got, ok := UnescapePath([]byte(path)); string(got) != want || !ok {
			t.Errorf("%s: %q, %v; want %q", path, got, ok, want)
		}
	}
	for _, path := range []string{"/a%2Fb", "/a%2fb", "/a%00", "/%0d%0a", "/%1F", "/%7f", "/%", "/%4", "/%4g"} {
		if got, ok := UnescapePath([]byte(path)); ok {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestHostNameHasNoPort(t *testing.T) {
	for host, want := range map[string]string{
		"": "", "h": "h", "H:80": "H", "h.:": "h", "127.0.0.1:8080": "127.0.0.1", "[::1]": "::1", "[::1]:80": "::1",
	} {
		if got := HostName([]byte(host)); string(got) != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}
