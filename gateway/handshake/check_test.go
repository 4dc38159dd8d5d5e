package handshake

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestUpgradeIsAskedForByAnyToken(t *testing.T) {
	for value, want := range map[string]bool{
		"websocket":            true,
		"WebSocket":            true,
		"h2c, websocket":       true,
		",websocket ,":         true,
		"h2c":                  false,
		"websocket/13":         false,
		"web socket":           false,
		"websoc\xe2\x84\xaaet": false, // U+212A, which folds to k
		"":                     false,
	} {
		h := parse(t, "POST / HTTP/1.1\r\nHost: h\r\nUpgrade: "+value+"\r\n\r\n")
		if h.Upgrade() != want {
			t.Errorf("Upgrade: %s asks for WebSocket: %v, want %v", value, !want, want)
		}
	}
	if !parse(t, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n\r\n").Upgrade() {
		t.Error("a second Upgrade field was not looked at")
	}
}

func TestCheckAccepts(t *testing.T) {
	for name, edit := range map[string][2]string{
		"a client library":                {"", ""},
		"a Connection of several options": {"Connection: Upgrade", "Connection: keep-alive, upgrade"},
		"two Connection fields":           {"Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"},
		"several protocols to upgrade to": {"Upgrade: websocket", "Upgrade: h2c, WebSocket"},
		"a body of no length":             {"Upgrade: websocket", "Upgrade: websocket\r\nContent-Length: 00"},
		"a later HTTP/1":                  {"HTTP/1.1", "HTTP/1.2"},
		"an absolute target":              {"GET /", "GET ws://example.com/"},
		"a long query":                    {"GET /", "GET /?token=" + strings.Repeat("q", 6<<10)},
		"a long cookie":                   {"Upgrade:", "Cookie: " + strings.Repeat("c", 7<<10) + "\r\nUpgrade:"},
		"subprotocols with empty ones":    {"Upgrade:", "Sec-WebSocket-Protocol: \r\nSec-WebSocket-Protocol: ,a,, b\r\nUpgrade:"},
		"an unknown extension":            {"Upgrade:", `Sec-WebSocket-Extensions: x-y; a="b;,\"c"; d` + "\r\nUpgrade:"},
	} {
		t.Run(name, func(t *testing.T) {
			h := parse(t, strings.Replace(smallHead, edit[0], edit[1], 1))
			if err := h.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	for _, c := range []struct {
		name, old, new string
		want           *Error
	}{
		{"no Upgrade", "Upgrade: websocket\r\n", "", ErrUpgrade},
		{"upgrade to something else", "Upgrade: websocket", "Upgrade: h2c", ErrUpgrade},
		{"another method", "GET", "POST", ErrMethod},
		{"method in lower case", "GET", "get", ErrMethod},
		{"HTTP/1.0", "HTTP/1.1", "HTTP/1.0", ErrHTTP10},
		{"no Connection", "Connection: Upgrade\r\n", "", ErrConnection},
		{"Connection without upgrade", "Connection: Upgrade", "Connection: keep-alive, upgrades", ErrConnection},
		{"no version", "Sec-WebSocket-Version: 13\r\n", "", ErrVersion},
		{"older version", "Version: 13", "Version: 8", ErrVersion},
		{"version with a zero", "Version: 13", "Version: 013", ErrVersion},
		{"list of versions", "Version: 13", "Version: 13, 8", ErrVersion},
		{"version twice", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13", ErrVersion},
		{"no key", key + "\r\n", "", ErrKey},
		{"empty key", key, "Sec-WebSocket-Key:", ErrKey},
		{"key twice", key, key + "\r\n" + key, ErrKey},
		{"key of 15 octets", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", ErrKey},
		{"key of 17 octets", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZXI=", ErrKey},
		{"key of 18 octets", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZXJz", ErrKey},
		{"key without padding", "ZQ==", "ZQ", ErrKey},
		{"key with bits to spare", "ZQ==", "ZR==", ErrKey},
		{"key in the URL alphabet", "dGhl", "_-hl", ErrKey},
		{"Content-Length", "Upgrade:", "Content-Length: 1\r\nUpgrade:", ErrBody},
		{"Content-Length with zeros", "Upgrade:", "Content-Length: 010\r\nUpgrade:", ErrBody},
		{"Transfer-Encoding", "Upgrade:", "Transfer-Encoding: Chunked\r\nUpgrade:", ErrBody},
		{"two Origins", "Upgrade:", "Origin: http://a\r\nOrigin: http://a\r\nUpgrade:", ErrRepeated},
		{"two Authorizations", "Upgrade:", "Authorization: a\r\nAuthorization: b\r\nUpgrade:", ErrRepeated},
		{"no subprotocol", "Upgrade:", "Sec-WebSocket-Protocol:\r\nUpgrade:", ErrProtocols},
		{"only empty subprotocols", "Upgrade:", "Sec-WebSocket-Protocol: , ,\r\nUpgrade:", ErrProtocols},
		{"subprotocol with a space", "Upgrade:", "Sec-WebSocket-Protocol: a b\r\nUpgrade:", ErrProtocols},
		{"quoted subprotocol", "Upgrade:", `Sec-WebSocket-Protocol: "a"` + "\r\nUpgrade:", ErrProtocols},
		{"subprotocol with a separator", "Upgrade:", "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b;c\r\nUpgrade:", ErrProtocols},
		{"no extension", "Upgrade:", "Sec-WebSocket-Extensions:\r\nUpgrade:", ErrExtensions},
		{"extension without name", "Upgrade:", "Sec-WebSocket-Extensions: ;a\r\nUpgrade:", ErrExtensions},
		{"extension with a value", "Upgrade:", "Sec-WebSocket-Extensions: a=b\r\nUpgrade:", ErrExtensions},
		{"two extensions without comma", "Upgrade:", "Sec-WebSocket-Extensions: a b\r\nUpgrade:", ErrExtensions},
		{"empty parameter", "Upgrade:", "Sec-WebSocket-Extensions: a; ;b\r\nUpgrade:", ErrExtensions},
		{"parameter without value", "Upgrade:", "Sec-WebSocket-Extensions: a; b=\r\nUpgrade:", ErrExtensions},
		{"open quote", "Upgrade:", `Sec-WebSocket-Extensions: a; b="c\"` + "\r\nUpgrade:", ErrExtensions},
		{"value behind a quote", "Upgrade:", `Sec-WebSocket-Extensions: a; b="c"d` + "\r\nUpgrade:", ErrExtensions},
		{"malformed behind an acceptable one", "Upgrade:", "Sec-WebSocket-Extensions: permessage-deflate, @\r\nUpgrade:", ErrExtensions},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(smallHead, c.old) {
				t.Fatalf("no %q to replace", c.old)
			}
			if err := parse(t, strings.Replace(smallHead, c.old, c.new, 1)).Check(); !errors.Is(err, c.want) {
				t.Errorf("Check() = %v, want %v", err, c.want)
			}
		})
	}
}

func TestSubprotocolsOfAllFieldsAreOneList(t *testing.T) {
	h := parse(t, strings.Replace(smallHead, "Upgrade:",
		"Sec-WebSocket-Protocol: c, b\r\nX: y\r\nsec-websocket-protocol:a ,,b\r\nUpgrade:", 1))
	if got, want := h.AppendSubprotocols(nil), []string{"c", "b", "a", "b"}; !slices.Equal(got, want) {
		t.Errorf("subprotocols %q, want %q", got, want)
	}
	if got := parse(t, smallHead).AppendSubprotocols(nil); got != nil {
		t.Errorf("subprotocols %q without a field", got)
	}
}
