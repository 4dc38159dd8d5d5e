package upstream

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/gateway/config"
	"sluice/metrics"
)

// A backend is dead and has come back elsewhere: what waits for it, in line and
// between attempts, arrives there, in its order, under its ids and within its
// budget; what is under way ends where it is.
func TestWhatWaitsMovesToTheSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(patient, func(u *config.Upstream) { u.InFlight = 3 })
		var mu sync.Mutex // of ids and arrived
		ids := map[uint32]string{}
		release := make(chan struct{})
		old := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
			mu.Lock()
			ids[c.From.Slot] = c.ID
			mu.Unlock()
			switch c.From.Slot {
			case 0: // under way until after the move, and taken
				<-release
				return Reply{}, nil
			case 1: // and failed
				<-release
				return Reply{}, failure(Unsent)
			}
			return Reply{}, &Failure{Kind: Unsent, After: 3 * time.Second, Err: context.Canceled}
		}), o.Options)
		var l loop
		began := time.Now()
		for i := range 3 { // the third rests
			send(t, old, message(i, "x"), &l)
			synctest.Wait()
		}
		const held = 200
		old.mu.Lock()
		old.schedule.config.InFlight = 2 // nothing more is begun
		old.mu.Unlock()
		for i := range held {
			send(t, old, message(3+i, "x"), &l)
		}
		send(t, old, event(Disconnected, 3+held), &l)
		time.Sleep(time.Second)

		var arrived []uint32
		n := o.Options
		n.Config.InFlight = 1
		successor := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
			mu.Lock()
			defer mu.Unlock()
			arrived = append(arrived, c.From.Slot)
			if id := ids[c.From.Slot]; id != "" && id != c.ID {
				t.Errorf("%d has another id", c.From.Slot)
			}
			return Reply{}, nil
		}), n)
		old.MoveTo(successor)
		synctest.Wait()
		send(t, old, message(1000, "x"), &l) // of a loop that has just looked it up
		synctest.Wait()
		if len(arrived) != held+2 {
			t.Fatalf("%d have arrived, want those in line", len(arrived))
		}
		last := uint32(0)
		for _, slot := range arrived {
			if slot < 3+held && slot < last {
				t.Errorf("%d came after %d", slot, last)
			} else if slot < 3+held {
				last = slot
			}
		}
		close(release)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(arrived) != held+4 {
			t.Errorf("%d have arrived, want also what rested and what failed", len(arrived))
		}
		closeAll(t, old)
		closeAll(t, successor)
		if got := l.got(); len(got) != held+4 {
			t.Errorf("%d answers", len(got))
		}
		for _, a := range l.got() {
			if a.Outcome != metrics.OutcomeOK {
				t.Errorf("%+v after %v", a.Reply, a.at.Sub(began))
			}
		}
		o.mustCount(t, 0, "waiting")
		o.mustCount(t, held+5, "requests_total", "ok")
	})
}

// The budget is that of the event, and not begun anew by a move.
func TestAMoveDoesNotProlongABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(patient)
		old := NewDispatcher(newBackend(fails(Unsent)), o.Options)
		var l loop
		began := time.Now()
		send(t, old, message(1, "x"), &l)
		for range 2 { // and on to the next
			time.Sleep(5 * time.Second)
			next := NewDispatcher(newBackend(fails(Unsent)), o.Options)
			old.MoveTo(next)
			old.Close(context.Background()) // has nothing left
			old = next
		}
		closeAll(t, old)
		if took := time.Since(began); took > time.Duration(o.Config.Budget) || took < time.Duration(o.Config.Budget-o.Config.Timeout) {
			t.Errorf("given up after %v, want the budget", took)
		}
		mustAnswer(t, &l, metrics.OutcomeFailed, 1011, 0)
	})
}
