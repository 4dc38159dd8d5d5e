package remote

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"time"

	"sluice/gateway/delivery"
)

// options is what the command line asked for.
type options struct {
	address string   // as given
	url     *url.URL // nil: that of the configuration
	hub     string
	key     string
	config  string
	timeout time.Duration

	user, group, connection string
	all                     bool
	filter                  string
	excluded                list

	kind    string        // of a message
	ttl     time.Duration // of a message
	reason  string        // of a close
	json    bool
	roles   list
	groups  list
	expires time.Duration
	api     string

	operands []string
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string { return strings.Join(*l, ", ") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// define declares the flags that every command has.
func (o *options) define(fs *flag.FlagSet) {
	fs.StringVar(&o.address, "url", "", "the gateway's base `URL` (default of the configuration)")
	fs.StringVar(&o.hub, "hub", "default", "the hub's `name`")
	fs.StringVar(&o.key, "key", "", "an access `key` of the hub (default of the configuration)")
	fs.StringVar(&o.config, "config", "", "the gateway's configuration `file`")
	fs.DurationVar(&o.timeout, "timeout", 10*time.Second, "give it this long")
}

// check finds what is wrong with them, and reads -url: the flag package's errors
// repeat a flag's value, and a URL may hold a password.
func (o *options) check() (err error) {
	switch {
	case o.hub == "":
		return errors.New("-hub names no hub")
	case o.timeout <= 0:
		return errors.New("-timeout must be positive")
	}
	if o.address != "" {
		o.url, err = baseURL(o.address)
	}
	return err
}

// baseURL reads the URL of a gateway, which has nothing behind the host.
func baseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || !isHTTP(u) || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the gateway's URL is not of the form http://host:port or https://host:port")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func isHTTP(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func (o *options) defineToken(fs *flag.FlagSet) {
	fs.StringVar(&o.user, "user", "", "the `user` that the client is (default nobody)")
	fs.Var(&o.roles, "role", "a `role` of the client, such as webpubsub.sendToGroup.NAME; may be repeated")
	fs.Var(&o.groups, "group", "a `group` that the client joins; may be repeated")
	fs.DurationVar(&o.expires, "expires", time.Hour, "how long the token is good for")
	fs.StringVar(&o.api, "api", "", "print a token for requests to this `URL` of the data plane")
}

func (o *options) checkToken() error {
	switch {
	case len(o.operands) > 0:
		return fmt.Errorf("unexpected argument %q", o.operands[0])
	case o.expires < time.Second:
		return errors.New("-expires must be at least a second")
	case o.api != "" && (o.user != "" || o.roles != nil || o.groups != nil):
		return errors.New("-user, -role and -group are for the tokens of clients, not for -api")
	}
	if o.api != "" {
		if u, err := url.Parse(o.api); err != nil || !isHTTP(u) {
			return errors.New("-api must be the whole URL of a request, from http:// or https:// on")
		}
	}
	return nil
}

// defineTarget declares the flags that say which sessions are meant.
func (o *options) defineTarget(fs *flag.FlagSet) {
	fs.StringVar(&o.user, "user", "", "the sessions of this `user`")
	fs.StringVar(&o.group, "group", "", "the sessions in this `group`")
	fs.StringVar(&o.connection, "connection", "", "the session with this `id`")
	fs.BoolVar(&o.all, "all", false, "every session of the hub")
	fs.StringVar(&o.filter, "filter", "", "only if this `condition` holds: \"'x' in groups and userId ne 'ann'\"")
	fs.Var(&o.excluded, "exclude", "not the session with this `id`; may be repeated")
}

// checkTarget finds flags that mean nothing together.
func (o *options) checkTarget() error {
	named := 0
	for _, is := range []bool{o.user != "", o.group != "", o.connection != "", o.all} {
		if is {
			named++
		}
	}
	switch {
	case named > 1:
		return errors.New("only one of -user, -group, -connection and -all")
	case o.connection != "" && (o.filter != "" || o.excluded != nil):
		return errors.New("-connection means one session, and takes no -filter and no -exclude")
	}
	return o.checkFilter()
}

// checkFilter reads -filter here, where the error can be shown beside the flag.
func (o *options) checkFilter() error {
	if o.filter == "" {
		return nil
	}
	_, err := delivery.ParseFilter(o.filter)
	return err
}

func (o *options) defineSend(fs *flag.FlagSet) {
	o.defineTarget(fs)
	fs.StringVar(&o.kind, "type", "text", "what the message is: `text`, json or binary")
	fs.DurationVar(&o.ttl, "ttl", 0, "drop it for clients that have not taken it after this long, at most 5m (default never)")
}

func (o *options) checkSend() error {
	switch {
	case len(o.operands) > 1:
		return errors.New("more than one message; put it in quotes")
	case mediaTypes[o.kind] == "":
		return errors.New("-type is none of text, json and binary")
	case o.ttl != o.ttl.Truncate(time.Second) || o.ttl < 0 || o.ttl > 5*time.Minute:
		return errors.New("-ttl must be whole seconds, at most 5m")
	}
	return o.checkTarget()
}

func (o *options) defineClose(fs *flag.FlagSet) {
	o.defineTarget(fs)
	fs.StringVar(&o.reason, "reason", "", "tell the clients this `text`")
}

func (o *options) checkClose() error {
	switch {
	case len(o.operands) > 0:
		return fmt.Errorf("unexpected argument %q", o.operands[0])
	case o.user == "" && o.group == "" && o.connection == "" && !o.all:
		return errors.New("whom? one of -user, -group, -connection and -all")
	}
	return o.checkTarget()
}

func (o *options) defineConnections(fs *flag.FlagSet) {
	fs.StringVar(&o.user, "user", "", "the sessions of this `user`")
	fs.StringVar(&o.group, "group", "", "the sessions in this `group`")
	fs.StringVar(&o.filter, "filter", "", "only if this `condition` holds: \"'x' in groups and userId ne 'ann'\"")
	fs.BoolVar(&o.json, "json", false, "write an object of JSON a line")
}

func (o *options) checkConnections() error {
	if len(o.operands) > 0 {
		return fmt.Errorf("unexpected argument %q", o.operands[0])
	}
	if err := o.checkFilter(); err != nil {
		return err
	}
	if o.user != "" { // the API lists by group only
		condition := "userId eq '" + strings.ReplaceAll(o.user, "'", "''") + "'"
		if o.filter != "" {
			condition += " and (" + o.filter + ")"
		}
		o.user, o.filter = "", condition
	}
	return nil
}
