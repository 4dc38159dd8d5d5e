package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

// asked is the hub of a backend that is asked about every client.
const asked = `
hubs:
  default:
    paths: ["/"]
    upstream:
      url: 'http://%s/'
      timeout: 500ms
      connect_budget: 1s
      breaker: {attempts: 1000000}
`

func TestEveryAnswerToConnectHasTheStatusThatTheContractSays(t *testing.T) {
	verdict := func(contentType, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", contentType)
			io.WriteString(w, body)
		}
	}
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
		}
	}
	tests := map[string]struct {
		answer func(http.ResponseWriter) // nil: there is none
		want   int
	}{
		"a user":                  {verdict("application/json", `{"userId":"ann"}`), 101},
		"a user and more":         {verdict("application/json; charset=utf-8", `{"userId":"ann","groups":["a"],"roles":[],"later":{"x":1}}`), 101},
		"nobody":                  {status(204), 401},
		"an empty verdict":        {verdict("application/json", `{}`), 401},
		"400":                     {status(400), 400},
		"401":                     {status(401), 401},
		"403":                     {status(403), 403},
		"429":                     {status(429), 429},
		"201":                     {status(201), 502},
		"302":                     {status(302), 502},
		"500":                     {status(500), 503},
		"503":                     {status(503), 503},
		"no JSON":                 {verdict("application/json", `userId=ann`), 502},
		"JSON of another shape":   {verdict("application/json", `{"userId":["ann"]}`), 502},
		"more groups than it may": {verdict("application/json", `{"userId":"ann","groups":["`+strings.Repeat(`x","`, 5000)+`"]}`), 502},
		"a user called ..":        {verdict("application/json", `{"userId":".."}`), 502},
		"a user called .":         {verdict("application/json", `{"userId":"."}`), 502},
		"a group called ..":       {verdict("application/json", `{"userId":"ann","groups":["a",".."]}`), 502},
		"10 MiB":                  {verdict("application/json", `{"userId":"`+strings.Repeat("x", 10<<20)+`"}`), 502},
		"no answer":               {nil, 503},
	}
	backend := serveHooks(t, func(w http.ResponseWriter, r *http.Request, e event) {
		if e.name != "connect" {
			reply(w, e)
			return
		}
		for name, test := range tests {
			if strings.Contains(e.body, `"`+name+`"`) {
				if test.answer == nil {
					<-r.Context().Done()
					return
				}
				test.answer(w)
			}
		}
	})
	g := gatewaytest.Launch(t, fmt.Sprintf(asked, backend.address))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			conn, response, err := websocket.Dial(t.Context(), g.URL()+"?case="+url.QueryEscape(name), nil)
			if response == nil {
				t.Fatal(err)
			}
			if err == nil {
				conn.CloseNow()
			}
			if response.StatusCode != test.want {
				t.Errorf("answered %s, want %d", response.Status, test.want)
			}
			if again := response.Header.Get("Retry-After") != ""; again != (test.want == 503) {
				t.Errorf("%d, and Retry-After is %q", test.want, response.Header.Get("Retry-After"))
			}
		})
	}
	g.AwaitMetric(t, "sluice_connections", 0)
}

// A push to a user called .. would be one to everybody. The client is told that
// the backend has failed, the log what it said, and the backend, which takes the
// client for connected, that it is gone.
func TestABackendThatGivesANameWhichURLsCannotNameIsToldOf(t *testing.T) {
	for body, want := range map[string]string{
		`{"userId":".."}`:                     "the answer to connect: userId is . or ..",
		`{"userId":"ann","groups":["a","."]}`: `the answer to connect: groups: "." is . or ..`,
	} {
		t.Run(body, func(t *testing.T) {
			backend := serveHooks(t, func(w http.ResponseWriter, _ *http.Request, e event) {
				if e.name != "connect" {
					reply(w, e)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, body)
			})
			g := gatewaytest.Launch(t, fmt.Sprintf(asked, backend.address))
			_, response, err := websocket.Dial(t.Context(), g.URL(), nil)
			if err == nil || response == nil || response.StatusCode != http.StatusBadGateway {
				t.Fatalf("%v, %v", response, err)
			}
			line := g.Log.Await(t, "the upstream has not taken an event")
			if got := line.Text("err"); !strings.Contains(got, want) || line.Text("event") != "connect" || line.Text("hub") != "default" {
				t.Errorf("the log says %v, want %q of a connect event of the hub", line, want)
			}
			expectFarewells(t, backend, 1)
			g.AwaitMetric(t, "sluice_connections", 0)
		})
	}
}

// A backend that has let a client in keeps something for it.
func TestAClientThatDoesNotWaitForItsVerdictIsToldOfAsDisconnected(t *testing.T) {
	gatewaytest.EachLoopCount(t, testImpatient)
}

func testImpatient(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	release := make(chan struct{})
	backend := serveHooks(t, func(w http.ResponseWriter, _ *http.Request, e event) {
		if e.name == "connect" {
			<-release
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"userId":"ann"}`)
			return
		}
		reply(w, e)
	})
	g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\nhubs: {default: {paths: [/], upstream: {url: 'http://%s/'}}}\n", loops, backend.address))
	conn := handshakeByHand(t, g)
	gatewaytest.EventuallyOr(t, func() string { return "no connect event" }, func() bool { return len(backend.named("connect")) == 1 })
	conn.Close()
	time.AfterFunc(100*time.Millisecond, func() { close(release) }) // before or behind the FIN, both must be right
	expectFarewells(t, backend, 1)
	if id := backend.named("connect")[0].connection; backend.named("disconnected")[0].connection != id {
		t.Errorf("%s left, %s had come", backend.named("disconnected")[0].connection, id)
	}
	g.AwaitMetric(t, "sluice_connections", 0)
}
