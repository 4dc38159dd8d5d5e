// Package node runs one gateway as a process does: with a log, a limit of
// memory, metrics, the private listener and the service manager, from a
// configuration that SIGHUP reads again, until a signal asks for the end. The
// entry point is [Run].
//
// It decides nothing about clients; that is the gateway's.
package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"sluice/gateway"
	"sluice/gateway/config"
	"sluice/gateway/notify"
	"sluice/metrics"
	"sluice/session"
)

// Options say what a node runs on. All fields have to be set.
type Options struct {
	// Config is what Load returned first.
	Config *config.Config
	// Load reads the configuration again, for a reload.
	Load func() (*config.Config, error)
	// Schemes are the upstreams that there are, by the scheme of their URL.
	Schemes map[string]gateway.Open
	// Log is written to, as text if it is a terminal and as JSON otherwise,
	// unless the configuration says which.
	Log io.Writer
}

// Run serves until the first of signals, and then drains, which the second cuts
// short. It returns an error that wraps [gateway.ErrCut] if that cut anybody off.
func Run(signals <-chan os.Signal, o Options) error {
	// From the first line of the log on: until somebody listens, it ends the process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	cfg := o.Config
	var level slog.LevelVar
	log := newLog(o.Log, cfg, &level)
	memory := limitMemory(log)

	v := Version()
	v.Loops = gateway.Loops(cfg)
	v.ProtocolErrorKinds = session.Kinds()
	set := metrics.New(v)
	tracer, err := openTracer(cfg, set, log, v.Version)
	if err != nil {
		return err
	}
	defer closeTracer(tracer, log)
	g, err := gateway.New(gateway.Options{
		Config:   cfg,
		Log:      log,
		Metrics:  set,
		Schemes:  o.Schemes,
		Tracer:   tracer,
		Buffered: memory / 4,
	})
	if err != nil {
		return err
	}
	log.Info("listening", "addr", g.Addr().String(), "loops", v.Loops)
	for _, open := range cfg.Open() {
		log.Warn("open to everybody", "what", open)
	}

	r := &reloader{load: o.Load, gateway: g, log: log, level: &level}
	r.cfg.Store(cfg)
	r.ok.Store(true)
	set.GaugeFunc("sluice_config_last_reload_successful", "1 while the configuration file that was read last is in force.", r.successful)
	closeAdmin, err := serveAdmin(&r.cfg, g, set, log, v)
	if err != nil {
		g.Close()
		return err
	}
	defer closeAdmin()

	supervisor, err := notify.Open(os.Getenv)
	if err != nil {
		log.Warn("the service manager is not told anything", "err", err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve() }()
	watching, stopWatching := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() { supervisor.Watch(watching, log, g.Alive) })
	defer watch.Wait()
	defer stopWatching()
	tell(log, supervisor.Ready)
	for {
		select {
		case <-hangup:
			tell(log, supervisor.Reloading)
			r.reload()
			tell(log, supervisor.Ready)
		case err := <-served: // a loop has died: nothing can be saved
			return err
		case <-signals:
			tell(log, supervisor.Stopping)
			err := drain(g, log, signals)
			<-served
			return err
		}
	}
}

// tell tells the service manager something.
func tell(log *slog.Logger, what func() error) {
	if err := what(); err != nil {
		log.Warn("the service manager was not told", "err", err)
	}
}

// drain takes g out of service. The next of signals cuts it short.
func drain(g *gateway.Gateway, log *slog.Logger, signals <-chan os.Signal) error {
	ctx, cut := context.WithCancel(context.Background())
	over := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-signals:
			cut()
		case <-over:
		}
	})
	err := g.Shutdown(ctx)
	close(over)
	waiting.Wait()
	cut()
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	log.Info("drained")
	return nil
}

// Version says what was built.
func Version() metrics.Options {
	v := metrics.Options{Version: "devel", Revision: "unknown", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}
