package gateway

import (
	"flag"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine/transport/transporttest"
	"sluice/gateway/upstream"
	"sluice/netpoll/netpolltest"
	"sluice/session"
)

var (
	simulationSeed  = flag.Int64("seed", -1, "the only `seed` to be simulated; -1: the first of them, as many as -seeds says")
	simulationSeeds = flag.Int("seeds", 60, "`number` of seeds to be simulated, for each number of loops")
	simulationOps   = flag.Int("ops", 3000, "`steps` of a simulation before its clients leave")
)

// simulation is a node in a world, with its clients, its backend and its operator.
type simulation struct {
	*Gateway
	t         *testing.T
	world     *netpolltest.World
	registry  *prometheus.Registry
	config    *config.Config
	listeners []*netpolltest.Listener
	plain     *simulatedHTTP
	aside     *simulatedWorkers
	backend   *simulatedBackend
	clients   []*simulatedClient
	scrambles bool // they have a transport
	visits    []*visit
	pushes    []*push
	effects   []*effect
	wires     []*wire // by descriptor
	written   int     // messages that sockets have taken whole
	common    *session.Context
	filters   [][2]*delivery.Filter // by group: who is in it, who is not
	tight     bool                  // there is little room for buffers
	fewGroups bool
	late      time.Duration // see lateness
	halted    time.Duration
	removal   time.Duration // when a hub was removed last
	seed      uint64
	steps     int
	failed    bool
	stopped   bool
	leaving   bool // the node goes out of service
	cut       bool // a second signal has come
	empty     []<-chan struct{}
}

// simulate makes the world that seed decides, with so many loops.
func simulate(t *testing.T, seed uint64, loops int) *simulation {
	w := netpolltest.New(seed)
	w.Cost = 40 * time.Microsecond << w.Rand().IntN(8)
	w.Room = 200 + w.Rand().IntN(4000)
	s := &simulation{t: t, world: w, seed: seed, registry: prometheus.NewRegistry()}
	s.common = session.NewContext(session.NewPool(session.NewBudget(1 << 30)))
	for _, group := range groups {
		s.filters = append(s.filters, [2]*delivery.Filter{filter(t, "'"+group+"' in groups"), filter(t, "not ('"+group+"' in groups)")})
	}
	s.backend = &simulatedBackend{simulation: s, conns: make(map[session.Ref]*told), ends: make(map[string]int), slowest: 400}
	s.config = s.configuration(loops)
	o := options(s.config, s.registry, slog.New(slog.DiscardHandler))
	if s.scrambles = strings.HasPrefix(t.Name(), "TestSimulationOverATransport"); s.scrambles {
		o.Transport = &watchedMaker{s, transporttest.Scrambler{Seed: seed, Beside: func(work func()) { w.After(s.upTo(50*time.Millisecond), work) }}}
	}
	if w.Rand().IntN(2) == 0 {
		s.backend.heard, s.backend.failing = make(map[string]upstream.Reply), w.Rand().IntN(3) > 0
	}
	o.Schemes["test"] = func(o upstream.Options) (upstream.Upstream, error) {
		if s.backend.heard != nil {
			return s.backend.dispatch(o), nil
		}
		return &simulatedUpstream{simulatedBackend: s.backend}, nil
	}
	g, err := newOn(simulated{s}, o)
	if err != nil {
		t.Fatal(err)
	}
	s.Gateway = g
	for _, l := range g.loops {
		l.post(letter{run: func(l *loop) bool {
			if err := l.begin(); err != nil {
				t.Fatal(err)
			}
			return true
		}})
	}
	return s
}

func filter(t *testing.T, expression string) *delivery.Filter {
	f, err := delivery.ParseFilter(expression)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fail ends the run with what is needed to repeat it.
func (s *simulation) fail(format string, args ...any) {
	s.t.Helper()
	if s.failed {
		return // what follows may follow from it
	}
	s.failed = true
	s.t.Errorf("seed %d, %d loops, step %d: %s\nrepeat it with: go test ./gateway -run Simulation -seed %d -ops %d",
		s.seed, len(s.loops), s.steps, fmt.Sprintf(format, args...), s.seed, *simulationOps)
}

// pass lets time go by, with all that happens.
func (s *simulation) pass(d time.Duration) {
	const most = 200_000
	first := s.steps
	for end := s.world.Now() + d; s.world.Now() < end && !s.failed && s.step(); {
		if s.steps > first+most {
			s.fail("time does not go on: somebody is always busy")
		}
	}
}

// run lets clients come, act and leave, and holds what must hold.
func (s *simulation) run(ops int) {
	for range 6 + s.world.Rand().IntN(10) {
		c := &simulatedClient{simulation: s}
		s.clients = append(s.clients, c)
		s.world.After(s.upTo(3*time.Second), c.act)
	}
	s.world.After(time.Second, s.operate)
	s.world.After(time.Second, s.publish)
	if s.world.Rand().IntN(4) == 0 {
		s.world.After(3*time.Second+s.upTo(10*time.Second), s.leave)
	}
	for s.steps < ops && s.step() && !s.failed {
	}
	if s.failed {
		return
	}
	s.calm()
	for _, c := range s.clients {
		c.over = true
		if c.peer != nil {
			c.peer.Reset()
			c.gone()
		}
	}
	s.pass(time.Minute)
	if !s.failed {
		s.ended()
	}
}

// calm lets the clients that are there hear everything out. What was sent must be answered by then, and who ended its
// direction be let go: in less time than any deadline takes to end what was forgotten.
func (s *simulation) calm() {
	s.stopped, s.backend.slowest, s.world.Limit = true, 10, 0
	if s.backend.failing { // until what has failed is attempted again
		s.backend.failing = false
		s.pass(2500 * time.Millisecond)
	}
	for _, c := range s.clients {
		c.calm, c.deaf = true, false
	}
	s.pass(1900 * time.Millisecond)
	s.calmed()
}

func (s *simulation) step() (more bool) {
	defer func() {
		if v := recover(); v != nil {
			s.fail("%v\n%s", v, debug.Stack())
		}
	}()
	more = s.world.Step()
	s.steps++
	for _, l := range s.loops {
		if err := l.Idle(); err != nil {
			s.fail("loop %d: %v", l.index, err)
		}
	}
	if s.steps%64 == 0 {
		s.sweep()
	}
	return more
}

// stop ends the loops, which nobody may wait for here.
func (s *simulation) stop() {
	for _, l := range s.loops {
		l.post(letter{run: func(l *loop) bool {
			l.end()
			return true
		}})
	}
	s.world.Settle(100_000)
	for _, l := range s.loops {
		l.Shut()
	}
	s.hush()
}

func TestSimulation(t *testing.T) { testSimulation(t) }

func testSimulation(t *testing.T) {
	for _, loops := range []int{1, 4} {
		first, n := uint64(0), *simulationSeeds
		if *simulationSeed >= 0 {
			first, n = uint64(*simulationSeed), 1
		}
		if raceEnabled {
			n = min(n, 15) // one goroutine does it all
		}
		steps, sessions, messages, pushes, began := 0, 0, 0, 0, time.Now()
		for seed := first; seed < first+uint64(n); seed++ {
			s := simulate(t, seed, loops)
			s.run(*simulationOps)
			steps += s.steps
			messages += s.backend.events
			pushes += len(s.pushes)
			sessions += len(s.visits)
			if s.failed {
				return
			}
			s.stop()
		}
		if *simulationSeed < 0 && (sessions < 10*n || messages < 10*n || pushes < 10*n) {
			t.Errorf("only %d connections, %d messages and %d pushes: the clients do next to nothing", sessions, messages, pushes)
		}
		t.Logf("%d loops: %d seeds, %d connections, %d messages, %d pushes, %d steps, %.0f a second",
			loops, n, sessions, messages, pushes, steps, float64(steps)/time.Since(began).Seconds())
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
