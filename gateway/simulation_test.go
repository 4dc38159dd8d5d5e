package gateway

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/netpoll/netpolltest"
	"sluice/session"
)

var (
	simulationSeed  = flag.Int64("seed", -1, "the only `seed` to be simulated; -1: the first of them, as many as -seeds says")
	simulationSeeds = flag.Int("seeds", 60, "`number` of seeds to be simulated, for each number of loops")
	simulationOps   = flag.Int("ops", 3000, "`steps` of a simulation before its clients leave")
)

// simulation is a node in a world, with its clients and its backend.
type simulation struct {
	*Gateway
	t         *testing.T
	world     *netpolltest.World
	registry  *prometheus.Registry
	listeners []*netpolltest.Listener
	backend   *simulatedBackend
	clients   []*simulatedClient
	seed      uint64
	steps     int
	failed    bool
	stopped   bool
}

// simulate makes the world that seed decides, with so many loops.
func simulate(t *testing.T, seed uint64, loops int) *simulation {
	w := netpolltest.New(seed)
	w.Cost = 40 * time.Microsecond << w.Rand().IntN(8)
	w.Room = 200 + w.Rand().IntN(4000)
	s := &simulation{t: t, world: w, seed: seed, registry: prometheus.NewRegistry()}
	s.backend = &simulatedBackend{simulation: s, conns: make(map[session.Ref]*told), slowest: 400}
	cfg := config.Default()
	cfg.Loops = loops
	cfg.Drain = config.Drain{}
	cfg.Heartbeat = config.Heartbeat{Interval: config.Duration(2 * time.Second), Timeout: config.Duration(time.Second)}
	cfg.Limits.Message = 4 << 10
	cfg.Limits.Queue = 16 << 10
	cfg.Limits.Handshake = config.Duration(time.Second)
	cfg.Limits.Close = config.Duration(time.Second)
	cfg.Limits.QueueAge = config.Duration(3 * time.Second)
	cfg.Limits.MessageAge = config.Duration(3 * time.Second)
	hub := cfg.Hubs["default"]
	hub.Upstream.URL = "test:"
	hub.Upstream.Budget = config.Duration(3 * time.Second)
	hub.Deflate = seed%2 == 0
	cfg.Hubs["default"] = hub
	o := options(cfg, s.registry, slog.New(slog.DiscardHandler))
	o.Schemes["test"] = scheme([]upstream.Upstream{s.backend})
	g, err := newOn(&simulated{world: w}, o)
	if err != nil {
		t.Fatal(err)
	}
	s.Gateway = g
	for _, l := range g.loops {
		s.listeners = append(s.listeners, l.entrances[0].listener.(*netpolltest.Listener))
		l.post(letter{run: func(l *loop) bool {
			if err := l.begin(); err != nil {
				t.Fatal(err)
			}
			return true
		}}, 0)
	}
	return s
}

// fail ends the run with what is needed to repeat it.
func (s *simulation) fail(format string, args ...any) {
	s.t.Helper()
	s.failed = true
	s.t.Errorf("seed %d, %d loops, step %d: %s\nrepeat it with: go test ./gateway -run Simulation -seed %d -ops %d",
		s.seed, len(s.loops), s.steps, fmt.Sprintf(format, args...), s.seed, *simulationOps)
}

// run lets clients come, act and leave, and holds what must hold.
func (s *simulation) run(ops int) {
	for range 6 + s.world.Rand().IntN(10) {
		c := &simulatedClient{simulation: s}
		s.clients = append(s.clients, c)
		s.world.After(time.Duration(s.world.Rand().IntN(3000))*time.Millisecond, c.act)
	}
	s.world.After(time.Second, s.operate)
	for range ops {
		s.step()
		if s.failed {
			return
		}
	}
	s.calm()
	for _, c := range s.clients {
		c.over = true
		if c.peer != nil {
			c.peer.Reset()
		}
	}
	const rest = 200_000
	for end := s.world.Now() + time.Minute; s.world.Now() < end && s.steps < ops+rest && !s.failed; {
		s.step()
	}
	if !s.failed {
		s.ended()
	}
}

// calm lets the clients that are there hear everything out. What was sent must be answered by then, and who ended its
// direction be let go: in less time than any deadline takes to end what was forgotten.
func (s *simulation) calm() {
	s.stopped, s.backend.slowest = true, 10
	for _, c := range s.clients {
		c.calm, c.deaf = true, false
	}
	for end := s.world.Now() + 1900*time.Millisecond; s.world.Now() < end && !s.failed; {
		s.step()
	}
	for i, c := range s.clients {
		switch {
		case s.failed || c.peer == nil || !c.upgraded || c.closed:
		case c.ended:
			s.fail("client %d has ended its direction, and the gateway has not ended the other", i)
		case len(c.unsent) > 0 || c.answered < c.sent && !c.half:
			s.fail("client %d has %d bytes that it cannot send, and %d answers to %d messages", i, len(c.unsent), c.answered, c.sent)
		}
	}
}

// operate closes a connection that the backend has heard of, whether or not it is still there.
func (s *simulation) operate() {
	if n := len(s.backend.known); n > 0 {
		ref := s.backend.known[s.world.Rand().IntN(n)]
		s.backend.conns[ref].dismissed = true
		l := s.loops[ref.Loop]
		l.post(letter{run: func(l *loop) bool {
			if c := l.slab.find(ref); c != nil {
				l.dismiss(c, ws.StatusNormalClosure, metrics.ReasonBackend, "")
			}
			return true
		}}, 0)
	}
	if !s.stopped {
		s.world.After(time.Duration(s.world.Rand().IntN(2000))*time.Millisecond, s.operate)
	}
}

func (s *simulation) step() {
	defer func() {
		if v := recover(); v != nil {
			s.fail("%v", v)
		}
	}()
	s.world.Step()
	s.steps++
	for _, l := range s.loops {
		if len(l.out) > 0 {
			s.fail("loop %d keeps %d bytes of output from one callback to the next", l.index, len(l.out))
		}
	}
	if s.steps%64 == 0 {
		s.sweep()
	}
}

// sweep looks at every client of the node.
func (s *simulation) sweep() {
	open, sessions, used := len(s.listeners), int64(0), 0
	for _, l := range s.loops {
		used += l.slab.used
		silent, departing := 0, 0
		l.slab.all(func(c *client) {
			if c.state == heading {
				silent++
			}
			if c.departing() {
				departing++
			}
			if c.conn.Open() {
				open++
				if c.upgraded {
					sessions++
				}
			}
			s.look(l, c)
		})
		if silent != l.silent.waiting || departing != l.departing.waiting {
			s.fail("loop %d counts %d silent clients and %d that depart, there are %d and %d", l.index,
				l.silent.waiting, l.departing.waiting, silent, departing)
		}
	}
	if got := s.world.Open(); got != open {
		s.fail("%d descriptors are open, clients and listeners have %d", got, open)
	}
	if got := s.sessions.Load(); got != sessions {
		s.fail("the node counts %d sessions, there are %d", got, sessions)
	}
	if s.budget.Used() < 0 || s.pending.Load() < 0 || s.places.Load() < 0 || s.asking.Load() < 0 {
		s.fail("a count is negative: budget %d, pending %d, places %d, asking %d",
			s.budget.Used(), s.pending.Load(), s.places.Load(), s.asking.Load())
	}
}

// look holds what must be true of one client between two callbacks.
func (s *simulation) look(l *loop, c *client) {
	_, parting := l.partings[c]
	_, thirsty := l.thirsty.get(c)
	if (c.state == open || c.state == heading || c.state == closing || c.state == leaving) && c.conn.Open() && !l.wheel.Armed(&c.timer) && !parting {
		s.fail("slot %d, state %d: nothing will end it, no timer runs", c.timer.Slot, c.state)
	}
	if c.state == open && c.held != nil && !c.waiting && !c.writing && !thirsty && !parting {
		s.fail("slot %d holds input, and nobody will wake it", c.timer.Slot)
	}
	if c.writing != (c.Queue.Len() > 0) {
		s.fail("slot %d: writing is %t with %d bytes queued", c.timer.Slot, c.writing, c.Queue.Len())
	}
}

// ended holds what must be left of a node whose clients have all gone.
func (s *simulation) ended() {
	for _, l := range s.loops {
		if l.slab.used > 0 || len(l.stalled)+l.thirsty.len()+len(l.partings)+l.remains.len()+len(l.outlines) > 0 || l.wheel.Len() > 0 {
			s.fail("loop %d: %d slots, %d stalled, %d thirsty, %d partings, %d remains, %d outlines, %d timers are left", l.index,
				l.slab.used, len(l.stalled), l.thirsty.len(), len(l.partings), l.remains.len(), len(l.outlines), l.wheel.Len())
		}
		l.context.Pool.Trim()
	}
	if used, pending, places, asking := s.budget.Used(), s.pending.Load(), s.places.Load(), s.asking.Load(); used != 0 || pending != 0 || places != 0 || asking != 0 {
		s.fail("left: budget %d, pending %d, places %d, asking %d", used, pending, places, asking)
	}
	if open := s.world.Open(); open != len(s.listeners) {
		s.fail("%d descriptors are open, of which %d listen", open, len(s.listeners))
	}
	if n := (&node{t: s.t, registry: s.registry}).metric("sluice_panics_total"); n > 0 {
		s.fail("%v callbacks panicked", n)
	}
	for ref, c := range s.backend.conns {
		if c.accepted && !c.gone {
			s.fail("the backend was not told of the end of %v", ref)
		}
	}
}

// stop ends the loops, which nobody may wait for here.
func (s *simulation) stop() {
	for _, l := range s.loops {
		l.post(letter{run: func(l *loop) bool {
			l.end()
			return true
		}}, 0)
	}
	s.world.Settle(100_000)
	for _, l := range s.loops {
		l.release()
	}
	s.hush()
}

// simulatedBackend is the upstream of the default hub. It answers after a while, sometimes with a close.
type simulatedBackend struct {
	*simulation
	conns map[session.Ref]*told
	known []session.Ref
	// slowest is how many milliseconds an answer may take.
	slowest int
}

// told is what the backend knows of a connection.
type told struct {
	accepted, gone bool
	dismissed      bool // the operator has asked for its end
	under          bool // an event is at the backend
	next           uint32
}

func (*simulatedBackend) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Connect | upstream.Connected | upstream.Message | upstream.Disconnected}
}

func (*simulatedBackend) Close(context.Context) int { return 0 }

func (b *simulatedBackend) Send(ev *upstream.Event, late upstream.Sink) (upstream.Reply, bool) {
	c, r, from := b.conns[ev.From], b.world.Rand(), ev.From
	if c == nil {
		c = new(told)
		b.conns[from] = c
		b.known = append(b.known, from)
	}
	if c.gone || c.under && ev.Type != upstream.Disconnected {
		b.fail("%v of a connection that is gone (%t) or has another under way (%t)", ev.Type, c.gone, c.under)
	}
	reply := upstream.Reply{Outcome: metrics.OutcomeOK}
	switch ev.Type {
	case upstream.Connect:
		if r.IntN(8) == 0 {
			reply.Verdict = &upstream.Verdict{Status: 403}
		} else {
			c.accepted = true
		}
	case upstream.Message:
		n := binary.BigEndian.Uint32(ev.Data)
		if n != c.next {
			b.fail("message %d of %v, want %d", n, from, c.next)
		}
		c.next++
		reply.Send.Op, reply.Send.Data = ev.Op, append([]byte(nil), ev.Data...)
		if r.IntN(40) == 0 {
			reply = upstream.Reply{Close: delivery.Close{Code: 1011}, Outcome: metrics.OutcomeFailed}
		}
	case upstream.Disconnected:
		if !c.accepted {
			b.fail("disconnected of %v, which was not accepted", from)
		}
		if ev.Reason == metrics.ReasonBackend.String() && !c.dismissed {
			b.fail("%v was closed in another's place", from)
		}
		c.gone = true
		return reply, false
	}
	c.under = true
	b.world.After(time.Duration(r.IntN(b.slowest))*time.Millisecond, func() {
		c.under = false
		late.Reply(from, reply)
	})
	return upstream.Reply{}, false
}

func TestSimulation(t *testing.T) {
	for _, loops := range []int{1, 4} {
		first, n := uint64(0), *simulationSeeds
		if *simulationSeed >= 0 {
			first, n = uint64(*simulationSeed), 1
		}
		steps, sessions, messages, began := 0, 0, uint32(0), time.Now()
		for seed := first; seed < first+uint64(n); seed++ {
			s := simulate(t, seed, loops)
			s.run(*simulationOps)
			steps += s.steps
			for _, c := range s.backend.conns {
				messages += c.next
				sessions++
			}
			if s.failed {
				return
			}
			s.stop()
		}
		if *simulationSeed < 0 && (sessions < 10*n || messages < uint32(10*n)) {
			t.Errorf("only %d connections and %d messages: the clients do next to nothing", sessions, messages)
		}
		t.Logf("%d loops: %d seeds, %d connections, %d messages, %d steps, %.0f a second",
			loops, n, sessions, messages, steps, float64(steps)/time.Since(began).Seconds())
	}
}

// traceOf runs a seed, and returns the hash of all that has happened.
func traceOf(t *testing.T, seed uint64, loops int) uint64 {
	s := simulate(t, seed, loops)
	sum := fnv.New64a()
	s.world.Trace = func(format string, args ...any) { fmt.Fprintf(sum, format+"\n", args...) }
	s.run(*simulationOps)
	s.stop()
	return sum.Sum64()
}

func TestSimulationOfASeedRepeatsItself(t *testing.T) {
	for seed := range uint64(4) {
		if a, b := traceOf(t, seed, 4), traceOf(t, seed, 4); a != b {
			t.Errorf("seed %d: trace %x, and then %x", seed, a, b)
		}
	}
}

// Two processes have other addresses, other seeds of maps and of the runtime's
// scheduler, and other times of day.
func TestSimulationOfASeedIsTheSameInTwoProcesses(t *testing.T) {
	const child = "SIMULATION_CHILD"
	if os.Getenv(child) != "" {
		for seed := range uint64(8) {
			fmt.Printf("trace of seed %d: %x\n", seed, traceOf(t, seed, 1+int(seed%4)))
		}
		return
	}
	run := func() string {
		cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-ops", strconv.Itoa(*simulationOps))
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Join(regexp.MustCompile(`(?m)^trace of seed .*$`).FindAllString(string(out), -1), "\n")
	}
	first, second := run(), run()
	if strings.Count(first, "trace of seed") != 8 {
		t.Fatalf("a process says %q", first)
	}
	if first != second {
		t.Errorf("one process says\n%s\nand another\n%s", first, second)
	}
}
