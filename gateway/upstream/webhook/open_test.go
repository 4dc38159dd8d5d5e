package webhook

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// sink hands the replies to a test.
type sink chan upstream.Reply

func (s sink) Reply(_ session.Ref, r upstream.Reply) { s <- r }

// What a gateway does with a hub: events go in, replies come out, and the
// farewells are delivered before it ends.
func TestAnOpenedUpstreamDeliversAndEnds(t *testing.T) {
	names := make(chan string, 10)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			allow("*")(w, r)
			return
		}
		names <- r.Header.Get("ce-eventName")
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "echo ")
		io.Copy(w, r.Body)
	}).URL
	o := options(url)
	o.Config.Validate = true
	o.Budget = session.NewBudget(1 << 20)
	o.Metrics = metrics.NewUpstream()
	u, err := Open(o)
	wantNoError(t, err)

	replies := make(sink, 1)
	ev := upstream.Event{Type: upstream.Message, Hub: o.Hub, Name: "message", Op: ws.OpText, Data: []byte("hi")}
	if _, inline := u.Send(&ev, replies); inline {
		t.Fatal("answered at once")
	}
	if r := <-replies; r.Send.Op != ws.OpText || string(r.Send.Data) != "echo hi" || r.Close.Code != 0 {
		t.Errorf("got %+v", r)
	}
	u.Send(&upstream.Event{Type: upstream.Disconnected, Hub: o.Hub, Reason: "eof"}, replies)
	if lost := u.Close(context.Background()); lost != 0 {
		t.Errorf("%d events are lost", lost)
	}
	if a, b := <-names, <-names; a != "message" || b != "disconnected" {
		t.Errorf("%s and %s have arrived", a, b)
	}
}
