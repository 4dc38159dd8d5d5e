// Package gateway is the product: it holds WebSocket sessions in a few event
// loops, takes their messages to upstreams, and delivers what comes back.
//
// [New] listens, [Gateway.Serve] serves until [Gateway.Shutdown] has drained the
// node: gateway.go, reload.go, serve.go, shutdown.go. A client's way is request.go,
// admission.go, open.go, ask.go, reply.go, end.go; a push comes by api.go, deliver.go
// and errand.go; loop.go and mail.go are where they meet the engine, which knows
// sockets and frames, and other goroutines. What all of it stands on is in the
// packages session, which does no I/O, and netpoll, which does nothing else.
package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/engine/transport"
	"sluice/gateway/trace"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// Options are what a Gateway is made of.
type Options struct {
	Config   *config.Config
	Log      *slog.Logger
	Metrics  *metrics.Set    // made for as many loops as the node is to have: what Loops says
	Schemes  map[string]Open // the protocols spoken to upstreams, by URL scheme
	Tracer   *trace.Tracer   // nil: nothing is traced
	Buffered int64           // bytes buffered at most for all clients, unless configured
	Identity *Identity       // nil: one of the node's own, which ends with it

	// Transport makes what clients' connections speak below HTTP; nil: they are plain.
	Transport transport.Maker
}

// Identity is what the public ids of a node's sessions are made of. Nodes of one
// cluster share the key, so that each can read the others' ids, and differ in the
// number. A process that takes over another's sessions has its identity.
type Identity struct {
	Node uint64
	Key  [32]byte
}

// Loops is how many loops cfg asks for on this machine. It is asked once, by
// who makes the metrics of a node: the answer changes with the processors that
// Go uses, as when a container is given more of them.
//
// By default it is one fewer than the processors that Go uses, at least one:
// a loop is a goroutine that is always ready to run under load, and where all
// processors have one, other goroutines wait for milliseconds.
func Loops(cfg *config.Config) int {
	if cfg.Loops > 0 {
		return cfg.Loops
	}
	return max(1, runtime.GOMAXPROCS(0)-1)
}

// Gateway is one node. Its methods may be called from any goroutine but the
// loops'.
type Gateway struct {
	// Given, or made once.
	log       *slog.Logger
	metrics   *metrics.Set
	tracer    *trace.Tracer
	schemes   map[string]Open
	kernel    kernel
	buffered  int64  // bytes, unless configured
	limit     uint64 // descriptors that the process may have, looked at once
	ids       *session.IDKey
	inherited []engine.Listener
	addr      netip.AddrPort
	loops     []*loop

	// What is configured, swapped as a whole.
	settings atomic.Pointer[settings]
	reload   sync.Mutex      // held while it is being swapped
	hubs     map[string]*hub // of the settings; reload's

	// What runs beside the loops.
	api      http.Handler // the data plane
	http     httpServer
	returned atomic.Uint64 // sockets that http has given back
	beside   workers

	// What the loops share.
	set       engine.Set
	budget    *session.Budget
	sessions  atomic.Int64
	places    atomic.Int64 // sessions, and the handshakes that have a place already
	asking    atomic.Int64 // those handshakes
	relieving atomic.Bool  // a relief is under way
	calm      atomic.Int64 // no relief is begun before that, on the node's clock

	// The end.
	draining    atomic.Bool
	shutdown    sync.Once
	shutdownErr error
	ended       chan error      // why Serve returns
	retired     sync.WaitGroup  // upstreams on their way out
	looping     context.Context // ends when the loops have
	halt        context.CancelFunc
	telling     context.Context // ends when upstreams are told nothing more
	hush        context.CancelFunc
	waiting     context.Context // ends when a drain waits for nobody any more
	cut         context.CancelFunc
}

// New makes a node and listens, on the sockets that were handed in if there
// are any. Clients wait until Serve.
func New(o Options) (*Gateway, error) { return newOn(linux{}, o) }

// newOn makes a node on a machine.
func newOn(k kernel, o Options) (_ *Gateway, err error) {
	g := &Gateway{
		kernel:   k,
		beside:   k.workers(),
		log:      o.Log,
		metrics:  o.Metrics,
		tracer:   o.Tracer,
		schemes:  o.Schemes,
		buffered: o.Buffered,
		budget:   session.NewBudget(o.Buffered),
		ended:    make(chan error, 1),
	}
	g.set.Engines, g.set.Budget, g.set.Metrics, g.set.Log = o.Metrics.Loops(), g.budget, o.Metrics, o.Log
	g.looping, g.halt = context.WithCancel(context.Background())
	g.telling, g.hush = context.WithCancel(context.Background())
	g.waiting, g.cut = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			g.halt()
			g.hush()
			g.cut()
			g.release()
		}
	}()
	var random [80]byte
	if err := k.random(random[:]); err != nil {
		return nil, err
	}
	identity := o.Identity
	if identity == nil {
		identity = &Identity{Node: binary.LittleEndian.Uint64(random[32:]), Key: [32]byte(random[:32])}
	}
	g.ids, g.set.Node = session.NewIDKey(identity.Key), identity.Node
	seed := binary.LittleEndian.Uint64(random[40:])
	g.set.Secret = [32]byte(random[48:])

	if g.limit, err = k.descriptors(); err != nil {
		return nil, err
	}
	if g.set.Reserve, err = k.reserve(); err != nil {
		return nil, err
	}
	listeners, err := g.listen(o.Config)
	if err != nil {
		return nil, err
	}
	g.addr = listeners[0].Addr()
	g.api = g.newAPI()
	g.http = k.http(g.httpOptions())
	defer func() {
		if err != nil {
			closeAll(listeners)
		}
	}()
	if err := g.configure(o.Config); err != nil {
		return nil, err
	}
	for i := range o.Metrics.Loops() {
		own := g.inherited
		if own == nil {
			own = listeners[i : i+1]
		}
		l, err := g.newLoop(i, engine.Over(own, o.Transport), seed)
		if err != nil {
			g.forsake()
			return nil, err
		}
		g.loops = append(g.loops, l)
	}
	g.export()
	return g, nil
}

// newLoop makes a loop on the node's machine.
func (g *Gateway) newLoop(index int, listeners []engine.Listener, seed uint64) (*loop, error) {
	sys, err := g.kernel.system(g.fatal)
	if err != nil {
		return nil, err
	}
	l, err := newLoop(g, index, sys, listeners, seed)
	if err != nil {
		return nil, errors.Join(err, sys.Shut())
	}
	return l, nil
}

// forsake closes what a node has that could not be made whole: the loops, and
// what its configuration has opened.
func (g *Gateway) forsake() {
	for _, l := range g.loops {
		l.stop()
	}
	g.hush() // upstreams have been sent nothing
	for _, h := range g.hubs {
		g.end(h.now.Load())
	}
}

// keepAlive is for parked sessions, whose heartbeat is suspended.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}

// listen returns a listener for each loop, or those that were handed in.
func (g *Gateway) listen(cfg *config.Config) ([]engine.Listener, error) {
	o := netpoll.Options{
		KeepAliveIdle:     keepAlive.Idle,
		KeepAliveInterval: keepAlive.Interval,
		KeepAliveCount:    keepAlive.Count,
		// For a peer that vanished with data under way. A slow one shall meet
		// the queue's limit first and be told so.
		UserTimeout: time.Duration(cfg.Limits.QueueAge+cfg.Limits.Close) + 5*time.Second,
	}
	listeners, err := g.kernel.listen(cfg.Listen, g.metrics.Loops(), o)
	if err != nil {
		return nil, err
	}
	if listeners[0].Inherited() {
		g.inherited = listeners
	}
	return listeners, nil
}
