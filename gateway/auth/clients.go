package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
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

// Local reports whether Verify of this token neither waits for anything nor
// computes for long, so that a loop may call it.
func (c *Clients) Local(token string) bool {
	if len(c.issuers) == 0 {
		return true
	}
	encoded, _, _ := strings.Cut(token, ".")
	if encoded == "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" { // {"alg":"HS256","typ":"JWT"}
		return true
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return true // Verify gets no further
	}
	// As the parser does it: a struct would take "ALG" for alg.
	var header map[string]any
	if json.Unmarshal(text, &header) != nil {
		return true
	}
	return header["alg"] == jwt.SigningMethodHS256.Alg()
}

// Verify returns who the bearer of a token is. It accepts two kinds:
//
// A token that an access key signed, by HS256, names the hub in its aud, as
// http(s)://host/client/hubs/{hub}, where host is that of the request, which
// the caller passes as it stands in the Host field, or that of the gateway's
// endpoint.
//
// A token of an issuer is signed by one of the algorithms that the issuer may
// use, with the key of the issuer's set that its kid names; it must have one.
// Its aud must contain the one configured, if any. An issuer may give roles and
// groups like an access key.
//
// Both must have an exp, and must not be used before their nbf; a minute of
// difference between clocks is allowed for both. ctx bounds the waiting for a
// key set. How long a token may be is for whoever reads it from a request. The
// error is an *Error.
func (c *Clients) Verify(ctx context.Context, token, host string, now time.Time) (*Client, error) {
	var by *issuer // nil: an access key
	claims, err := verify(c.parser, token, func(t *jwt.Token, claims jwt.MapClaims) (any, error) {
		if t.Method == jwt.SigningMethodHS256 {
			return c.keys.verification()
		}
		iss, _ := claims["iss"].(string)
		if by = c.issuers[iss]; by == nil {
			return nil, &Error{ReasonIssuer, "the token's issuer is not known to the hub"}
		}
		return by.key(ctx, t)
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
	}
	var ok bool
	if client.Roles, ok = texts(claims, "role"); !ok {
		return nil, &Error{ReasonRole, "the token's roles (role) are no texts"}
	}
	if client.Groups, ok = texts(claims, "webpubsub.group"); !ok {
		return nil, &Error{ReasonRole, "the token's groups (webpubsub.group) are no texts"}
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
