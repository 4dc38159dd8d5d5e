package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
)

// accessKey signs tokens and events.
const accessKey = "e2e-access-key-0123456789"

// express starts the backend on the published express SDK, and returns its
// address and what it tells.
func express(t *testing.T, environ ...string) (address string, log *gatewaytest.Journal) {
	t.Helper()
	cmd := exec.Command(gatewaytest.Program(t, "node"), filepath.Join("testdata", "backend.js"))
	cmd.Env = append(append(os.Environ(), "NODE_PATH="+modules(t)), environ...)
	log = gatewaytest.Spawn(t, cmd).Log
	return log.Await(t, "listening").Text("addr"), log
}

// backed is the default configuration but for two lines.
func backed(address string) string {
	return fmt.Sprintf("keys: [%s]\nhubs: {default: {paths: [/], upstream: {url: 'http://%s/events'}}}\n", accessKey, address)
}

// told is an event as the SDK's handler saw it.
type told struct{ gatewaytest.Entry }

func (e told) context(key string) any {
	context, _ := e.Entry["context"].(map[string]any)
	return context[key]
}

// list is a field of strings in an object of the event.
func (e told) list(object, key string) []string {
	fields, _ := e.Entry[object].(map[string]any)
	values, _ := fields[key].([]any)
	var list []string
	for _, v := range values {
		list = append(list, fmt.Sprint(v))
	}
	return list
}

// awaitEvent returns the first event of a name of a connection, "" for any.
func awaitEvent(t *testing.T, log *gatewaytest.Journal, name, connection string) told {
	t.Helper()
	return told{log.Find(t, name+" of "+connection, func(e gatewaytest.Entry) bool {
		return e.Text("msg") == name && (connection == "" || told{e}.context("connectionId") == connection)
	})}
}

// exchange sends a message and expects an answer.
func exchange(t *testing.T, conn *websocket.Conn, kind websocket.MessageType, message string, wantKind websocket.MessageType, want string) {
	t.Helper()
	gatewaytest.Send(t, conn, kind, message)
	gatewaytest.Receive(t, conn, wantKind, want)
}

func TestTheExpressSDKIsToldOfEveryEventAndItsAnswersReachTheClient(t *testing.T) {
	const text, binary = websocket.MessageText, websocket.MessageBinary
	address, log := express(t)
	g := gatewaytest.Launch(t, backed(address))
	conn, _, err := websocket.Dial(t.Context(), g.URL()+"?id=ann&group=room&role=webpubsub.sendToGroup.room&x=1&x=2",
		&websocket.DialOptions{HTTPHeader: http.Header{"X-Fruit": {"apple", "pear"}}, Subprotocols: []string{"chat.v1", "chat.v2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(-1)
	if got := conn.Subprotocol(); got != "chat.v2" {
		t.Errorf("subprotocol %q, want that of the backend's choice", got)
	}

	connect := awaitEvent(t, log, "connect", "")
	id := fmt.Sprint(connect.context("connectionId"))
	if connect.context("hub") != "default" || connect.context("eventName") != "connect" || id == "" {
		t.Errorf("connect came as %v", connect.Entry)
	}
	if got := connect.list("query", "x"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("query x is %q", got)
	}
	if got := connect.list("headers", "X-Fruit"); !slices.Equal(got, []string{"apple", "pear"}) {
		t.Errorf("header X-Fruit is %q in %v", got, connect.Entry["headers"])
	}
	if got := fmt.Sprint(connect.Entry["subprotocols"]); got != "[chat.v1 chat.v2]" {
		t.Errorf("subprotocols are %s", got)
	}
	signed := hmac.New(sha256.New, []byte(accessKey))
	signed.Write([]byte(id))
	if got, want := connect.context("signature"), "sha256="+hex.EncodeToString(signed.Sum(nil)); got != want {
		t.Errorf("signature %v, want %s", got, want)
	}
	connected := awaitEvent(t, log, "connected", id)
	if states := fmt.Sprint(connected.context("states")); connected.context("userId") != "ann" || states != "map[from:Zürich]" {
		t.Errorf("connected came with %v", connected.Entry)
	}

	exchange(t, conn, text, "grüße, 世界", text, "grüße, 世界")
	exchange(t, conn, binary, "\x00\x7f\x80\xff", binary, "\x00\x7f\x80\xff")
	exchange(t, conn, text, "json", text, `{"hello":"wörld","list":[1,null]}`)
	exchange(t, conn, text, "bytes", binary, "\x00\x7f\x80\xff")
	exchange(t, conn, text, "count", text, "1")
	exchange(t, conn, text, "count", text, "2")
	for _, silent := range []string{"nothing", "empty text"} {
		if err := conn.Write(t.Context(), text, []byte(silent)); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("long ", 100_000)
	exchange(t, conn, text, long, text, long)

	if err := conn.Write(t.Context(), text, []byte("refuse")); err != nil {
		t.Fatal(err)
	}
	if closed := gatewaytest.CloseOf(t, conn); closed.Code != websocket.StatusInternalError {
		t.Errorf("a refused message closed with %v, want 1011", closed)
	}
	gone := awaitEvent(t, log, "disconnected", id)
	if states := fmt.Sprint(gone.context("states")); gone.context("userId") != "ann" || states != "map[count:2 from:Zürich]" {
		t.Errorf("disconnected came with %v", gone.Entry)
	}
	if strings.Contains(log.String(), `"stray"`) {
		t.Error("a request was no event to the SDK")
	}
}

func TestTheExpressSDKDecidesWhoConnects(t *testing.T) {
	address, log := express(t)
	g := gatewaytest.Launch(t, backed(address))
	tests := []struct {
		query  string
		status int
		body   string
	}{
		{"status=400", 400, "refused with 400"},
		{"status=401", 401, "refused with 401"},
		{"status=403", 403, "refused with 403"},
		{"status=451", 451, "refused with 451"},
		{"status=500", 503, ""},
		{"silent=1", 401, ""}, // nobody says who it is, and the hub wants to know
		{"", 401, ""},
	}
	for _, test := range tests {
		t.Run(test.query, func(t *testing.T) {
			_, response, err := websocket.Dial(t.Context(), g.URL()+"?"+test.query, nil)
			if err == nil || response == nil {
				t.Fatalf("dial: %v", err)
			}
			body := new(bytes.Buffer)
			body.ReadFrom(response.Body)
			if response.StatusCode != test.status || !strings.Contains(body.String(), test.body) {
				t.Errorf("answered %s, %q; want %d, %q", response.Status, body, test.status, test.body)
			}
			if test.status == 503 && response.Header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
		})
	}
	g.AwaitMetric(t, "sluice_connections", 0)
	if strings.Contains(log.String(), `"connected"`) {
		t.Error("one of those who were refused was told of as connected")
	}
}

func TestTheExpressSDKSeesTheClaimsOfATokenButNotTheToken(t *testing.T) {
	address, log := express(t)
	g := gatewaytest.Launch(t, backed(address))
	token := sign(t, accessKey, jwt.MapClaims{
		"sub": "eve", "aud": "http://" + g.Address + "/client/hubs/default", "exp": time.Now().Add(time.Hour).Unix(),
		"role": []string{"webpubsub.sendToGroup"}, "team": "red",
	})
	conn, _, err := websocket.Dial(t.Context(), "ws://"+g.Address+"/client/hubs/default?silent=1&access_token="+token, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	exchange(t, conn, websocket.MessageText, "hello", websocket.MessageText, "hello")
	connect := awaitEvent(t, log, "connect", "")
	for claim, want := range map[string]string{"sub": "eve", "team": "red", "role": "webpubsub.sendToGroup"} {
		if got := connect.list("claims", claim); !slices.Equal(got, []string{want}) {
			t.Errorf("claim %s is %q, want %q", claim, got, want)
		}
	}
	if message := awaitEvent(t, log, "message", ""); message.context("userId") != "eve" {
		t.Errorf("the message came from %v", message.context("userId"))
	}
	for _, place := range []string{log.String(), g.Log.String()} {
		if strings.Contains(place, token) {
			t.Errorf("the token is in\n%s", place)
		}
	}
}

// sign makes a token.
func sign(t *testing.T, key string, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestKeysAreRotatedByReloads(t *testing.T) {
	const older, newer = "older-access-key-0123456789", "newer-access-key-0123456789"
	keyed := func(keys string) string {
		return "keys: [" + keys + "]\nhubs: {default: {upstream: {url: 'echo:'}}}\n"
	}
	g := gatewaytest.Launch(t, keyed(older))
	expect := func(key string, accepted bool) {
		t.Helper()
		url := "ws://" + g.Address + "/client/hubs/default"
		token := sign(t, key, jwt.MapClaims{"sub": "ann", "aud": url, "exp": time.Now().Add(time.Hour).Unix()})
		conn, response, err := websocket.Dial(t.Context(), url, bearer(token))
		switch {
		case err == nil:
			conn.CloseNow()
		case response == nil || response.StatusCode != http.StatusUnauthorized:
			t.Fatalf("dial: %v, %v", response, err)
		}
		if (err == nil) != accepted {
			t.Errorf("a token of %s: accepted %t, want %t", key, err == nil, accepted)
		}
	}
	expect(older, true)
	expect(newer, false)
	held := sign(t, older, jwt.MapClaims{"sub": "bob", "aud": "http://" + g.Address + "/client/hubs/default", "exp": time.Now().Add(time.Hour).Unix()})
	conn, _, err := websocket.Dial(t.Context(), "ws://"+g.Address+"/client/hubs/default?access_token="+held, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for i, step := range []struct {
		keys         string
		older, newer bool
	}{{newer + ", " + older, true, true}, {newer, false, true}} {
		g.Configure(t, keyed(step.keys))
		g.Signal(t, syscall.SIGHUP)
		seen := 0
		g.Log.Find(t, "another reload", func(e gatewaytest.Entry) bool {
			if e.Text("msg") == "configuration reloaded" {
				seen++
			}
			return seen > i
		})
		expect(older, step.older)
		expect(newer, step.newer)
	}
	gatewaytest.Echo(t, conn, "here since the older key")
}

func bearer(token string) *websocket.DialOptions {
	return &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}}
}

func TestAnExpressSDKThatWantsNoEventsFromHereGetsNone(t *testing.T) {
	address, log := express(t, "ENDPOINTS=https://one.example,https://two.example")
	g := gatewaytest.Launch(t, backed(address)+"endpoint: https://three.example\n")
	if _, response, err := websocket.Dial(t.Context(), g.URL()+"?id=ann", nil); err == nil || response == nil || response.StatusCode != http.StatusBadGateway {
		t.Errorf("a client of a backend that wants no events got %v, %v", response, err)
	}
	if strings.Contains(log.String(), `"connect"`) {
		t.Error("an event was sent")
	}
	allowed := gatewaytest.Launch(t, backed(address)+"endpoint: https://two.example\n")
	conn, _, err := websocket.Dial(t.Context(), allowed.URL()+"?id=ann", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	exchange(t, conn, websocket.MessageText, "hello", websocket.MessageText, "hello")
}

func TestThePublishedSDKPushes(t *testing.T) {
	g := gatewaytest.Launch(t, "keys: ["+accessKey+"]\n")
	for _, scenario := range []string{
		"send", "selection", "names", "groups", "pages", "existence", "closing", "permissions", "tokens",
	} {
		t.Run(scenario, func(t *testing.T) { node(t, "pusher.js", scenario, "http://"+g.Address, accessKey) })
	}
	if strings.Contains(g.Log.String(), "access_token=ey") {
		t.Error("a token is in the log")
	}
}

func TestAPageWithATokenOfTheSDKIsPushedTo(t *testing.T) {
	chromium := gatewaytest.Program(t, "chromium")
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>page</title>")
	}))
	defer page.Close()
	g := gatewaytest.Launch(t, fmt.Sprintf("keys: [%s]\nhubs: {default: {upstream: {url: 'echo:'}, origins: [%q]}}\n", accessKey, page.URL))
	node(t, "pushed.js", chromium, "http://"+g.Address, accessKey, page.URL)
}
