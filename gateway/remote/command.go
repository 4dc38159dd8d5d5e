package remote

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"sluice/gateway/config"
)

var errHelp = flag.ErrHelp

// command is one of those that Run knows.
type command struct {
	name   string
	help   string
	define func(*options, *flag.FlagSet) // its flags, besides those of all
	check  func(*options) error          // what is wrong with them
	run    func(context.Context, *caller) error
}

// commands returns them all.
func commands() []command {
	return []command{
		{"token", tokenHelp, (*options).defineToken, (*options).checkToken, token},
		{"send", sendHelp, (*options).defineSend, (*options).checkSend, send},
		{"close", closeHelp, (*options).defineClose, (*options).checkClose, closeSessions},
		{"connections", connectionsHelp, (*options).defineConnections, (*options).checkConnections, connections},
	}
}

// named returns the command that args begin with.
func named(args []string) (command, error) {
	if len(args) == 0 {
		return command{}, errors.New("no command")
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c, nil
		}
	}
	return command{}, fmt.Errorf("unknown command %q", args[0])
}

// flags returns the flags of c, which set o.
func (c *command) flags(o *options) *flag.FlagSet {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	o.define(fs)
	c.define(o, fs)
	return fs
}

// parse reads the command line. Its error is errHelp when help was asked for.
func (c *command) parse(args []string) (options, error) {
	var o options
	fs := c.flags(&o)
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.operands = fs.Args()
	if err := o.check(); err != nil {
		return o, err
	}
	return o, c.check(&o)
}

// usage writes the help text.
func (c *command) usage(w io.Writer) error {
	var b strings.Builder
	b.WriteString(c.help)
	b.WriteString(accessHelp)
	b.WriteString("\nFlags:\n")
	fs := c.flags(new(options))
	fs.SetOutput(&b)
	fs.PrintDefaults()
	_, err := io.WriteString(w, b.String())
	return err
}

const accessHelp = `
The gateway's address and keys are those of its configuration: of -config, and
of the environment (SLUICE_KEYS, SLUICE_API_KEYS). -url and -key override them.
Whoever may list the processes of this machine sees what -key is.
`

const tokenHelp = `usage: sluice token [flags]

Prints the URL by which a client can connect to a hub, with a token in it. With
-api it prints a token for one request to the data plane instead:

    url=http://` + config.DefaultListen + `/api/hubs/default/:send
    curl -H "Authorization: Bearer $(sluice token -api $url)" -H 'Content-Type: text/plain' -d hello $url
`

const sendHelp = `usage: sluice send [flags] [MESSAGE | -]

Sends a message to every session of a hub, or to those of a user, in a group or
with an id. Without MESSAGE, or for -, it is standard input, of which a line end
at the end of a text is not sent.
`

const closeHelp = `usage: sluice close [flags]

Closes the sessions of a user, in a group or with an id, or with -all every one
of the hub.
`

const connectionsHelp = `usage: sluice connections [flags]

Lists the sessions of a hub, of a user or in a group: one a line, the id and,
behind a tab, the user.
`
