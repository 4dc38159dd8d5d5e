package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"sluice/gateway/gatewaytest"

	"github.com/gobwas/ws"
)

// A client that says ten messages, closes and is gone, as a load script does
// that waits for nothing: the backend gets all ten in their order, then the end.
func TestTheBackendHearsAClientThatIsGoneToTheEnd(t *testing.T) {
	const clients, messages = 20, 10
	for _, loops := range []int{1, 4} {
		for name, linger := range map[string]int{"closed": -1, "reset": 0} {
			t.Run(fmt.Sprintf("%s, %d loops", name, loops), func(t *testing.T) {
				gone := make(chan struct{})
				backend := serveHooks(t, func(w http.ResponseWriter, _ *http.Request, e event) {
					if e.name == "message" {
						<-gone // nobody is answered who is there still
					}
					reply(w, e)
				})
				g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\nhubs: {default: {paths: [/], anonymous: true, upstream: {url: 'http://%s/'}}}\n", loops, backend.address))
				for i := range clients {
					conn, _, _, err := ws.Dial(context.Background(), g.URL())
					if err != nil {
						t.Fatal(err)
					}
					var all []byte
					for m := range messages {
						all = append(all, ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(fmt.Appendf(nil, "%d %d", i, m))))...)
					}
					all = append(all, ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "done"))))...)
					if _, err := conn.Write(all); err != nil {
						t.Fatal(err)
					}
					conn.(*net.TCPConn).SetLinger(linger)
					conn.Close()
				}
				close(gone)
				expectFarewells(t, backend, clients)
				next := map[string]int{}
				for _, e := range backend.all() {
					switch e.name {
					case "message":
						if _, m, _ := strings.Cut(e.body, " "); m != fmt.Sprint(next[e.connection]) {
							t.Fatalf("%q came when it was the turn of %d", e.body, next[e.connection])
						}
						next[e.connection]++
					case "disconnected":
						if next[e.connection] != messages {
							t.Errorf("the end came after %d messages", next[e.connection])
						}
						if !strings.Contains(e.body, "client_close") {
							t.Errorf("the end is told as %s", e.body)
						}
					}
				}
			})
		}
	}
}
