package admin_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

func TestSessionsAreFoundByIDUserGroupAndFilter(t *testing.T) {
	n := start(t)
	n.connect("keyed", "ann", "red")
	n.connect("keyed", "ann")
	n.connect("keyed", "bob", "red")
	n.connect("keyed", "")
	n.connect("open", "")
	n.await("sluice_connections", 5)
	all := n.search("keyed", apiKey, nil)
	if got := all.users(); !slices.Equal(got, []string{"", "ann", "ann", "bob"}) {
		t.Fatalf("all are %q", got)
	}
	id := all.Sessions[0].ConnectionID
	for _, c := range []struct {
		query url.Values
		want  []string
	}{
		{url.Values{"user": {"ann"}}, []string{"ann", "ann"}},
		{url.Values{"user": {"eve"}}, []string{}},
		{url.Values{"group": {"red"}}, []string{"ann", "bob"}},
		{url.Values{"id": {id}}, []string{all.Sessions[0].UserID}},
		{url.Values{"id": {"nonsense"}}, []string{}},
		{url.Values{"filter": {"startswith(userId,'b')"}}, []string{"bob"}},
		{url.Values{"group": {"red"}, "filter": {"userId eq 'ann'"}}, []string{"ann"}},
	} {
		if got := n.search("keyed", apiKey, c.query).users(); !slices.Equal(got, c.want) {
			t.Errorf("%v: %q, want %q", c.query, got, c.want)
		}
	}
	for _, query := range []string{"user=a&group=b", "filter=userId", "after=1", "after=a.b", "after=1.2.3", "size=0", "size=501", "size=x"} {
		if status, _, body := n.ask("GET", "/console/hubs/keyed/sessions?"+query, apiKey, ""); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

func TestEverySessionIsOnOnePage(t *testing.T) {
	n := start(t)
	for range 7 {
		n.connect("open", "")
	}
	n.await("sluice_connections", 7)
	seen := map[string]bool{}
	query := url.Values{"size": {"3"}}
	for pages := 1; ; pages++ {
		l := n.search("open", "", query)
		for _, s := range l.Sessions {
			if seen[s.ConnectionID] {
				t.Errorf("%s is listed twice", s.ConnectionID)
			}
			seen[s.ConnectionID] = true
		}
		if l.Next == "" {
			break
		}
		if pages == 7 {
			t.Fatal("the pages do not end")
		}
		query.Set("after", l.Next)
	}
	if len(seen) != 7 {
		t.Errorf("%d sessions are listed, want 7", len(seen))
	}
}

func TestSessionsOfAKeyedHubTakeItsKey(t *testing.T) {
	n := start(t)
	const list = "/console/hubs/keyed/sessions?user=ann"
	for name, c := range map[string]struct {
		key    string
		status int
	}{
		"no key":                  {"", http.StatusUnauthorized},
		"wrong key":               {"a-wrong-key-0123456789", http.StatusUnauthorized},
		"access key as it is":     {accessKey, http.StatusUnauthorized},
		"API key":                 {apiKey, http.StatusOK},
		"token":                   {n.token(accessKey, list), http.StatusOK},
		"token of another key":    {n.token("another-access-key-0123456789", list), http.StatusUnauthorized},
		"token of another search": {n.token(accessKey, "/console/hubs/keyed/sessions?user=bob"), http.StatusUnauthorized},
	} {
		status, header, body := n.ask("GET", list, c.key, "")
		if status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.status)
		}
		if status == http.StatusUnauthorized && (header.Get("WWW-Authenticate") == "" || !strings.Contains(string(body), `"message"`)) {
			t.Errorf("%s: %q, %s", name, header.Get("WWW-Authenticate"), body)
		}
	}
	if status, _, _ := n.ask("GET", "/console/hubs/nowhere/sessions", apiKey, ""); status != http.StatusNotFound {
		t.Errorf("a hub that is not there: %d", status)
	}
}

func TestWithoutAKeySessionsCanBeSeenAndNotTouched(t *testing.T) {
	n := start(t)
	conn := n.connect("open", "")
	n.await("sluice_connections", 1)
	l := n.search("open", "", nil)
	if len(l.Sessions) != 1 {
		t.Fatalf("found %+v", l)
	}
	one := "/api/hubs/open/connections/" + l.Sessions[0].ConnectionID
	for _, key := range []string{"", apiKey, accessKey, n.token(accessKey, one)} {
		for _, request := range []string{"DELETE " + one, "POST " + one + "/:send", "POST /api/hubs/open/:closeConnections", "POST /api/hubs/open/:generateToken"} {
			method, path, _ := strings.Cut(request, " ")
			if status, _, body := n.ask(method, path, key, "x"); status != http.StatusUnauthorized {
				t.Errorf("%s with %q: %d %s", request, key, status, body)
			}
		}
	}
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	gatewaytest.Receive(t, conn, websocket.MessageText, "still here") // and nothing before it
}

func TestWhatThePageDoesReachesTheClient(t *testing.T) {
	n := start(t)
	conn := n.connect("keyed", "ann")
	n.await("sluice_connections", 1)
	one := "/api/hubs/keyed/connections/" + n.search("keyed", apiKey, nil).Sessions[0].ConnectionID
	status, header, body := n.ask("POST", one+"/:send", apiKey, "hello")
	if status != http.StatusAccepted || header.Get("Sluice-Queued") != "1" {
		t.Fatalf("send: %d %s", status, body)
	}
	gatewaytest.Receive(t, conn, websocket.MessageText, "hello")
	if status, _, body := n.ask("DELETE", one+"?reason=bye", n.token(accessKey, one+"?reason=bye"), ""); status != http.StatusNoContent {
		t.Fatalf("close: %d %s", status, body)
	}
	_, _, err := conn.Read(t.Context())
	if closed := (websocket.CloseError{Code: 1000, Reason: "bye"}); err == nil || !strings.Contains(err.Error(), closed.Error()) {
		t.Errorf("closed with %v, want %v", err, closed)
	}
	n.await("sluice_connections", 0)
}

// A metric that is renamed must not leave a curve flat.
func TestEveryMetricThatThePageKnowsExists(t *testing.T) {
	n := start(t)
	conn := n.connect("backed", "")
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("x")); err != nil {
		t.Fatal(err)
	}
	n.await("sluice_upstream_in_flight", 0)
	conn.Close(websocket.StatusNormalClosure, "")
	n.await("sluice_connections_closed_total", 1)
	n.await("sluice_upstream_requests_total", 4) // connect, connected, message, disconnected
	known := n.state()
	scripts, err := filepath.Glob("console/*.js")
	if err != nil || len(scripts) < 10 {
		t.Fatalf("scripts %q, %v", scripts, err)
	}
	seen := map[string]bool{}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\b(sluice|process|go)_[a-z_]+\b`).FindAllString(string(text), -1) {
			seen[name] = true
			if len(known[name]) == 0 {
				t.Errorf("%s: there is no metric %s", script, name)
			}
		}
	}
	if len(seen) < 25 {
		t.Errorf("only %d names were found", len(seen))
	}
}
