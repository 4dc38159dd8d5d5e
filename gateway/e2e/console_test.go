package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
)

// consoled has a hub with a key and one that asks a backend.
const consoled = `
keys: [` + accessKey + `]
heartbeat: {interval: 2s, timeout: 2s}
hubs:
  default:
    paths: ["/"]
    upstream: {url: "echo:"}
    anonymous: true
    subprotocols: [chat.v1]
  orders:
    anonymous: true
    upstream: {url: 'http://%s/'}
`

// visitor is a client that the console finds, and what it hears.
type visitor struct {
	heard chan string // texts
	ended chan error
}

// visit connects a user who joins a group, and listens until the end.
func visit(t *testing.T, g *gatewaytest.Command, user, group string) *visitor {
	t.Helper()
	token := sign(t, accessKey, jwt.MapClaims{
		"sub": user, "aud": "http://" + g.Address + "/client/hubs/default",
		"exp": time.Now().Add(time.Hour).Unix(), "webpubsub.group": []string{group},
	})
	conn := gatewaytest.Dial(t, g.URL(), bearer(token))
	v := &visitor{heard: make(chan string, 16), ended: make(chan error, 1)}
	go func() {
		for {
			_, data, err := conn.Read(context.Background()) // the test's end closes it
			if err != nil {
				v.ended <- err
				return
			}
			v.heard <- string(data)
		}
	}()
	return v
}

// talk has clients of two hubs send and receive until stop is called, or the
// test ends.
func talk(t *testing.T, g *gatewaytest.Command) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var talking sync.WaitGroup
	for _, path := range []string{"/", "/client/hubs/orders"} {
		conn := gatewaytest.Dial(t, "ws://"+g.Address+path, nil)
		talking.Go(func() {
			for tick := time.NewTicker(20 * time.Millisecond); ; {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if conn.Write(ctx, websocket.MessageText, []byte("talk")) != nil {
					return
				}
				if _, _, err := conn.Read(ctx); err != nil {
					return
				}
			}
		})
	}
	stop = func() {
		cancel()
		talking.Wait()
	}
	t.Cleanup(stop)
	return stop
}

func TestTheConsoleShowsTheNodeAndActsOnSessions(t *testing.T) {
	chromium := gatewaytest.Program(t, "chromium")
	g := gatewaytest.Launch(t, fmt.Sprintf(consoled, serveHooks(t, nil).address))
	ann, bob := visit(t, g, "ann", "red"), visit(t, g, "bob", "red")
	stop := talk(t, g)
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>foreign</title>")
	}))
	defer foreign.Close()

	pictures := t.TempDir()
	node(t, "console.js", chromium, "http://"+g.Admin, accessKey, foreign.URL, pictures)
	stop()

	expectText(t, ann, "hello from the console")
	select {
	case err := <-bob.ended:
		if closed := (websocket.CloseError{}); !errors.As(err, &closed) || closed.Code != 1000 || closed.Reason != "bye bob" {
			t.Errorf("bob's connection ended with %v, want 1000 and bye bob", err)
		}
	case <-time.After(gatewaytest.Patience):
		t.Error("bob was not closed")
	}
	select {
	case text := <-bob.heard:
		t.Errorf("bob heard %q", text)
	case err := <-ann.ended:
		t.Errorf("ann's connection ended with %v", err)
	default:
	}
	for _, name := range []string{"overview", "sessions", "client"} {
		for _, scheme := range []string{"light", "dark", "narrow"} {
			file := filepath.Join(pictures, name+"-"+scheme+".png")
			if info, err := os.Stat(file); err != nil || info.Size() < 5000 {
				t.Errorf("no picture: %v, %v", info, err)
			}
		}
	}
}

// expectText waits for a text that a visitor must hear.
func expectText(t *testing.T, v *visitor, want string) {
	t.Helper()
	select {
	case got := <-v.heard:
		if got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	case <-time.After(gatewaytest.Patience):
		t.Errorf("did not hear %q", want)
	}
}

func TestTheConsoleOnlyLooksWithoutAKey(t *testing.T) {
	chromium := gatewaytest.Program(t, "chromium")
	g := gatewaytest.Launch(t, "")
	conn := gatewaytest.Dial(t, g.URL(), nil)
	node(t, "console-keyless.js", chromium, "http://"+g.Admin)
	gatewaytest.Echo(t, conn, "still here")
}
