package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"sluice/gateway/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs the command until the test ends, and returns where.
func serve(t *testing.T) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	addr, ended := make(chan netip.AddrPort, 1), make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"SLUICE_LISTEN=127.0.0.1:0"}, slog.New(slog.DiscardHandler), func(a netip.AddrPort) { addr <- a })
	}()
	t.Cleanup(cancel)
	select {
	case err := <-ended:
		t.Fatal(err)
		return ""
	case a := <-addr:
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		return "ws://" + a.String() + "/"
	}
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func say(t *testing.T, c *websocket.Conn, s string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(s)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c *websocket.Conn, want string) {
	t.Helper()
	_, got, err := c.Read(t.Context())
	if err != nil || string(got) != want {
		t.Fatalf("got %.40q and error %v, want %q", got, err, want)
	}
}

func TestBroadcastReachesEverybodyAndTheRestIsEchoed(t *testing.T) {
	url := serve(t)
	one, other := dial(t, url), dial(t, url)
	for _, c := range []*websocket.Conn{one, other} {
		for _, s := range []string{"hello", "broadcast", "broadcast -1", "broadcast 1048577", "broadcast much"} {
			say(t, c, s)
			hear(t, c, s)
		}
	}
	say(t, one, "broadcast 5")
	hear(t, one, "bbbbb")
	hear(t, other, "bbbbb")
}

func TestBinaryMessageAsksForNothing(t *testing.T) {
	ev := &upstream.Event{Type: upstream.Message, Op: ws.OpBinary, Data: []byte("broadcast 5")}
	r, inline := newPushing().Send(ev, nil)
	if !inline || r.Op != ws.OpBinary || !bytes.Equal(r.Data, ev.Data) {
		t.Errorf("answered %v with %+v", inline, r)
	}
}

func TestTooManyBroadcastsAreRefused(t *testing.T) {
	p := newPushing() // and nobody who works them off
	ev := &upstream.Event{Type: upstream.Message, Op: ws.OpText, Data: []byte("broadcast 5")}
	for i := range waiting + 1 {
		want := ws.StatusCode(0)
		if i == waiting {
			want = tryAgainLater
		}
		if r, inline := p.Send(ev, nil); !inline || r.Op != 0 || r.Close != want {
			t.Errorf("request %d: answered %v with %+v", i+1, inline, r)
		}
	}
}
