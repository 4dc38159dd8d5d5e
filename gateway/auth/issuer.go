package auth

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// Issuer is somebody else who signs tokens of clients.
type Issuer struct {
	Name       string   // for messages
	Issuer     string   // what the tokens' iss is
	JWKS       string   // URL of the key set, see [CheckKeySetURL]
	Audience   string   // what the tokens' aud must contain; "": it is not looked at
	Algorithms []string // of [Algorithms]; none: RS256, ES256 and EdDSA
}

// Algorithms returns the names of the signature algorithms (RFC 7518, section
// 3.1, and RFC 8037) that an issuer may be allowed. None is symmetric: a key
// that is published must not be good for signing.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// CheckKeySetURL reports what is wrong with the URL of a key set: it must be
// https, or http to this host, since whoever can change a key set on its way
// can sign tokens. The error does not quote it.
func CheckKeySetURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New("not a URL; write https://host/path")
	case u.User != nil:
		return errors.New("a URL of a key set takes no user and password")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return errors.New("write https://host/path; http is for keys on this host only")
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// check reports what is wrong with i.
func (i *Issuer) check() error {
	if i.Issuer == "" {
		return errors.New("no iss to know its tokens by")
	}
	for _, a := range i.Algorithms {
		if !slices.Contains(Algorithms(), a) {
			return errors.New("an algorithm that is not known or not allowed")
		}
	}
	return CheckKeySetURL(i.JWKS)
}

// issuer is an Issuer with its keys.
type issuer struct {
	Issuer
	keys *keySet
}

func (i *issuer) allows(algorithm string) bool {
	if len(i.Algorithms) > 0 {
		return slices.Contains(i.Algorithms, algorithm)
	}
	return algorithm == "RS256" || algorithm == "ES256" || algorithm == "EdDSA"
}

// key returns the key that t is signed with if it is known, errUnknownKey if it
// may be in the next key set, or an *Error. It never waits.
func (i *issuer) key(t *jwt.Token) (any, error) {
	if !i.allows(t.Method.Alg()) {
		return nil, &Error{ReasonSignature, "the token's algorithm is not allowed to its issuer"}
	}
	kid := ""
	if value, ok := t.Header["kid"]; ok {
		if kid, ok = value.(string); !ok {
			return nil, &Error{ReasonSignature, "the name of the token's key (kid) is not a string"}
		}
	}
	return i.keys.find(t.Method, kid)
}
