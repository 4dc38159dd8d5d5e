package gateway

import (
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/session"
)

// When the buffers are full of messages that do not end, those who hold them
// pay, the heaviest first, and not who sends next.
func TestWhoHoldsTheBuffersPaysForThem(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		n := start(t, func(cfg *config.Config) {
			cfg.Loops = loops
			cfg.Limits.Buffered = 16 * config.MiB
			cfg.Limits.MessageAge = config.Duration(patience)
		})
		stranger, light := n.dial(), n.dial()
		long := session.AppendMasked(nil, ws.OpBinary, make([]byte, 200<<10), testMask)
		light.send(long[:1000])
		var holders []*peer
		for range 300 {
			holders = append(holders, n.dial())
		}
		for _, p := range holders {
			p.Write(long[:60<<10])
		}
		eventually(t, "some are closed for what they hold", func() bool {
			return n.relieved() > 0
		})
		// Half a message needs a buffer.
		half := text("whole in the end")
		for range 20 {
			stranger.send(half[:8])
			stranger.send(half[8:])
			stranger.want(ws.OpText, "whole in the end")
		}
		light.send(long[1000:])
		if f, err := light.frame(); err != nil || f.Header.OpCode != ws.OpBinary || len(f.Payload) != 200<<10 {
			t.Errorf("the light one got %v, %v", f.Header, err)
		}
		stranger.Close()
		light.Close()
		told := 0
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i, p := range holders {
			wg.Go(func() {
				if i%2 == 0 {
					p.Conn.Close() // those who are still there
					return
				}
				p.Write(long[60<<10:])
				for {
					f, err := p.frame()
					if err != nil {
						t.Errorf("holder %d: %v", i, err)
						return
					}
					if f.Header.OpCode == ws.OpClose {
						if code, _ := ws.ParseCloseFrameData(f.Payload); code == session.StatusTryAgainLater {
							mu.Lock()
							told++
							mu.Unlock()
						}
						return
					}
					if f.Header.OpCode == ws.OpBinary {
						return
					}
				}
			})
		}
		wg.Wait()
		if told == 0 {
			t.Error("no holder was told to try again later")
		}
		for _, p := range holders {
			p.Close()
		}
		n.settled()
	})
}

var reliefLine = regexp.MustCompile(`closed=(\d+) slots_visited=(\d+)`)

// relieved is how many clients reliefs have closed.
func (n *node) relieved() (closed int) {
	for _, m := range reliefLine.FindAllStringSubmatch(n.log.String(), -1) {
		k, _ := strconv.Atoi(m[1])
		closed += k
	}
	return closed
}

// A sender that finds no buffer is held until there is one.
func TestSenderWaitsForABuffer(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		n := start(t, func(cfg *config.Config) {
			cfg.Loops = loops
			cfg.Limits.Buffered = 64 * config.KiB
		})
		p, neighbour := n.dial(), n.dial()
		used := n.budget.Limit() - n.budget.Used()
		n.budget.Take(int(used))
		p.send(text("half a message")[:9])
		n.awaits("it is held", func(c *client) bool { return c.Holding() })
		neighbour.send(text("whole"))
		neighbour.want(ws.OpText, "whole")
		n.budget.Give(int(used))
		p.send(text("half a message")[9:], text("more"))
		p.want(ws.OpText, "half a message")
		p.want(ws.OpText, "more")
		p.Close()
		neighbour.Close()
		n.settled()
	})
}

// However many do not read, a relief looks at each a few times at most, and
// closes as many as are needed, the heaviest ones.
func TestReliefLooksAtEachClientAFewTimes(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		const clients = 20_000
		log := new(gatewaytest.Log)
		g := unserved(t, gatewaytest.Config(func(cfg *config.Config) { cfg.Loops = loops }), log.Logger())
		defer g.Close()
		weights := make(map[uint32]int)
		for i, l := range g.loops {
			l.do(func(l *loop) {
				for j := range clients / loops {
					c := l.sham(g.settings.Load().hubs.Named("default"))
					size := 1 + j%64
					if i == 0 {
						weights[c.Slot()] = size
					}
					l.Write(c.Stream, ws.OpBinary, make([]byte, size*100))
					l.Flush(c.Stream)
				}
			})
		}
		used := g.budget.Used()
		g.budget.SetLimit(used)
		g.relieve()
		eventually(t, "the relief has ended", func() bool { return !g.relieving.Load() })
		if now := g.budget.Used(); now > used/8*7 || now < used/8*5 {
			t.Errorf("%d of %d bytes are left, want about 7 in 8", now, used)
		}
		m := reliefLine.FindStringSubmatch(log.String())
		if m == nil {
			t.Fatalf("no relief in the log: %s", log)
		}
		if visited, _ := strconv.Atoi(m[2]); visited > 8*(clients+loops*engine.Chunk) {
			t.Errorf("%d slots visited for %d clients", visited, clients)
		}
		heaviest, lightest := 0, 64
		g.loops[0].do(func(l *loop) {
			l.all(func(c *client) {
				if w := weights[c.Slot()]; c.State() == engine.Open {
					heaviest = max(heaviest, w)
				} else {
					lightest = min(lightest, w)
				}
			})
		})
		if lightest < heaviest*3/4 {
			t.Errorf("one of weight %d was closed, one of %d was not", lightest, heaviest)
		}
	})
}
