package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/gateway/name"
)

// Client is who a token says that its bearer is. It belongs to the caller.
type Client struct {
	User    string // "" if the token names none
	Roles   []string
	Groups  []string            // to join
	Expires time.Time           // its exp, and the leeway if it was past that
	Claims  map[string][]string // all of them, for the hub's backend
}

// ClientsOptions are what the tokens of a hub's clients are held against.
type ClientsOptions struct {
	Hub      string
	Keys     *Keys
	Issuers  []Issuer
	Endpoint string // base URL of the gateway, which tokens may name instead of the host asked; or ""
	// Client fetches key sets, without following redirects; nil: one with a
	// time-out. Its connections are its owner's.
	Client *http.Client
	// Previous is what these replace, or nil. Key sets that both use are good
	// from the start. It need not be closed yet.
	Previous *Clients
	Log      *slog.Logger
}

// Clients verifies the tokens of one hub's clients. Any goroutine may use it.
type Clients struct {
	hub, host string
	keys      *Keys
	issuers   map[string]*issuer // by iss
	parser    *jwt.Parser
}

// NewClients begins to fetch the key sets of the issuers, and does not wait for
// them. The caller must call Close.
func NewClients(o ClientsOptions) (*Clients, error) {
	c := &Clients{
		hub: o.Hub, host: endpointHost(o.Endpoint), keys: o.Keys,
		issuers: make(map[string]*issuer, len(o.Issuers)),
		parser:  newParser(),
	}
	for _, i := range o.Issuers {
		if err := i.check(); err != nil {
			return nil, fmt.Errorf("issuer %s: %w", i.Name, err)
		}
		if c.issuers[i.Issuer] != nil {
			return nil, fmt.Errorf("issuer %s: another one has the same iss", i.Name)
		}
		c.issuers[i.Issuer] = &issuer{Issuer: i}
	}
	client := fetcher(o.Client)
	for iss, i := range c.issuers {
		i.keys = newKeySet(i.JWKS, client, o.Log.With("hub", o.Hub, "issuer", i.Name))
		if o.Previous != nil && o.Previous.issuers[iss] != nil {
			i.keys.inherit(o.Previous.issuers[iss].keys)
		}
		i.keys.start()
	}
	return c, nil
}

// Close ends the fetching of key sets and waits for it. Tokens that are being
// verified meanwhile may be refused for want of a key.
func (c *Clients) Close() {
	for _, i := range c.issuers {
		i.keys.close()
	}
}

// Way is how a token is to be verified.
type Way uint8

const (
	AtOnce  Way = iota // by Verify, which computes so little that a loop may call it
	Beside             // by Verify, which checks a signature of an issuer: in another goroutine
	Fetched            // by Await: the key is not known, and its issuer may have published it
)

// Way returns how a token is to be verified. It never waits.
func (c *Clients) Way(token string) Way {
	if len(c.issuers) == 0 || strings.HasPrefix(token, commonHeader) {
		return AtOnce
	}
	claims := jwt.MapClaims{}
	t, _, err := c.parser.ParseUnverified(token, claims)
	if err != nil || t.Method == jwt.SigningMethodHS256 {
		return AtOnce
	}
	by := c.issuer(claims)
	if by == nil {
		return AtOnce
	}
	switch _, err := by.key(t); {
	case err == nil:
		return Beside
	case errors.Is(err, errUnknownKey):
		return Fetched
	}
	return AtOnce
}

// commonHeader begins the tokens of access keys: {"alg":"HS256","typ":"JWT"}.
const commonHeader = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."

// ErrCrowded refuses a token for whose issuer's key set too many others wait.
var ErrCrowded error = &Error{ReasonKeys, "too many tokens wait for the key set of the token's issuer"}

// Await verifies a token when the key set of its issuer has been fetched again,
// and calls then, once, with what Verify says: from the goroutine of the fetch,
// which then must not hold up; or before it returns, if nothing is fetched
// because that has just been done, or because most others wait for it already,
// of which the error is ErrCrowded. A waiting token costs its own memory, and no
// goroutine. Nobody waits for longer than a fetch may take.
func (c *Clients) Await(token, host string, most int, then func(*Client, error)) {
	verify := func() { then(c.Verify(token, host, time.Now())) }
	claims := jwt.MapClaims{}
	var by *issuer
	if _, _, err := c.parser.ParseUnverified(token, claims); err == nil {
		by = c.issuer(claims)
	}
	if by == nil {
		verify()
		return
	}
	switch waits, full := by.keys.await(most, verify); {
	case full:
		then(nil, ErrCrowded)
	case !waits:
		verify()
	}
}

// issuer returns who says to have issued a token, nil if it is not known.
func (c *Clients) issuer(claims jwt.MapClaims) *issuer {
	iss, _ := claims["iss"].(string)
	return c.issuers[iss]
}

// Verify returns who the bearer of a token is. It accepts two kinds:
//
// A token that an access key signed, by HS256, names the hub in its aud, as
// http(s)://host/client/hubs/{hub}, where host is that of the request, which
// the caller passes as it stands in the Host field, or that of the gateway's
// endpoint.
//
// A token of an issuer is signed by one of the algorithms that the issuer may
// use, with the key of the issuer's set that its kid names, or, without a kid,
// with the only one that suits. Its aud must contain the one configured, if any. An issuer may give roles and
// groups like an access key.
//
// Both must have an exp, and must not be used before their nbf; a minute of
// difference between clocks is allowed for both. How long a
// token may be is for whoever reads it from a request. Verify never waits: for
// keys that are not known see Way. The error is an *Error.
func (c *Clients) Verify(token, host string, now time.Time) (*Client, error) {
	var by *issuer // nil: an access key
	claims, err := verify(c.parser, token, func(t *jwt.Token, claims jwt.MapClaims) (any, error) {
		if t.Method == jwt.SigningMethodHS256 {
			return c.keys.verification()
		}
		if by = c.issuer(claims); by == nil {
			return nil, &Error{ReasonIssuer, "the token's issuer is not known to the hub"}
		}
		key, err := by.key(t)
		if errors.Is(err, errUnknownKey) {
			return nil, by.keys.missing()
		}
		return key, err
	})
	if err != nil {
		return nil, err
	}
	expires, err := validity(claims, now)
	if err != nil {
		return nil, err
	}
	if !c.meant(claims, by, host) {
		return nil, &Error{ReasonAudience, "the token is meant for somebody else (aud)"}
	}
	client := &Client{Expires: expires, Claims: flatten(claims)}
	if sub, ok := claims["sub"]; ok {
		if client.User, ok = sub.(string); !ok {
			return nil, &Error{ReasonMalformed, "the token's subject (sub) is no text"}
		}
		if client.User != "" {
			if err := name.Check(client.User); err != nil {
				return nil, &Error{ReasonMalformed, "the token's subject (sub) " + err.Error()}
			}
		}
	}
	var ok bool
	if client.Roles, ok = texts(claims, "role"); !ok {
		return nil, &Error{ReasonRole, "the token's roles (role) are no texts"}
	}
	if client.Groups, ok = texts(claims, "webpubsub.group"); !ok {
		return nil, &Error{ReasonRole, "the token's groups (webpubsub.group) are no texts"}
	}
	for _, group := range client.Groups {
		if err := name.Check(group); err != nil {
			return nil, &Error{ReasonRole, "a group of the token (webpubsub.group) " + err.Error()}
		}
	}
	return client, nil
}

// meant reports whether the hub is in a token's audience.
func (c *Clients) meant(claims jwt.MapClaims, by *issuer, host string) bool {
	if by != nil && by.Audience == "" {
		return true
	}
	audience, err := claims.GetAudience()
	if err != nil {
		return false
	}
	if by != nil {
		return slices.Contains(audience, by.Audience)
	}
	return slices.ContainsFunc(audience, func(aud string) bool {
		return means(aud, host, c.host, clientPath(c.hub))
	})
}
