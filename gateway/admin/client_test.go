package admin_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/gobwas/ws"

	"sluice/gateway/delivery"
	"sluice/gateway/gatewaytest"
)

// seen is an event as the page gets it.
type seen struct {
	Time                float64
	Event, Text, Binary string
	Bytes, Code         int
	Took                float64
}

// try opens the console's client of a hub with a first command.
func (n *node) try(hub string, connect map[string]any) *websocket.Conn {
	n.t.Helper()
	page, _, err := websocket.Dial(n.t.Context(), n.console.URL+"/console/hubs/"+hub+"/client",
		&websocket.DialOptions{HTTPHeader: http.Header{"Origin": {n.console.URL}}})
	if err != nil {
		n.t.Fatal(err)
	}
	page.SetReadLimit(1 << 20)
	n.t.Cleanup(func() { page.CloseNow() })
	connect["do"] = "connect"
	n.tell(page, connect)
	return page
}

func (n *node) tell(page *websocket.Conn, command map[string]any) {
	n.t.Helper()
	if err := wsjson.Write(n.t.Context(), page, command); err != nil {
		n.t.Fatal(err)
	}
}

// next returns the next event of a name, and passes others over.
func (n *node) next(page *websocket.Conn, name string) seen {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), gatewaytest.Patience)
	defer cancel()
	for {
		var e seen
		if err := wsjson.Read(ctx, page, &e); err != nil {
			n.t.Fatalf("no %s: %v", name, err)
		}
		if e.Event == name {
			if age := time.Since(time.UnixMicro(int64(e.Time * 1000))); age < 0 || age > gatewaytest.Patience {
				n.t.Errorf("%s is %v old", name, age)
			}
			return e
		}
	}
}

func TestTheClientShowsWhatHappens(t *testing.T) {
	n := start(t)
	page := n.try("keyed", map[string]any{"path": "/client/hubs/keyed", "query": "x=1", "subprotocols": []string{"other", "chat.v1"}})
	if e := n.next(page, "open"); e.Code != 101 || e.Text != "chat.v1" || e.Took <= 0 {
		t.Errorf("open is %+v", e)
	}
	n.tell(page, map[string]any{"do": "send", "text": "grüße"})
	for _, name := range []string{"sent", "received"} {
		if e := n.next(page, name); e.Text != "grüße" || e.Bytes != len("grüße") {
			t.Errorf("%s is %+v", name, e)
		}
	}
	n.tell(page, map[string]any{"do": "ping"})
	if e := n.next(page, "pong received"); e.Took <= 0 {
		t.Errorf("pong is %+v", e)
	}
	n.next(page, "ping received") // the gateway's heartbeat
	n.next(page, "pong sent")

	long := strings.Repeat("x", 20_000)
	n.tell(page, map[string]any{"do": "send", "text": long})
	if e := n.next(page, "received"); e.Bytes != 20_000 || e.Text != long[:16<<10] {
		t.Errorf("a long message is %d bytes, of which %d are told", e.Bytes, len(e.Text))
	}
	all := delivery.Target{Hub: "keyed"}
	if _, err := n.Do(t.Context(), all, delivery.Send{Op: ws.OpBinary, Data: []byte("\x00\xff")}); err != nil {
		t.Fatal(err)
	}
	if e := n.next(page, "received"); e.Binary != base64.StdEncoding.EncodeToString([]byte("\x00\xff")) || e.Bytes != 2 {
		t.Errorf("binary is %+v", e)
	}
	n.tell(page, map[string]any{"do": "dance"})
	n.next(page, "failed")
	if _, err := n.Do(t.Context(), all, delivery.Close{Reason: "bye"}); err != nil {
		t.Fatal(err)
	}
	if e := n.next(page, "closed"); e.Code != 1000 || e.Text != "bye" {
		t.Errorf("closed is %+v", e)
	}
	if _, _, err := page.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the page's connection ended with %v", err)
	}
}

func TestTheClientClosesAsItIsTold(t *testing.T) {
	n := start(t)
	page := n.try("open", map[string]any{"path": "/client/hubs/open"})
	n.next(page, "open")
	n.tell(page, map[string]any{"do": "close", "code": 4321, "reason": "enough"})
	if e := n.next(page, "close sent"); e.Code != 4321 || e.Text != "enough" {
		t.Errorf("close is %+v", e)
	}
	if e := n.next(page, "closed"); e.Code != 4321 {
		t.Errorf("closed is %+v", e)
	}
	n.await("sluice_connections", 0)
}

func TestTheClientEndsWithItsPage(t *testing.T) {
	n := start(t)
	page := n.try("open", map[string]any{"path": "/client/hubs/open"})
	n.next(page, "open")
	n.await("sluice_connections", 1)
	page.CloseNow()
	n.await("sluice_connections", 0)
}

func TestTheClientSaysWhyItWasRefused(t *testing.T) {
	n := start(t)
	page := n.try("keyed", map[string]any{"path": "/client/hubs/keyed", "token": "nonsense"})
	if e := n.next(page, "refused"); e.Code != http.StatusUnauthorized || e.Text == "" {
		t.Errorf("a bad token is %+v", e)
	}
	page = n.try("keyed", map[string]any{"path": "/client/hubs/open"})
	if e := n.next(page, "refused"); e.Code != 0 || e.Text == "" {
		t.Errorf("the path of another hub is %+v", e)
	}
	page = n.try("open", map[string]any{"path": "/client/hubs/open", "query": "x y\r\nHost: evil"})
	n.next(page, "refused")
}

func TestThereAreFewClientsOfTheConsole(t *testing.T) {
	n := start(t)
	var pages []*websocket.Conn
	for range 16 {
		page := n.try("open", map[string]any{"path": "/client/hubs/open"})
		n.next(page, "open")
		pages = append(pages, page)
	}
	options := &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {n.console.URL}}}
	target := n.console.URL + "/console/hubs/open/client"
	if _, response, err := websocket.Dial(t.Context(), target, options); err == nil || response == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: %v, %v", response, err)
	}
	for _, page := range pages {
		page.CloseNow()
	}
	n.await("sluice_connections", 0)
}
