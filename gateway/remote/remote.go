// Package remote is the data plane for the terminal: it makes tokens, sends to
// the sessions of a running gateway, closes and lists them.
//
// Run is the only entry point; it is what "sluice token", "sluice send",
// "sluice close" and "sluice connections" call. The gateway is reached over its
// REST API, as by any backend, and with the keys of its own configuration.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// ErrUsage is in the chain of every error that the command line or the
// configuration caused.
var ErrUsage = errors.New("wrong usage")

// Run does the command that args[0] names, one of token, send, close and
// connections, with the flags behind it. environ, in the form of [os.Environ],
// may override the configuration. What the command finds out goes to stdout, as
// does help if it is asked for, and remarks go to stderr.
//
// That nobody is there to be sent to is no error, but a remark. A gateway that
// cannot be reached or that refuses is an error.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) error {
	c, err := named(args)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	o, err := c.parse(args[1:])
	if errors.Is(err, errHelp) {
		return c.usage(stdout)
	}
	if err != nil {
		return fmt.Errorf("%w: %w; \"sluice %s -h\" shows the right one", ErrUsage, err, c.name)
	}
	a, err := newAccess(o, environ)
	if err != nil {
		return configurationError{err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not done within %v", o.timeout))
	defer cancel()
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	return c.run(ctx, &caller{
		options: o,
		access:  a,
		client: http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a token is for one URL
		}},
		stdin:  stdin,
		stdout: stdout,
		stderr: stderr,
	})
}

// caller is one run of a command.
type caller struct {
	options
	access
	client         http.Client
	stdin          io.Reader
	stdout, stderr io.Writer
}

// configurationError is an ErrUsage that speaks for itself.
type configurationError struct{ error }

func (e configurationError) Unwrap() error { return e.error }

func (configurationError) Is(target error) bool { return target == ErrUsage }
