package main

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"sluice/gateway"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBroadcastReachesEverybodyAndTheRestIsEchoed(t *testing.T) {
	s := gatewaytest.Start(t, open, options{[]string{"SLUICE_LISTEN=127.0.0.1:0"}, slog.New(slog.DiscardHandler)}, gateway.ErrClosed)
	url := "ws://" + s.Addr().String() + "/"
	one, other := gatewaytest.Dial(t, url, nil), gatewaytest.Dial(t, url, nil)
	for _, c := range []*websocket.Conn{one, other} {
		for _, s := range []string{"hello", "broadcast", "broadcast -1", "broadcast 1048577", "broadcast much"} {
			gatewaytest.Echo(t, c, s)
		}
	}
	gatewaytest.Send(t, one, websocket.MessageText, "broadcast 5")
	gatewaytest.Receive(t, one, websocket.MessageText, "bbbbb")
	gatewaytest.Receive(t, other, websocket.MessageText, "bbbbb")
}

func TestBinaryMessageAsksForNothing(t *testing.T) {
	ev := &upstream.Event{Type: upstream.Message, Op: ws.OpBinary, Data: []byte("broadcast 5")}
	r, inline := newPushing().Send(ev, nil)
	if !inline || r.Send.Op != ws.OpBinary || !bytes.Equal(r.Send.Data, ev.Data) {
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
		if r, inline := p.Send(ev, nil); !inline || r.Send.Op != 0 || r.Close.Code != want {
			t.Errorf("request %d: answered %v with %+v", i+1, inline, r)
		}
	}
}
