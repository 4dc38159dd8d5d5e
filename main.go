// The sluice command: a self-hosted WebSocket gateway.
//
// Its exit status is 0 after a normal end, a drain included; 1 after a failure;
// 2 when the command line or the configuration is wrong; 3 when a drain was cut
// short and connections with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"sluice/gateway"
	"sluice/gateway/admin"
	"sluice/gateway/config"
	"sluice/gateway/dial"
	"sluice/gateway/doctor"
	"sluice/gateway/notify"
	"sluice/gateway/remote"
	"sluice/gateway/trace"
	"sluice/gateway/upstream/echo"
	"sluice/gateway/upstream/webhook"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal is not ours to catch, unless somebody else does
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sluice:", err)
	}
	os.Exit(status(err))
}

// usageError is an error of the command line or the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func status(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	case errors.Is(err, gateway.ErrCut):
		return 3
	}
	return 1
}

const usage = `Sluice is a WebSocket gateway.

  sluice [-config FILE]           serve
  sluice check [-print] [FILE]    validate a configuration
  sluice doctor [-config FILE]    how many connections this host holds, and what binds first
  sluice dial [FLAGS] URL         talk to a WebSocket server; sluice dial -h for more
  sluice token [FLAGS]            make the URL of a client, or a token for the data plane
  sluice send [FLAGS] [MESSAGE]   push a message to connections
  sluice close [FLAGS]            close connections
  sluice connections [FLAGS]      list connections
  sluice version

SLUICE_... variables override the file. SIGHUP reloads it; SIGTERM or SIGINT
drains, and a second one ends at once.

Exit status: 0 normal end, 1 failure, 2 wrong command line or configuration,
3 a drain was cut short.
`

// run is the command. ctx ends at the first signal that asks for the end.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	name := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	switch name {
	case "dial":
		err := dial.Run(ctx, args, stdin, stdout, stderr)
		if errors.Is(err, dial.ErrUsage) {
			return usageError{err}
		}
		return err
	case "token", "send", "close", "connections":
		err := remote.Run(ctx, append([]string{name}, args...), stdin, stdout, stderr, os.Environ())
		if errors.Is(err, remote.ErrUsage) {
			return usageError{err}
		}
		return err
	case "check":
		return check(args, stdout)
	case "doctor":
		return examine(args, stdout)
	case "version":
		if err := parse(flags("version"), args, 0, stdout); err != nil {
			return ignoreHelp(err)
		}
		v := version()
		_, err := fmt.Fprintf(stdout, "sluice %s (%s) %s %s/%s\n", v.Version, v.Revision, v.GoVersion, runtime.GOOS, runtime.GOARCH)
		return err
	case "", "serve":
		fs := flags("sluice")
		file := fs.String("config", "", "configuration file")
		if err := parse(fs, args, 0, stdout); err != nil {
			return ignoreHelp(err)
		}
		return serve(ctx, *file, stderr)
	}
	return usageError{fmt.Errorf("unknown command %q; sluice -h shows what there is", name)}
}

func flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// parse parses args, of which at most operands may be no flags.
func parse(fs *flag.FlagSet, args []string, operands int, stdout io.Writer) error {
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(stdout, usage)
		return err
	case err != nil:
		return usageError{err}
	case fs.NArg() > operands:
		return usageError{fmt.Errorf("%s: unexpected argument %q", fs.Name(), fs.Arg(operands))}
	}
	return nil
}

func ignoreHelp(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

// load reads the configuration.
func load(file string) (*config.Config, error) {
	return config.Load(file, os.Environ(), "http", "https")
}

func check(args []string, stdout io.Writer) error {
	fs := flags("check")
	show := fs.Bool("print", false, "print the configuration with every default")
	file := fs.String("config", "", "configuration file")
	if err := parse(fs, args, 1, stdout); err != nil {
		return ignoreHelp(err)
	}
	if fs.NArg() == 1 {
		*file = fs.Arg(0)
	}
	cfg, err := load(*file)
	if err != nil {
		return usageError{err}
	}
	if *show {
		return cfg.WriteYAML(stdout)
	}
	_, err = fmt.Fprintln(stdout, "ok")
	return err
}

func examine(args []string, stdout io.Writer) error {
	fs := flags("doctor")
	file := fs.String("config", "", "configuration file")
	if err := parse(fs, args, 0, stdout); err != nil {
		return ignoreHelp(err)
	}
	cfg, err := load(*file)
	if err != nil {
		return usageError{err}
	}
	o := doctor.Options{Want: cfg.Limits.Connections}
	if _, hard, err := netpoll.DescriptorLimit(); err == nil {
		o.Descriptors = func() (soft, most uint64, err error) { return hard, hard, nil } // serving raises it
		shares := *cfg
		shares.Limits.Connections = 0 // how many there could be
		o.Reserve = int(hard) - gateway.ShareDescriptors(hard, &shares).Connections
	}
	return doctor.Run(stdout, o)
}

// version says what was built.
func version() metrics.Options {
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

// serve runs the gateway until ctx ends, and then drains it.
func serve(ctx context.Context, file string, stderr io.Writer) error {
	// From the first line of the log on: until somebody listens, it ends the process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	cfg, err := load(file)
	if err != nil {
		return usageError{err}
	}
	var level slog.LevelVar
	log := newLog(stderr, cfg, &level)
	memory := limitMemory(log)

	v := version()
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
		Schemes:  map[string]gateway.Open{"echo": echo.Open, "http": webhook.Open, "https": webhook.Open},
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

	r := &reloader{file: file, gateway: g, log: log, level: &level}
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
		case <-ctx.Done():
			tell(log, supervisor.Stopping)
			err := drain(g, log)
			<-served
			return err
		}
	}
}

// openTracer returns what traces handshakes and events, nil if that is not
// wanted.
func openTracer(cfg *config.Config, set *metrics.Set, log *slog.Logger, version string) (*trace.Tracer, error) {
	if cfg.Trace.Endpoint == "" {
		return nil, nil
	}
	t, err := trace.New(trace.Options{Endpoint: cfg.Trace.Endpoint, Sample: cfg.Trace.Sample, Version: version, Log: log})
	if err != nil {
		return nil, err
	}
	set.GaugeFunc("sluice_trace_queue_spans", "Spans that wait to be sent to the collector of traces.",
		func() float64 { return float64(t.Counts().Waiting) })
	set.CounterFunc("sluice_trace_spans_exported_total", "Spans that the collector of traces has taken.",
		func() float64 { return float64(t.Counts().Exported) })
	set.CounterFunc("sluice_trace_spans_dropped_total", "Spans for which the queue had no room, or that the collector of traces did not take.",
		func() float64 { return float64(t.Counts().Dropped) })
	return t, nil
}

// closeTracer sends the last spans, if that does not take long.
func closeTracer(t *trace.Tracer, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.Warn("the last traces were not sent", "err", err)
	}
}

// tell tells the service manager something.
func tell(log *slog.Logger, what func() error) {
	if err := what(); err != nil {
		log.Warn("the service manager was not told", "err", err)
	}
}

// drain takes g out of service. Another signal cuts it short.
func drain(g *gateway.Gateway, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := g.Shutdown(ctx)
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	log.Info("drained")
	return nil
}

// newLog writes text to a terminal and JSON elsewhere.
func newLog(w io.Writer, cfg *config.Config, level *slog.LevelVar) *slog.Logger {
	level.UnmarshalText([]byte(cfg.Log.Level)) // validated with the rest
	o := &slog.HandlerOptions{Level: level}
	f, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	if cfg.Log.Format == "text" || cfg.Log.Format == "auto" && terminal {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// limitMemory lets the Go runtime know what the container or the machine has,
// unless GOMEMLIMIT says otherwise, and returns the limit in bytes.
func limitMemory(log *slog.Logger) int64 {
	limit := debug.SetMemoryLimit(-1)
	if limit != math.MaxInt64 {
		return limit
	}
	total, source := doctor.MemoryLimit(os.DirFS("/"))
	if total <= 0 {
		log.Warn("memory limit unknown, assuming 1 GiB")
		return 1 << 30
	}
	limit = total / 10 * 9
	debug.SetMemoryLimit(limit)
	log.Debug("memory limit", "bytes", limit, "source", source)
	return limit
}

// serveAdmin starts the private listener, if there is to be one. inForce is the
// configuration, which reloads change.
func serveAdmin(inForce *atomic.Pointer[config.Config], g *gateway.Gateway, set *metrics.Set, log *slog.Logger, v metrics.Options) (closeIt func(), err error) {
	listen := inForce.Load().Admin
	if listen.Off() {
		return func() {}, nil
	}
	registry := metrics.NewRegistry(set)
	ln, err := net.Listen("tcp", listen.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	server := &http.Server{
		Handler: admin.Handler(admin.Options{
			Gatherer:  registry,
			Ready:     g.Ready,
			Info:      "sluice " + v.Version,
			Hosts:     func() []string { return inForce.Load().Admin.Hosts },
			Hubs:      func() []admin.Hub { return consoleHubs(inForce.Load()) },
			Node:      g,
			Authorize: g.Authorize,
			API:       g.API(),
			Clients:   g.Addr(),
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin listener failed", "err", err)
		}
	}()
	log.Info("admin listening", "addr", ln.Addr().String())
	return func() {
		server.Close()
		<-done
	}, nil
}

// consoleHubs is what the console is told of the hubs.
func consoleHubs(cfg *config.Config) []admin.Hub {
	var hubs []admin.Hub
	for _, name := range slices.Sorted(maps.Keys(cfg.Hubs)) {
		h := cfg.Hubs[name]
		scheme, _, _ := strings.Cut(h.Upstream.URL, ":")
		hubs = append(hubs, admin.Hub{
			Name:         name,
			Paths:        append(slices.Clone(h.Paths), "/client/hubs/"+name),
			Upstream:     scheme,
			Subprotocols: h.Subprotocols,
			Anonymous:    h.Anonymous,
			Keyed:        len(cfg.APIKeys)+len(cfg.Keys)+len(h.Keys) > 0,
		})
	}
	return hubs
}

// reloader puts the configuration file into force again when it is told to.
type reloader struct {
	file    string
	cfg     atomic.Pointer[config.Config] // what is in force
	gateway *gateway.Gateway
	log     *slog.Logger
	level   *slog.LevelVar
	ok      atomic.Bool
}

// reload reads the file. All of it comes into force, or nothing.
func (r *reloader) reload() {
	next, err := load(r.file)
	if err == nil {
		if restart := r.cfg.Load().Changes(next); len(restart) > 0 {
			err = fmt.Errorf("only a restart can change %s", strings.Join(restart, ", "))
		}
	}
	if err == nil {
		err = r.gateway.Reload(next)
	}
	r.ok.Store(err == nil)
	if err != nil {
		r.log.Error("configuration not reloaded, the running one stays in force", "err", err)
		return
	}
	r.cfg.Store(next)
	r.level.UnmarshalText([]byte(next.Log.Level))
	r.log.Info("configuration reloaded")
}

// successful is the metric of the last reload.
func (r *reloader) successful() float64 {
	if r.ok.Load() {
		return 1
	}
	return 0
}
