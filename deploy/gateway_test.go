package deploy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"

	"sluice/gateway/gatewaytest"
)

// connect connects a client to a hub.
func connect(t *testing.T, g *gatewaytest.Command, hub string) *websocket.Conn {
	t.Helper()
	return gatewaytest.Dial(t, "ws://"+g.Address+"/client/hubs/"+hub, nil)
}

// backend answers every event with this status, and consents to be sent them.
func backend(t *testing.T, status int) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			w.Header().Set("WebHook-Allowed-Origin", "*")
			return
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server
}

// get returns a page.
func get(t *testing.T, url string) string {
	t.Helper()
	page, err := fetch(url)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func fetch(url string) (string, error) {
	status, page, err := gatewaytest.TryGet(url)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %d", url, status)
	}
	return page, err
}
