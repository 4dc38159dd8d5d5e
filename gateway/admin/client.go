package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// A page's own WebSocket could not be the client that tries a hub: browsers hide
// pings, pongs and the answer to a refused handshake, and the gateway refuses
// the console's Origin, which is not that of the clients' port. So the client is
// here, and the page gets to know what it sees.

const (
	maxTried   = 1 << 20         // bytes of a message
	maxToShow  = 16 << 10        // of them, those that the page is told
	tryTimeout = 5 * time.Second // for a handshake, a write, or a pong
)

// command is what the page asks of its client. The first one is "connect".
type command struct {
	Do           string   `json:"do"`           // connect, send, ping or close
	Path         string   `json:"path"`         // of the hub
	Query        string   `json:"query"`        // behind the path, without its ?
	Subprotocols []string `json:"subprotocols"` // to offer
	Token        string   `json:"token"`        // to show, or ""
	Text         string   `json:"text"`         // to send
	Code         int      `json:"code"`         // to close with
	Reason       string   `json:"reason"`
}

// event is what the page is told.
type event struct {
	Time   float64 `json:"time"` // Unix milliseconds
	Event  string  `json:"event"`
	Bytes  int     `json:"bytes"`            // of the payload
	Text   string  `json:"text,omitempty"`   // the payload, or a part, if it is text
	Binary string  `json:"binary,omitempty"` // the same in base64, if it is not
	Code   int     `json:"code,omitempty"`   // of an HTTP answer or a Close frame
	Took   float64 `json:"took,omitempty"`   // milliseconds: a handshake, or a ping to its pong
}

// client is the WebSocket between the page and the client that it tries a hub
// with. It lasts until either end of either connection closes; the gateway's end
// of the one closes at latest when the gateway does.
func (c *console) client(w http.ResponseWriter, r *http.Request) {
	hub, ok := c.hub(r)
	if !ok {
		refuse(w, http.StatusNotFound, "HubNotFound", "there is no such hub")
		return
	}
	select {
	case c.clients <- struct{}{}:
		defer func() { <-c.clients }()
	default:
		refuse(w, http.StatusServiceUnavailable, "Busy", "too many of the console's clients are under way")
		return
	}
	// The guard has held the Origin against the Host already.
	page, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // it has been answered
	}
	defer page.CloseNow()
	page.SetReadLimit(2 * maxTried) // text as JSON is longer
	t := &trial{page: page}
	t.run(r.Context(), c.Clients, hub)
}

// trial is one such client.
type trial struct {
	page *websocket.Conn
	conn *websocket.Conn // to the gateway
}

// run connects as the page's first command says, and carries out those that
// follow until the connection ends, or the page goes.
func (t *trial) run(ctx context.Context, gateway netip.AddrPort, hub Hub) {
	defer t.page.Close(websocket.StatusNormalClosure, "")
	first, err := t.first(ctx)
	if err != nil {
		return
	}
	if first.Do != "connect" || !slices.Contains(hub.Paths, first.Path) {
		t.tell(ctx, event{Event: "refused", Text: "the hub has no such path"})
		return
	}
	if err := t.connect(ctx, gateway, first); err != nil {
		return
	}
	defer t.conn.CloseNow()
	gone := make(chan struct{})
	go t.obey(ctx, gone)
	t.listen(ctx)
	t.page.Close(websocket.StatusNormalClosure, "") // obey reads from it
	<-gone
}

// first waits for the page's first command.
func (t *trial) first(ctx context.Context) (c command, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	err = wsjson.Read(ctx, t.page, &c)
	return c, err
}

// connect makes the handshake with the gateway. The page is told how it ends.
func (t *trial) connect(ctx context.Context, gateway netip.AddrPort, c command) error {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", reachable(gateway).String())
	}}
	defer transport.CloseIdleConnections()
	header := http.Header{}
	if c.Token != "" {
		header.Set("Authorization", "Bearer "+c.Token)
	}
	url := "ws://" + reachable(gateway).String() + c.Path
	if c.Query != "" {
		url += "?" + c.Query
	}
	begin := time.Now()
	patience, cancel := context.WithTimeout(ctx, 2*tryTimeout) // a connect event may be asked about
	defer cancel()
	conn, response, err := websocket.Dial(patience, url, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		HTTPHeader:   header,
		Subprotocols: c.Subprotocols,
		OnPingReceived: func(ctx context.Context, payload []byte) bool {
			t.tell(ctx, message("ping received", payload, utf8.Valid(payload)))
			t.tell(ctx, message("pong sent", payload, utf8.Valid(payload)))
			return true
		},
	})
	took := milliseconds(time.Since(begin))
	if err != nil {
		refusal := event{Event: "refused", Text: "no answer: " + err.Error(), Took: took}
		if response != nil {
			body, _ := io.ReadAll(response.Body)
			refusal.Code, refusal.Text = response.StatusCode, strings.TrimSpace(strings.ToValidUTF8(string(body), "\uFFFD"))
		}
		t.tell(ctx, refusal)
		return err
	}
	conn.SetReadLimit(maxTried)
	t.conn = conn
	t.tell(ctx, event{Event: "open", Code: response.StatusCode, Text: conn.Subprotocol(), Took: took})
	return nil
}

// reachable is where a listener can be connected to from its own host.
func reachable(a netip.AddrPort) netip.AddrPort {
	switch {
	case !a.Addr().IsUnspecified():
		return a
	case a.Addr().Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
}

// listen tells the page what comes, until nothing does any more.
func (t *trial) listen(ctx context.Context) {
	for {
		kind, data, err := t.conn.Read(ctx)
		var closed websocket.CloseError
		switch {
		case err == nil:
			t.tell(ctx, message("received", data, kind == websocket.MessageText))
		case errors.As(err, &closed):
			t.tell(ctx, event{Event: "closed", Code: int(closed.Code), Text: closed.Reason})
			return
		default:
			t.tell(ctx, event{Event: "closed", Code: int(websocket.StatusAbnormalClosure), Text: "without a Close frame"})
			return
		}
	}
}

// obey does what the page says until it goes; then it ends the connection.
func (t *trial) obey(ctx context.Context, gone chan<- struct{}) {
	defer close(gone)
	for {
		var c command
		if err := wsjson.Read(ctx, t.page, &c); err != nil {
			t.conn.Close(websocket.StatusGoingAway, "")
			return
		}
		if err := t.do(ctx, c); err != nil {
			t.tell(ctx, event{Event: "failed", Text: err.Error()})
		}
	}
}

// do carries out one command.
func (t *trial) do(ctx context.Context, c command) error {
	switch c.Do {
	case "send":
		t.tell(ctx, message("sent", []byte(c.Text), true))
		ctx, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		return t.conn.Write(ctx, websocket.MessageText, []byte(c.Text))
	case "ping":
		t.tell(ctx, event{Event: "ping sent"})
		begin := time.Now()
		patience, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		if err := t.conn.Ping(patience); err != nil {
			return err
		}
		t.tell(ctx, event{Event: "pong received", Took: milliseconds(time.Since(begin))})
	case "close":
		t.tell(ctx, event{Event: "close sent", Code: c.Code, Text: c.Reason})
		return t.conn.Close(websocket.StatusCode(c.Code), c.Reason)
	default:
		return fmt.Errorf("nothing is known of %q", c.Do)
	}
	return nil
}

// tell sends an event to the page. A page that does not listen is found out by
// the next read.
func (t *trial) tell(ctx context.Context, e event) {
	e.Time = float64(time.Now().UnixMicro()) / 1000
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	wsjson.Write(ctx, t.page, e)
}

// message is the event of a payload.
func message(what string, payload []byte, text bool) event {
	e := event{Event: what, Bytes: len(payload)}
	shown := payload[:min(len(payload), maxToShow)]
	if text {
		e.Text = strings.ToValidUTF8(string(shown), "\uFFFD")
	} else {
		e.Binary = base64.StdEncoding.EncodeToString(shown)
	}
	return e
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
