package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/golang-jwt/jwt/v5"

	"sluice/gateway/auth"
	"sluice/gateway/config"
)

const (
	nodeKey = "the-access-key-of-the-node"
	chatKey = "the-access-key-of-a-hub-only"
)

// withChat adds a hub with a key and a path of its own, and a key for the others.
func withChat(cfg *config.Config) {
	withAPIKey(cfg)
	cfg.Keys = []string{nodeKey}
	cfg.Hubs["Chat"] = config.Hub{Paths: []string{"/Talk"}, Keys: []string{chatKey}, Upstream: config.Upstream{URL: "echo:"}}
}

// clientToken is what a client of a hub has got from a backend.
func clientToken(t *testing.T, key, hub string) string {
	t.Helper()
	token, err := auth.NewKeys([]string{key}).ClientToken(auth.ClientClaims{Endpoint: "http://sluice.test", Hub: hub})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// dataPlaneToken is for requests to that path.
func dataPlaneToken(t *testing.T, key, path string) string {
	t.Helper()
	token, err := auth.NewKeys([]string{key}).DataPlaneToken("http://sluice.test"+path, 0)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// audienceOf is what a token is for.
func audienceOf(t *testing.T, token string) string {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	aud, _ := claims["aud"].(string)
	return aud
}

// call makes a request of a backend, and returns the answer and its body.
func (n *node) call(method, path, token, body string) (*http.Response, string) {
	n.t.Helper()
	r, err := http.NewRequest(method, "http://"+n.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Host = "sluice.test"
	r.Header.Set("Content-Type", "text/plain")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer, string(said)
}

func TestClientsReachAHubInWhateverCase(t *testing.T) {
	n := start(t, withChat)
	for _, c := range []struct {
		path, hub string // where, and what the token names
		status    int
	}{
		{"/client/hubs/Chat", "Chat", 101},
		{"/client/hubs/chat", "chat", 101},
		{"/client/hubs/CHAT", "chat", 101},
		{"/client/hubs/%63hat", "cHAT", 101},
		{"/Talk", "chat", 101},
		{"/talk", "chat", 404},
		{"/client/Hubs/chat", "chat", 404},
		{"/Client/hubs/chat", "chat", 404},
		{"/client/hubs/chat/", "chat", 404},
		{"/client/hubs/", "chat", 404},
		{"/client/hubs/chats", "chats", 404},
		{"/client/hubs/default", "chat", 401},
		{"/client/hubs/chat", "default", 401},
		{"/client/hubs/chat", "chats", 401},
	} {
		key := chatKey
		if strings.HasSuffix(c.path, "default") {
			key = nodeKey
		}
		p := n.connect()
		p.say(request(c.path + "?access_token=" + clientToken(t, key, c.hub)))
		p.wantStatus(c.status)
		p.Close()
		if c.status != http.StatusNotFound {
			continue
		}
		if a, _ := n.call("GET", c.path, "", ""); a.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d", c.path, a.StatusCode)
		}
	}
	if a, _ := n.call("GET", "/client/hubs/chat", "", ""); a.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("GET of a hub's path in another case: %d", a.StatusCode)
	}
}

// A letter beyond ASCII whose small one is within it does not make a name
// another one.
func TestHubsNamesIgnoreTheCaseOfASCIIOnly(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		cfg.Hubs["kiosk"] = config.Hub{Anonymous: true, Upstream: config.Upstream{URL: "echo:"}}
	})
	for path, status := range map[string]int{"KIOSK": 101, "%E2%84%AAiosk": 404, "k%C4%B0osk": 404} { // the Kelvin sign, and I with a dot
		p := n.connect()
		p.say(request("/client/hubs/" + path))
		p.wantStatus(status)
	}
}

func TestBackendsReachAHubInWhateverCase(t *testing.T) {
	onLoops(t, withChat, func(t *testing.T, n *node) {
		p := n.connect()
		p.say(request("/client/hubs/chat?access_token=" + clientToken(t, chatKey, "CHAT")))
		p.wantStatus(http.StatusSwitchingProtocols)
		for _, name := range []string{"Chat", "chat", "CHAT", "cha%54"} {
			base := "/api/hubs/" + name
			for by, token := range map[string]func(path string) string{
				"API key":              func(string) string { return apiKey },
				"token for this case":  func(path string) string { return dataPlaneToken(t, chatKey, path) },
				"token for small ones": func(path string) string { return dataPlaneToken(t, chatKey, strings.Replace(path, name, "chat", 1)) },
			} {
				send := base + "/:send"
				if a, said := n.call("POST", send, token(send), "hello"); a.StatusCode != http.StatusAccepted || a.Header.Get("Sluice-Matched") != "1" {
					t.Fatalf("%s, %s: %s %s", send, by, a.Status, said)
				}
				p.want(ws.OpText, "hello")
				list := base + "/connections"
				if a, said := n.call("GET", list, token(list), ""); a.StatusCode != http.StatusOK || !strings.Contains(said, "connectionId") {
					t.Errorf("%s, %s: %s %s", list, by, a.Status, said)
				}
				mint := base + "/:generateToken"
				a, said := n.call("POST", mint, token(mint), "")
				var made struct{ Token string }
				if err := json.Unmarshal([]byte(said), &made); err != nil || a.StatusCode != http.StatusOK {
					t.Fatalf("%s, %s: %s %s", mint, by, a.Status, said)
				}
				if aud := audienceOf(t, made.Token); !strings.HasSuffix(aud, "/client/hubs/Chat") {
					t.Errorf("%s, %s: a token for %s, not for the hub as it is configured", mint, by, aud)
				}
			}
			// The rest of the path is as it was signed.
			to := base + "/users/Ann/:send"
			if a, _ := n.call("POST", to, dataPlaneToken(t, chatKey, base+"/users/ann/:send"), "x"); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("a token for another user: %s", a.Status)
			}
		}
		eventually(t, "the session to be counted for the hub as it is configured", func() bool {
			return n.metric("sluice_connections", "hub=Chat") == 1
		})
		if n.shows("chat") || n.shows("CHAT") {
			t.Error("the metrics call the hub as requests do, too")
		}
	})
}

// Whoever has a key of the node is told that there is no such hub. Whoever has
// none learns nothing from the answer.
func TestOnlyKeysLearnThatAHubDoesNotExist(t *testing.T) {
	n := start(t, withChat)
	unknown := func(t *testing.T, path string) {
		t.Helper()
		for by, token := range map[string]string{
			"API key":           apiKey,
			"the node's key":    dataPlaneToken(t, nodeKey, path),
			"another hub's key": dataPlaneToken(t, chatKey, path),
		} {
			a, said := n.call("POST", path, token, "hello")
			if a.StatusCode != http.StatusNotFound || !strings.Contains(said, `"HubNotFound"`) || !strings.Contains(said, "no such hub") {
				t.Errorf("%s, %s: %s %s", path, by, a.Status, said)
			}
		}
		for by, token := range map[string]func(path string) string{
			"nothing":         func(string) string { return "" },
			"nonsense":        func(string) string { return "x" },
			"a foreign key":   func(path string) string { return dataPlaneToken(t, "a-key-that-is-not-of-this-node", path) },
			"another request": func(path string) string { return dataPlaneToken(t, nodeKey, path+"x") },
		} {
			there := "/api/hubs/default/:send"
			a, said := n.call("POST", path, token(path), "hello")
			b, same := n.call("POST", there, token(there), "hello")
			if a.StatusCode != http.StatusUnauthorized || b.StatusCode != http.StatusUnauthorized || said != same {
				t.Errorf("%s, %s: %s %s, but %s %s of a hub that exists", path, by, a.Status, said, b.Status, same)
			}
		}
	}
	unknown(t, "/api/hubs/chats/:send")
	unknown(t, "/api/hubs/news/:generateToken")

	// A hub that is removed is as unknown, and its key goes with it.
	if err := n.Reload(reloaded(withChat, func(cfg *config.Config) { delete(cfg.Hubs, "Chat") })); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Chat", "chat"} {
		path := "/api/hubs/" + name + "/:send"
		if a, said := n.call("POST", path, dataPlaneToken(t, nodeKey, path), "x"); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s of a removed hub, the node's key: %s %s", path, a.Status, said)
		}
		if a, said := n.call("POST", path, dataPlaneToken(t, chatKey, path), "x"); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s of a removed hub, its own key: %s %s", path, a.Status, said)
		}
		p := n.connect()
		p.say(request("/client/hubs/" + name + "?access_token=" + clientToken(t, chatKey, name)))
		p.wantStatus(http.StatusNotFound)
	}
}

// In another case it is another name in metrics and logs, and so another hub:
// there is none of the former name any more.
func TestHubThatAReloadWritesInAnotherCaseIsServed(t *testing.T) {
	n := start(t, withChat)
	p := n.connect()
	p.say(request("/client/hubs/chat?access_token=" + clientToken(t, chatKey, "chat")))
	p.wantStatus(http.StatusSwitchingProtocols)
	err := n.Reload(reloaded(withChat, func(cfg *config.Config) {
		cfg.Hubs["CHAT"] = cfg.Hubs["Chat"]
		delete(cfg.Hubs, "Chat")
	}))
	if err != nil {
		t.Fatal(err)
	}
	p.want(ws.OpClose, string(ws.NewCloseFrameBody(ws.StatusGoingAway, "hub removed")))
	p = n.connect()
	p.say(request("/client/hubs/chat?access_token=" + clientToken(t, chatKey, "Chat")))
	p.wantStatus(http.StatusSwitchingProtocols)
	eventually(t, "the session to be counted for the hub as it is written now", func() bool {
		return n.metric("sluice_connections", "hub=CHAT") == 1
	})
}
