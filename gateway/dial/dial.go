// Package dial is a WebSocket client for the terminal and for scripts: lines of
// standard input become messages, messages become lines of standard output.
//
// Run is the only entry point; it is what "sluice dial" calls. The package
// speaks to any server of RFC 6455 and knows nothing of the gateway.
package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"
)

// ErrUsage is in the chain of every error that the command line caused.
var ErrUsage = errors.New("wrong usage")

// Run parses args (without the command's name), connects, and carries lines and
// messages until the server closes, standard input and the wait after it have
// ended, or ctx is done. What it has to say beside the messages goes to stderr.
//
// A nil error is a normal end: the server closed with 1000 or without a code,
// or this side closed. A refused handshake, any other close code, and a
// connection that broke off without a close frame are errors.
//
// stdin is read in a goroutine of its own, because a read cannot be interrupted:
// one that is under way when Run returns lasts until its input arrives, and
// that input is lost.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parse(args)
	if errors.Is(err, errHelp) {
		return usage(stdout)
	}
	if err != nil {
		return fmt.Errorf("%w: %w; \"sluice dial -h\" shows the right one", ErrUsage, err)
	}
	c := &client{options: o, stdout: stdout, log: log.New(stderr, "", 0)}
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	return c.talk(ctx, conn, stdin)
}

// client is one run: its options and where it writes. Its methods are called by
// several goroutines; only receive writes to stdout, and a log.Logger
// serialises what goes to stderr.
type client struct {
	options
	stdout io.Writer
	log    *log.Logger
}

// note writes to stderr what only -v asks for.
func (c *client) note(format string, args ...any) {
	if c.verbose {
		c.log.Printf(format, args...)
	}
}

// connect performs the handshake within the time-out. The URL may carry a token
// in its query, so no message repeats more of it than the host.
func (c *client) connect(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout,
		fmt.Errorf("no answer to the handshake within %v", c.timeout))
	defer cancel()

	transport := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: c.insecure},
	}
	defer transport.CloseIdleConnections()

	mode := websocket.CompressionDisabled
	if c.deflate {
		mode = websocket.CompressionNoContextTakeover
	}
	conn, response, err := websocket.Dial(ctx, c.url.String(), &websocket.DialOptions{
		HTTPClient:      &http.Client{Transport: transport},
		HTTPHeader:      c.header,
		Host:            c.host,
		Subprotocols:    c.subprotocols,
		CompressionMode: mode,
		OnPingReceived: func(_ context.Context, payload []byte) bool {
			c.note("ping %q, answered", payload)
			return true
		},
	})
	if err != nil {
		return nil, c.refusal(ctx, response, err)
	}
	conn.SetReadLimit(maxMessage)
	c.note("connected to %s%s", c.url.Host, agreed(response.Header))
	return conn, nil
}

// refusal says why there is no connection: with the server's own words where it
// answered with something else than 101, else with the cause beneath the
// HTTP client's error, which would show the whole URL.
func (c *client) refusal(ctx context.Context, response *http.Response, err error) error {
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case response != nil && response.StatusCode != http.StatusSwitchingProtocols:
		body, _ := io.ReadAll(response.Body)
		text := strings.TrimSpace(strings.ToValidUTF8(string(body), "\uFFFD"))
		if text != "" {
			text = ": " + text
		}
		return fmt.Errorf("%s refused the handshake: %s%s", c.url.Host, response.Status, text)
	default:
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
	}
	return fmt.Errorf("connect to %s: %w", c.url.Host, err)
}

// agreed describes what the handshake settled beside the connection itself.
func agreed(h http.Header) string {
	var b strings.Builder
	if p := h.Get("Sec-WebSocket-Protocol"); p != "" {
		b.WriteString(", subprotocol " + p)
	}
	if e := h.Get("Sec-WebSocket-Extensions"); e != "" {
		b.WriteString(", " + e)
	}
	return b.String()
}
