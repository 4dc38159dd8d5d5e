package dial

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http/httpguts"
)

// maxMessage bounds a line of input and a message from the server, in bytes.
const maxMessage = 64 << 20

var errHelp = flag.ErrHelp

// options is what the command line asked for.
type options struct {
	url          *url.URL
	fields       []string // "Name: value", as given
	header       http.Header
	host         string // overrides the URL's host in the Host header
	subprotocols []string
	insecure     bool
	timeout      time.Duration
	ping         time.Duration
	deflate      bool
	binary       bool
	code         websocket.StatusCode
	wait         time.Duration
	count        int
	verbose      bool
}

// define declares the flags over o, with their defaults and usage.
func (o *options) define(fs *flag.FlagSet) {
	o.code = websocket.StatusNormalClosure
	fs.Func("H", "add the header `'Name: value'` to the handshake; may be repeated", func(s string) error {
		o.fields = append(o.fields, s)
		return nil
	})
	fs.Func("origin", "send this `origin`, as a browser would: https://example.com", func(s string) error {
		o.fields = append(o.fields, "Origin: "+s)
		return nil
	})
	fs.Func("subprotocol", "offer these subprotocols, a comma-separated `list` in order of preference", o.addSubprotocols)
	fs.BoolVar(&o.insecure, "insecure", false, "accept any TLS certificate")
	fs.BoolVar(&o.deflate, "deflate", false, "offer permessage-deflate")
	fs.BoolVar(&o.binary, "binary", false, "lines of input are base64 and go out as binary messages")
	fs.DurationVar(&o.timeout, "timeout", 10*time.Second, "give the handshake this long")
	fs.DurationVar(&o.ping, "ping", 0, "ping the server this often and expect its pong as soon (default never)")
	fs.DurationVar(&o.wait, "wait", time.Second, "after the end of input leave when no message came for this long")
	fs.IntVar(&o.count, "n", 0, "leave after this `number` of messages from the server; fewer are a failure (default any)")
	fs.Func("close", "close with this `code` when leaving (default 1000)", o.setCode)
	fs.BoolVar(&o.verbose, "v", false, "tell on standard error of the handshake, pings, pongs and the close")
}

// parse reads the command line. Its error is errHelp when help was asked for.
func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("dial", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	o.define(fs)
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() != 1 {
		return o, fmt.Errorf("want one URL after the flags, got %d arguments", fs.NArg())
	}
	u, err := url.Parse(fs.Arg(0))
	if err != nil {
		return o, errors.New("the URL does not parse")
	}
	switch u.Scheme {
	case "ws", "wss", "http", "https":
	default:
		return o, errors.New("the URL must begin with ws:// or wss://")
	}
	if u.Host == "" {
		return o, errors.New("the URL names no host")
	}
	if o.timeout <= 0 {
		return o, errors.New("-timeout must be positive")
	}
	if o.ping < 0 || o.wait < 0 || o.count < 0 {
		return o, errors.New("-ping, -wait and -n must not be negative")
	}
	o.url = u
	return o, o.setHeader()
}

// setHeader makes the header of the fields. It runs after the flags are parsed,
// because the flag package's errors repeat a flag's value, which may be a key.
func (o *options) setHeader() error {
	o.header = http.Header{}
	for i, field := range o.fields {
		name, value, found := strings.Cut(field, ":")
		value = strings.TrimSpace(value)
		switch {
		case !found || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
			return fmt.Errorf("header %d is not of the form 'Name: value'", i+1)
		case strings.EqualFold(name, "Host"):
			o.host = value
		default:
			o.header.Add(name, value)
		}
	}
	return nil
}

func (o *options) addSubprotocols(s string) error {
	for p := range strings.SplitSeq(s, ",") {
		p = strings.TrimSpace(p)
		if !httpguts.ValidHeaderFieldName(p) { // both are tokens of RFC 9110 §5.6.2
			return fmt.Errorf("%q is not a token", p)
		}
		o.subprotocols = append(o.subprotocols, p)
	}
	return nil
}

// setCode takes a code that an endpoint may send, RFC 6455 §7.4.
func (o *options) setCode(s string) error {
	code, err := strconv.Atoi(s)
	if err != nil {
		return errors.New("want a number")
	}
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		o.code = websocket.StatusCode(code)
		return nil
	}
	return errors.New("want 1000 to 1003, 1007 to 1014, or 3000 to 4999")
}

// usage writes the help text.
func usage(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`usage: sluice dial [flags] URL

Connects to a WebSocket server. Each line of standard input goes out as a text
message, each message from the server is written as a line of standard output.
Binary messages are shown as base64. At the end of input it stays until no
message came for a while (-wait), then closes.

    echo hello | sluice dial ws://127.0.0.1:8080/

The exit status is 0 after a normal close or the end of input, and 1 when the
handshake was refused, the server closed with another code than 1000, the
connection was lost, or fewer messages came than -n asks for.

Flags:
`)
	fs := flag.NewFlagSet("dial", flag.ContinueOnError)
	fs.SetOutput(&b)
	new(options).define(fs)
	fs.PrintDefaults()
	_, err := io.WriteString(w, b.String())
	return err
}
