package upstream_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// shout is a protocol of one's own: a backend that answers in capitals. One that
// needs a network returns an [upstream.Failure] where that fails, and the
// dispatcher knows what to repeat.
type shout struct{}

func (shout) Attempt(_ context.Context, c *upstream.Call) (upstream.Reply, error) {
	answer := fmt.Sprintf("%s says %q", c.User, c.Data)
	return upstream.Reply{Send: delivery.Send{Op: ws.OpText, Data: []byte(answer)}}, nil
}

func (shout) Close() {}

// loop takes the replies.
type loop chan upstream.Reply

func (l loop) Reply(_ session.Ref, r upstream.Reply) { l <- r }

func ExampleNewDispatcher() {
	set := metrics.New(metrics.Options{Loops: 1})
	d := upstream.NewDispatcher(shout{}, upstream.Options{
		Hub:     "chat",
		Config:  config.DefaultUpstream("shout:"),
		Budget:  session.NewBudget(1 << 20),
		Metrics: set.Hub("chat").Upstream(),
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	defer d.Close(context.Background())

	replies := make(loop, 1)
	d.Send(&upstream.Event{Type: upstream.Message, Name: "message", User: "ann", Op: ws.OpText, Data: []byte("hello")}, replies)
	fmt.Printf("%s\n", (<-replies).Send.Data)
	// Output: ann says "hello"
}
