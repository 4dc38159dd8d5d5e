package route

import (
	"errors"
	"testing"

	"sluice/gateway/handshake"
)

func TestHubsAreFoundByNameAndPath(t *testing.T) {
	chat, kelvin := new(string), new(string)
	table := New[string]()
	table.Add("Chat", []string{"/", "/caf%C3%A9"}, chat)
	table.Add("K", nil, kelvin)
	for path, want := range map[string]struct {
		hub *string
		err error
	}{
		"/":                     {chat, nil},
		"/caf%c3%a9":            {chat, nil},
		"/caf\xc3\xa9":          {chat, nil},
		"/client/hubs/Chat":     {chat, nil},
		"/client/hubs/chat":     {chat, nil},
		"/client/hubs/ch%41t":   {chat, nil},
		"/client/hubs/k":        {kelvin, nil},
		"/Caf%c3%a9":            {nil, ErrNoHub}, // paths are compared as they are
		"/client/hubs/":         {nil, ErrNoHub},
		"/client/hubs/\u212a":   {nil, ErrNoHub}, // the sign of the kelvin, whose small letter is k
		"/client/hubs/chat/":    {nil, ErrNoHub},
		"/client/hubs/ch%2fat":  {nil, handshake.ErrTarget},
		"/client/hubs/chat%00":  {nil, handshake.ErrTarget},
		"/nowhere":              {nil, ErrNoHub},
		"/client/hubs/nobody":   {nil, ErrNoHub},
		"/CLIENT/hubs/Chat":     {nil, ErrNoHub},
		"/client/hubs/Chat%":    {nil, handshake.ErrTarget},
		"/client/hubs/%43%68at": {chat, nil},
	} {
		if hub, err := table.At([]byte(path)); hub != want.hub || !errors.Is(err, want.err) {
			t.Errorf("%s: %v, %v", path, hub, err)
		}
	}
	var empty Table[string]
	if hub, err := empty.At([]byte("/")); hub != nil || err != ErrNoHub {
		t.Errorf("a table without hubs: %v, %v", hub, err)
	}
}

func TestHostsAreThoseOfTheNode(t *testing.T) {
	for _, c := range []struct {
		listed   []string
		endpoint string
		host     string
		want     bool
	}{
		{nil, "", "evil.example", true},
		{nil, "https://ws.example.com:8443", "WS.Example.com.:80", true},
		{nil, "https://ws.example.com:8443", "evil-ws.example.com", false},
		{nil, "https://ws.example.com", "[::1]:8080", true},
		{nil, "https://ws.example.com", "localhost", true},
		{[]string{"10.0.0.7", "::2"}, "", "[0::2]:80", true},
		{[]string{"10.0.0.7"}, "", "127.0.0.1", false},
		{[]string{"10.0.0.7"}, "", "[::ffff:10.0.0.7]", true},
		{[]string{"b.example"}, "http://a.example", "a.example", true},
		{[]string{"b.example"}, "http://a.example", "localhost", false},
		{[]string{"b.example"}, "http://a.example", "", false},
	} {
		h := HostsOf(c.listed, c.endpoint)
		if got := h.Allow([]byte(c.host)); got != c.want {
			t.Errorf("%v and %q allow %q: %t", c.listed, c.endpoint, c.host, got)
		}
	}
}
