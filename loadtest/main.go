// Command loadtest measures a WebSocket server from outside: what a connection, a handshake, a
// message, a ping or a recipient of a broadcast costs it in memory and processor time, and how long
// clients wait.
//
//	go run ./loadtest echo -url ws://127.0.0.1:8080/
//	go run ./loadtest compare
//	go run ./loadtest curve
//	go run ./loadtest backend
//	go run ./loadtest bystander
//
// The first form puts one load on a server that runs already, on this machine. The second builds
// Sluice and the servers in loadtest/peers, measures them in turn on the same work, and prints a
// table; with -svg it also draws it. The third does so with one load, a fixed rate of messages on a
// few connections, beside more and more others that are idle. The fourth measures Sluice in front of
// a backend, next to bare HTTP clients that make the same requests. The fifth times a few clients'
// echoes beside strangers who send the worst that is known.
//
// It is an epoll client without a goroutine per connection, so that one process can hold what the
// server holds, and it says when it, not the server, was what limited a figure.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		usage(stderr)
		return flag.ErrHelp
	}
	switch name := args[0]; name {
	case "compare":
		return compare(ctx, args[1:], stdout, stderr)
	case "curve":
		return drawCurve(ctx, args[1:], stdout, stderr)
	case "backend":
		return measureBackend(ctx, args[1:], stdout, stderr)
	case "bystander":
		return measureBystander(ctx, args[1:], stdout, stderr)
	case workerMode:
		return work(ctx, args[1:], stdin, stdout, stderr)
	case backendServerMode:
		return serveBackend(stdin, stdout)
	case backendClientMode:
		return runBareClient(ctx, args[1:], stdin, stdout, stderr)
	default:
		for _, m := range modes() {
			if m.name == name {
				return measureOne(ctx, m, args[1:], stdout, stderr)
			}
		}
		usage(stderr)
		return fmt.Errorf("unknown mode %q", name)
	}
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: loadtest MODE [flags]   (loadtest MODE -h lists the flags)")
	for _, m := range modes() {
		fmt.Fprintf(w, "  %-10s %s\n", m.name, m.what)
	}
	fmt.Fprintf(w, "  %-10s %s\n", "compare", "Sluice and its peers in turn, on all of these")
	fmt.Fprintf(w, "  %-10s %s\n", "curve", "Sluice and its peers in turn, on sparse with more and more idle connections")
	fmt.Fprintf(w, "  %-10s %s\n", "backend", "Sluice in front of a backend, and bare HTTP clients that make the same requests")
	fmt.Fprintf(w, "  %-10s %s\n", "bystander", "what clients that do their worst do to others")
}

// Settings say what load to put on which server.
type settings struct {
	url         string
	headers     list
	sources     int
	pids        pids
	processes   int
	conns       int
	active      int
	parallel    int
	size        int
	rate        float64
	warmup      time.Duration
	duration    time.Duration
	from        int
	settle      string
	client      bool
	push        string
	pushURL     string
	pushHeaders list
	jsonFile    string
}

const (
	defaultSources = 64
	pushWord       = "broadcast"
)

// A list collects the values of a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ", ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// pids are the server's processes, separated by commas; "none" measures without them.
type pids struct {
	ids  []int
	none bool
}

func (p *pids) String() string { return "" }

func (p *pids) Set(v string) error {
	if p.none = v == "none"; p.none {
		return nil
	}
	for s := range strings.SplitSeq(v, ",") {
		id, err := strconv.Atoi(s)
		if err != nil || id <= 0 {
			return fmt.Errorf("%q is no process id", s)
		}
		p.ids = append(p.ids, id)
	}
	return nil
}

// targetFlags are those that a worker process needs too.
func (s *settings) targetFlags(f *flag.FlagSet) {
	f.StringVar(&s.url, "url", "ws://127.0.0.1:8080/", "the server's ws:// `URL`")
	f.Var(&s.headers, "header", "one more request `header`, \"Name: value\"; repeatable")
	f.IntVar(&s.sources, "sources", defaultSources, "`number` of loopback addresses to connect from; 0: the kernel chooses")
}

// flags registers all, with the mode's own defaults as they stand in s.
func (s *settings) flags(f *flag.FlagSet) {
	s.targetFlags(f)
	f.Var(&s.pids, "pid", "the server's process `ids`, comma-separated; default: who listens on the URL's port; none: do not measure it")
	f.IntVar(&s.processes, "procs", 1, "`number` of processes to share the work")
	f.IntVar(&s.conns, "conns", s.conns, "`number` of connections to hold; of handshakes a round")
	f.IntVar(&s.active, "active", s.active, "`number` of connections that talk; 0: all")
	f.IntVar(&s.parallel, "parallel", s.parallel, "at most so `many` handshakes, or visits, under way; 0: no bound")
	f.IntVar(&s.size, "size", s.size, "payload `bytes` of a message")
	f.Float64Var(&s.rate, "rate", s.rate, "operations a second by plan (an open loop); 0: each client at its own pace (a closed loop)")
	f.DurationVar(&s.warmup, "warmup", 500*time.Millisecond, "`time` of the same load before measuring")
	f.DurationVar(&s.duration, "duration", 3*time.Second, "`time` to measure")
	f.StringVar(&s.jsonFile, "json", "", "also write the result to `file` as JSON; -: to standard output instead of the text")
	f.IntVar(&s.from, "from", s.from, "idle: `connections` at the first of the two readings; -conns is the second")
	f.StringVar(&s.settle, "settle", "", "idle: `how` the server returns memory: a URL to GET, usr1, or the time after which it has done so by itself")
	f.BoolVar(&s.client, "client", false, "ping: the clients ping, not the server")
	f.StringVar(&s.push, "push", pushWord, "broadcast: the `word` that, with a size, makes the server push to all when a client says it")
	f.StringVar(&s.pushURL, "push-url", "", "broadcast: push by a POST of text to this `URL` instead")
	f.Var(&s.pushHeaders, "push-header", "broadcast: one more `header` of that POST; repeatable")
}

func measureOne(ctx context.Context, m mode, args []string, stdout, stderr io.Writer) error {
	s := m.defaults
	f := flag.NewFlagSet("loadtest "+m.name, flag.ContinueOnError)
	f.SetOutput(stderr)
	s.flags(f)
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	r, err := measure(ctx, m, s, newProgress(stderr))
	if err != nil {
		return err
	}
	if s.jsonFile == "" {
		return r.write(stdout)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if s.jsonFile == "-" {
		_, err = stdout.Write(b)
		return err
	}
	return errors.Join(r.write(stdout), os.WriteFile(s.jsonFile, b, 0o644))
}

// work is a worker process's part.
func work(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var s settings
	f := flag.NewFlagSet(workerMode, flag.ContinueOnError)
	f.SetOutput(stderr)
	s.targetFlags(f)
	if err := f.Parse(args); err != nil {
		return err
	}
	t, err := newTarget(s.url, s.headers, s.sources)
	if err != nil {
		return err
	}
	return serveOrders(ctx, t, stdin, stdout)
}

// workerArgs are the arguments with which work sees the same target.
func (s *settings) workerArgs() []string {
	args := []string{"-url", s.url, "-sources", strconv.Itoa(s.sources)}
	for _, h := range s.headers {
		args = append(args, "-header", h)
	}
	return args
}
