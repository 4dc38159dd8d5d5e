package gateway

import (
	"fmt"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/session"
)

// While so much is buffered that no newcomers are taken, holders are closed:
// nobody can keep newcomers out by holding a little less than everything.
func TestHoldersCannotKeepNewcomersOut(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		n := start(t, func(cfg *config.Config) {
			cfg.Loops = loops
			cfg.Limits.Buffered = 16 * config.MiB
			cfg.Limits.MessageAge = config.Duration(2 * patience)
		})
		begun := session.AppendMasked(nil, ws.OpBinary, make([]byte, 200<<10), testMask)[:30<<10]
		var holders []*peer
		for range 32 {
			p := n.dial()
			p.send(begun)
			holders = append(holders, p)
		}
		n.crowd(32)
		n.dial().Close()
		for _, p := range holders {
			p.Close()
		}
		n.settled()
	})
}

// crowd waits until that many clients hold something, and makes them hold nearly
// all there is. It returns when newcomers are taken again.
func (n *node) crowd(holders int) {
	n.t.Helper()
	eventually(n.t, "all hold something", func() bool {
		holding := 0
		n.each(func(c *client) {
			if c.Burden() > 0 {
				holding++
			}
		})
		return holding == holders
	})
	n.budget.SetLimit(n.budget.Used() * 100 / 92)
	eventually(n.t, "newcomers are taken", func() bool { return !n.set.Crowded() })
}

// What those hold who are being closed counts like all else.
func TestThoseBeingClosedCannotKeepNewcomersOut(t *testing.T) {
	for _, loops := range []int{1, 4} {
		for name, end := range map[string]func(*node, []*peer){
			"by the backend": func(n *node, _ []*peer) {
				n.do(delivery.Target{Hub: "default"}, delivery.Close{})
			},
			"by themselves": func(n *node, holders []*peer) {
				for _, p := range holders {
					p.send(closeFrame(ws.StatusNormalClosure))
				}
			},
		} {
			t.Run(fmt.Sprintf("%s, %d loops", name, loops), func(t *testing.T) {
				n := start(t, func(cfg *config.Config) {
					cfg.Loops = loops
					cfg.Limits.Buffered = 16 * config.MiB
					cfg.Limits.Close = config.Duration(2 * patience)
					cfg.Limits.QueueAge = config.Duration(2 * patience)
				})
				var holders []*peer
				for range 32 {
					holders = append(holders, n.dial())
				}
				n.stuff(holders...)
				if err := n.broadcast(ws.OpBinary, make([]byte, 100<<10)); err != nil {
					t.Fatal(err)
				}
				end(n, holders)
				eventually(t, "all are being closed", func() bool {
					ending := 0
					n.each(func(c *client) {
						if c.State() == engine.Closing || c.State() == engine.Leaving {
							ending++
						}
					})
					return ending == len(holders)
				})
				n.crowd(len(holders))
				n.dial().Close()
				for _, p := range holders {
					p.Close()
				}
				n.settled()
			})
		}
	}
}
