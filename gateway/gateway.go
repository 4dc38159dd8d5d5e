// Package gateway is the product: it holds WebSocket sessions in a few event
// loops, takes their messages to upstreams, and delivers what comes back.
//
// [New] listens, [Gateway.Serve] serves until [Gateway.Shutdown] has drained
// the node. The files follow a frame's way: accept.go, open.go, admission.go,
// receive.go, ask.go, send.go, and ending.go; a push comes by api.go and
// deliver.go; loop.go is where they meet. What all of it
// stands on is in the packages session, which does no I/O, and netpoll, which
// does nothing else.
package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/config"
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
	log         *slog.Logger
	metrics     *metrics.Set
	tracer      *trace.Tracer
	schemes     map[string]Open
	settings    atomic.Pointer[settings]
	drainConfig atomic.Pointer[config.Drain]
	budget      *session.Budget
	relieving   atomic.Bool  // a relief is under way
	calm        atomic.Int64 // no relief is begun before that, on the node's clock
	buffered    int64
	limit       uint64 // descriptors that the process may have, looked at once
	ids         *session.IDKey
	node        uint64
	reserve     reserve
	kernel      kernel
	inherited   []listener
	addr        netip.AddrPort
	loops       []*loop
	api         http.Handler // the data plane
	http        httpServer
	returned    atomic.Uint64 // sockets that http has given back

	sessions atomic.Int64
	places   atomic.Int64 // sessions, and the handshakes that have a place already
	asking   atomic.Int64 // those handshakes
	pending  atomic.Int64 // clients that are no session: heads and verdicts awaited, refusals on their way
	draining atomic.Bool

	beside  workers
	retired sync.WaitGroup  // upstreams on their way out
	looping context.Context // ends when the loops have
	halt    context.CancelFunc
	telling context.Context // ends when upstreams are told nothing more
	hush    context.CancelFunc
	waiting context.Context // ends when a drain waits for nobody any more
	cut     context.CancelFunc

	reload      sync.Mutex
	hubs        map[string]*hub
	shutdown    sync.Once
	shutdownErr error
	ended       chan error // why Serve returns
}

// ErrClosed is what Serve returns after Shutdown or Close.
var ErrClosed = errors.New("gateway closed")

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
	var random [48]byte
	if err := k.random(random[:]); err != nil {
		return nil, err
	}
	g.ids = session.NewIDKey([32]byte(random[:32]))
	g.node = binary.LittleEndian.Uint64(random[32:])
	seed := binary.LittleEndian.Uint64(random[40:])

	if g.limit, err = k.descriptors(); err != nil {
		return nil, err
	}
	if g.reserve, err = k.reserve(); err != nil {
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
		l, err := g.newLoop(i, seed)
		if err != nil {
			g.forsake()
			return nil, err
		}
		g.loops = append(g.loops, l)
		if g.inherited == nil {
			l.entrances = []*entrance{{loop: l, listener: listeners[i]}}
			continue
		}
		for _, shared := range g.inherited {
			l.entrances = append(l.entrances, &entrance{loop: l, listener: shared})
		}
	}
	g.export()
	return g, nil
}

// newLoop makes a loop on the node's machine.
func (g *Gateway) newLoop(index int, seed uint64) (*loop, error) {
	sys, err := g.kernel.system(g.fatal)
	if err != nil {
		return nil, err
	}
	l, err := newLoop(g, index, sys, seed)
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
func (g *Gateway) listen(cfg *config.Config) ([]listener, error) {
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

// export adds the values that belong to no loop to the metrics. A scrape reads
// them without a lock.
func (g *Gateway) export() {
	gauge := func(name, help string, f func() int64) {
		g.metrics.GaugeFunc("sluice_"+name, help, func() float64 { return float64(f()) })
	}
	gauge("connections_limit", "Connections that this node accepts at most.",
		func() int64 { return g.settings.Load().connections })
	gauge("handshakes_limit", "Handshakes in flight of each kind: whose request is awaited, whose verdict is, and that were refused.",
		func() int64 { return g.settings.Load().pending })
	gauge("verifications_in_flight", "Tokens that are verified beside the loops.", g.beside.underWay)
	gauge("draining", "1 while the node leaves service.", func() int64 {
		if g.draining.Load() {
			return 1
		}
		return 0
	})
	gauge("buffered_bytes", "Bytes buffered for all clients.", g.budget.Used)
	gauge("buffered_bytes_limit", "Bytes that may be buffered for all clients.", g.budget.Limit)
	gauge("mailbox_bytes", "Bytes of pushes that wait for the fullest of the loops.", g.mailboxBytes)
	gauge("mailbox_bytes_limit", "Bytes of pushes that may wait for one loop.",
		func() int64 { return g.settings.Load().mailbox })
	gauge("http_connections", "Connections that speak plain HTTP on the clients' port.", g.http.Count)
	gauge("http_connections_limit", "Connections that may speak plain HTTP on the clients' port.",
		func() int64 { return g.settings.Load().http })
}

// mailboxBytes is what the fullest mailbox holds.
func (g *Gateway) mailboxBytes() (most int64) {
	for _, l := range g.loops {
		most = max(most, l.mail.bytes.Load())
	}
	return most
}

// uptime is the node's clock, for what is compared between loops, of which each
// has its own. Any goroutine.
func (g *Gateway) uptime() time.Duration { return g.loops[0].uptime() }

// Addr is where clients connect.
func (g *Gateway) Addr() netip.AddrPort { return g.addr }

// Ready is nil while newcomers are welcome.
func (g *Gateway) Ready() error {
	switch {
	case g.draining.Load():
		return errors.New("draining")
	case g.places.Load() >= g.settings.Load().connections:
		return errors.New("connection limit reached")
	case g.crowded():
		return errors.New("buffers almost used up")
	}
	return nil
}

// Alive is nil if every loop answers before ctx ends.
func (g *Gateway) Alive(ctx context.Context) error {
	answers := make(chan struct{}, len(g.loops))
	for _, l := range g.loops {
		answer := func(*loop) bool {
			answers <- struct{}{}
			return true
		}
		if !l.post(letter{run: answer}, 0) {
			return ErrClosed
		}
	}
	for range g.loops {
		select {
		case <-answers:
		case <-ctx.Done():
			return fmt.Errorf("a loop does not answer: %w", ctx.Err())
		}
	}
	return nil
}

// Serve serves clients. It returns [ErrClosed] after Shutdown or Close, and
// any other error when a loop has died: the process can only end then.
func (g *Gateway) Serve() error {
	for _, l := range g.loops {
		if err := l.run(); err != nil {
			g.Close()
			return err
		}
	}
	var beside sync.WaitGroup
	done := make(chan struct{})
	beside.Go(func() { returnMemory(done) })
	beside.Go(func() { g.http.Serve() })
	err := <-g.ended
	close(done)
	g.http.Close()
	beside.Wait()
	g.http.Close() // what the HTTP server has accepted beside the first
	return err
}

// fatal ends Serve: a loop cannot go on.
func (g *Gateway) fatal(err error) {
	select {
	case g.ended <- fmt.Errorf("event loop: %w", err):
	default:
	}
}

// Close cuts every connection and ends Serve, also while Shutdown waits, which
// returns then.
func (g *Gateway) Close() error {
	g.cut()
	g.shutdown.Do(func() {
		g.draining.Store(true)
		g.stop(g.waiting)
	})
	return nil
}

// stop ends the loops and what runs beside them, and reports whether it has cut
// anybody off. What upstreams have not been told yet they are told until ctx
// ends.
func (g *Gateway) stop(ctx context.Context) (cut bool) {
	defer g.hush()
	defer context.AfterFunc(ctx, g.hush)()
	for _, l := range g.loops {
		cut = l.stop() || cut
	}
	g.halt()
	cut = g.http.Shutdown(ctx) || cut
	g.http.Close() // after the loops, which hand sockets over to the last
	g.beside.close()
	for _, h := range g.settings.Load().hubs {
		g.retired.Go(func() { g.end(h.now.Load()) })
	}
	g.retired.Wait()
	g.release()
	select {
	case g.ended <- ErrClosed:
	default:
	}
	return cut
}

// release gives back what belongs to no loop.
func (g *Gateway) release() {
	if g.reserve != nil {
		g.reserve.Close()
	}
	closeAll(g.inherited)
}

func closeAll(listeners []listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// Reload puts what cfg says of hubs, limits, heartbeats and draining into
// force, for the sessions that exist too. All of it or, with an error, nothing.
// What only a restart can change is the caller's to refuse.
func (g *Gateway) Reload(cfg *config.Config) error { return g.configure(cfg) }

func (g *Gateway) configure(cfg *config.Config) error {
	g.reload.Lock()
	defer g.reload.Unlock()
	r, err := g.revise(cfg)
	if err != nil {
		return err
	}
	removed := false
	for _, hs := range g.enact(r) {
		removed = removed || hs.gone
		remaining := remainsPatience * time.Duration(hs.config.Upstream.Budget) // none if the hub is still there
		g.retire(hs, 2*time.Duration(cfg.Limits.Close)+remaining+retireTime)
	}
	drain := cfg.Drain
	g.drainConfig.Store(&drain)
	buffered := g.buffered
	if cfg.Limits.Buffered > 0 {
		buffered = int64(cfg.Limits.Buffered)
	}
	g.budget.SetLimit(buffered) // once: loops and requests take from it meanwhile
	shares := ShareDescriptors(g.limit, cfg)
	if wanted := cfg.Limits.Connections; wanted > shares.Connections {
		g.log.Warn("fewer connections than wanted: the descriptors do not reach", "wanted", wanted, "connections", shares.Connections, "descriptors", g.limit)
	}
	if removed {
		for _, l := range g.loops {
			l.closeRemovedHubs()
		}
	}
	return nil
}

// retireTime is how long what a reload has replaced is kept, beyond the time
// for an answer that is under way and for a close handshake: for loops that have just looked it up, and for the
// sessions of a hub that is gone.
const retireTime = 5 * time.Second

// retire closes what hs is done with, after some time.
func (g *Gateway) retire(hs *hubSettings, after time.Duration) {
	g.retired.Add(1)
	g.kernel.later(g.looping, after, func() {
		defer g.retired.Done()
		g.end(hs)
	})
}

// end closes the upstream of hs, and what verifies its tokens.
func (g *Gateway) end(hs *hubSettings) {
	defer g.uncount(hs)
	if hs.clients != nil {
		hs.clients.Close()
	}
	if hs.upstream == nil {
		return
	}
	ctx, cancel := context.WithTimeout(g.telling, time.Minute)
	defer cancel()
	if lost := hs.upstream.Close(ctx); lost > 0 {
		g.log.Warn("events not delivered", "hub", hs.name, "lost", lost)
	}
}

// uncount ends the series that can move no more once hs has ended: those of the
// upstream where the hub has one that is built in now, all of a hub that is
// gone.
func (g *Gateway) uncount(hs *hubSettings) {
	g.reload.Lock()
	defer g.reload.Unlock()
	if hs.hub.now.Load().traits.Inline {
		hs.hub.metrics.ExportUpstream(false)
	}
	if hs.gone {
		hs.hub.metrics.Release()
	}
}
