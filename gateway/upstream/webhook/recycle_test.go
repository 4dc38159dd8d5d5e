package webhook

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// replies is a Sink that counts the closes.
type replies struct {
	sync.WaitGroup
	mu     sync.Mutex
	closed int
}

func (r *replies) Reply(_ session.Ref, reply upstream.Reply) {
	r.mu.Lock()
	if reply.Close != 0 {
		r.closed++
	}
	r.mu.Unlock()
	r.Done()
}

// 300 clients speak at once, three times, to a backend of which nothing is known
// yet and which ends each connection up to 20 ms after its answer, read or not.
// Where the hub repeats resets none of them is closed, and nothing is executed
// twice. What of them is closed otherwise is logged.
func TestABackendThatRecyclesConnectionsClosesNobody(t *testing.T) {
	for _, repeat := range []bool{true, false} {
		t.Run(fmt.Sprint("repeat_reset ", repeat), func(t *testing.T) {
			arrived := ledger{seen: map[string]int{}}
			o := options(serveRaw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
				if r := readRequest(in); r != nil {
					arrived.enter(r.Header.Get("ce-id"))
					io.WriteString(c, noContent)
					time.Sleep(time.Duration(n%21) * time.Millisecond)
				}
			}))
			o.Config.RepeatReset = repeat
			o.Config.Breaker.Attempts = 1_000_000
			o.Metrics = metrics.NewUpstream()
			o.Budget = session.NewBudget(1 << 20)
			u, err := Open(o)
			wantNoError(t, err)
			defer u.Close(context.Background())
			var sink replies
			for range 3 {
				for slot := range 300 {
					sink.Add(1)
					ev := message("x").Event
					ev.From.Slot = uint32(slot)
					if _, inline := u.Send(&ev, &sink); inline {
						t.Fatal("answered at once")
					}
				}
				sink.Wait()
			}
			if repeat && sink.closed > 0 || repeat && len(arrived.seen) != 900 {
				t.Errorf("%d of 900 are closed, %d have arrived", sink.closed, len(arrived.seen))
			}
			for id, n := range arrived.seen {
				if n != 1 {
					t.Errorf("%s was executed %d times", id, n)
				}
			}
			t.Logf("%d of 900 are closed", sink.closed)
		})
	}
}
