package main

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"

	"github.com/gobwas/ws"

	"sluice/gateway"
	"sluice/gateway/delivery"
	"sluice/gateway/upstream"
	"sluice/gateway/upstream/echo"
	"sluice/session"
)

// pushing is echo that can be asked for broadcasts.
type pushing struct {
	echo.Upstream
	asked chan int // for so many bytes
}

func newPushing() *pushing { return &pushing{asked: make(chan int, waiting)} }

// tryAgainLater is the close code of an overloaded server (IANA WebSocket Close Code Number Registry).
const tryAgainLater = session.StatusTryAgainLater

// Send never blocks the loop that calls it: who asks for more broadcasts than may wait is closed.
func (p *pushing) Send(ev *upstream.Event, late upstream.Sink) (upstream.Reply, bool) {
	n, ok := size(ev)
	if !ok {
		return p.Upstream.Send(ev, late)
	}
	select {
	case p.asked <- n:
		return upstream.Reply{}, true
	default:
		return upstream.Reply{Close: delivery.Close{Code: tryAgainLater}}, true
	}
}

// size returns how many bytes a message asks to be pushed, if that is what it asks for.
func size(ev *upstream.Event) (n int, ok bool) {
	digits, ok := bytes.CutPrefix(ev.Data, []byte("broadcast "))
	if !ok || ev.Op != ws.OpText {
		return 0, false
	}
	n, err := strconv.Atoi(string(digits))
	return n, err == nil && n >= 0 && n <= maxMessage
}

// broadcast pushes what was asked for until asked is closed.
//
// It runs beside the loops because that is where pushes come from, and because a Gateway's methods may
// not be called from a loop.
func (p *pushing) broadcast(g *gateway.Gateway, log *slog.Logger) {
	for n := range p.asked {
		message := delivery.Send{Op: ws.OpText, Data: bytes.Repeat([]byte{'b'}, n)}
		if _, err := g.Do(context.Background(), delivery.Target{Hub: "default"}, message); err != nil {
			log.Warn("not broadcast to all", "bytes", n, "err", err)
		}
	}
}
