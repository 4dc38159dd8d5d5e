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
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"sluice/gateway"
	"sluice/gateway/config"
	"sluice/gateway/dial"
	"sluice/gateway/node"
	"sluice/gateway/remote"
	"sluice/gateway/upstream/echo"
	"sluice/gateway/upstream/webhook"
)

func main() {
	signals := make(chan os.Signal, 2) // the one that asks for the end, and the one that insists
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	err := run(signals, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "sluice:", err)
	}
	os.Exit(status(err))
}

// first returns a context that ends at the first of signals. The next one then
// ends the process.
func first(signals chan os.Signal) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-signals
		signal.Stop(signals)
		cancel()
	}()
	return ctx
}

// usageError is an error of the command line or the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// blame makes err a usageError if it wraps usage.
func blame(err, usage error) error {
	if errors.Is(err, usage) {
		return usageError{err}
	}
	return err
}

func status(err error) int {
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
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

// run is the command. signals are those that ask for the end; nobody else takes
// them, so that none is lost between two who do.
func run(signals chan os.Signal, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	name := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	switch name {
	case "dial":
		return blame(dial.Run(first(signals), args, stdin, stdout, stderr), dial.ErrUsage)
	case "token", "send", "close", "connections":
		return blame(remote.Run(first(signals), append([]string{name}, args...), stdin, stdout, stderr, os.Environ()), remote.ErrUsage)
	case "check":
		return check(args, stdout)
	case "doctor":
		return examine(args, stdout)
	case "version":
		if err := parse(flag.NewFlagSet("version", flag.ContinueOnError), args, 0, stdout); err != nil {
			return err
		}
		v := node.Version()
		_, err := fmt.Fprintf(stdout, "sluice %s (%s) %s %s/%s\n", v.Version, v.Revision, v.GoVersion, runtime.GOOS, runtime.GOARCH)
		return err
	case "", "serve":
		return serve(signals, args, stdout, stderr)
	}
	return usageError{fmt.Errorf("unknown command %q; sluice -h shows what there is", name)}
}

// parse parses args, of which at most operands may be no flags.
func parse(fs *flag.FlagSet, args []string, operands int, stdout io.Writer) error {
	fs.SetOutput(io.Discard)
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

// load reads the configuration. An error is of the one who wrote it.
func load(file string) (*config.Config, error) {
	cfg, err := config.Load(file, os.Environ(), "http", "https")
	if err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

// configured parses args, and reads the configuration that they name by -config
// or as their operand, if they may have one.
func configured(fs *flag.FlagSet, args []string, operands int, stdout io.Writer) (file string, cfg *config.Config, err error) {
	fs.StringVar(&file, "config", "", "configuration file")
	if err := parse(fs, args, operands, stdout); err != nil {
		return "", nil, err
	}
	if fs.NArg() == 1 {
		file = fs.Arg(0)
	}
	cfg, err = load(file)
	return file, cfg, err
}

func check(args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("check", flag.ContinueOnError)
	show := fs.Bool("print", false, "print the configuration with every default")
	_, cfg, err := configured(fs, args, 1, stdout)
	if err != nil {
		return err
	}
	if *show {
		return cfg.WriteYAML(stdout)
	}
	_, err = fmt.Fprintln(stdout, "ok")
	return err
}

func examine(args []string, stdout io.Writer) error {
	_, cfg, err := configured(flag.NewFlagSet("doctor", flag.ContinueOnError), args, 0, stdout)
	if err != nil {
		return err
	}
	return node.Examine(stdout, cfg)
}

// serve runs the gateway until the first signal, and then drains it.
func serve(signals <-chan os.Signal, args []string, stdout, stderr io.Writer) error {
	file, cfg, err := configured(flag.NewFlagSet("sluice", flag.ContinueOnError), args, 0, stdout)
	if err != nil {
		return err
	}
	return node.Run(signals, node.Options{
		Config:  cfg,
		Load:    func() (*config.Config, error) { return load(file) },
		Schemes: map[string]gateway.Open{"echo": echo.Open, "http": webhook.Open, "https": webhook.Open},
		Log:     stderr,
	})
}
