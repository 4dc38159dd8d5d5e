package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// keys are the public keys of a set that was fetched. They never change.
type keys []publicKey

// publicKey is one of them, for signatures.
type publicKey struct {
	kid string // "": it has none
	alg string // "": any that suits its type
	key any
}

// parseKeySet reads a JWK set (RFC 7517, section 5), before which a byte order
// mark may stand. Keys that are broken, null, of an unknown kind, secret, or for
// encryption are left out. A set without a usable key is an error: it is more
// likely a mistake than the wish to lock everybody out.
func parseKeySet(body []byte) (keys, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &set); err != nil {
		return nil, errors.New("not a JWK set")
	}
	var usable keys
	for _, text := range set.Keys {
		var m jwkset.JWKMarshal
		if json.Unmarshal(text, &m) != nil || m.USE != "" && m.USE != jwkset.UseSig {
			continue
		}
		k, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue
		}
		switch k.Key().(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			usable = append(usable, publicKey{m.KID, m.ALG.String(), k.Key()})
		}
	}
	if len(usable) == 0 {
		return nil, errors.New("no usable key in it")
	}
	return usable, nil
}

// suits reports whether signatures by method can be the key's.
func (k *publicKey) suits(method jwt.SigningMethod) bool {
	if k.alg != "" && k.alg != method.Alg() {
		return false
	}
	switch m := method.(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		_, ok := k.key.(*rsa.PublicKey)
		return ok
	case *jwt.SigningMethodECDSA:
		key, ok := k.key.(*ecdsa.PublicKey)
		return ok && key.Curve.Params().BitSize == m.CurveBits
	case *jwt.SigningMethodEd25519:
		_, ok := k.key.(ed25519.PublicKey)
		return ok
	}
	return false
}

// find returns the key that a token names by its kid, and that suits its
// algorithm; of a token without a kid, the one that suits, if it is the only one.
func (s keys) find(method jwt.SigningMethod, kid string) (any, error) {
	var found any
	for i := range s {
		k := &s[i]
		switch {
		case kid != "" && k.kid != kid || !k.suits(method):
		case kid != "":
			return k.key, nil
		case found != nil:
			return nil, &Error{ReasonSignature, "the token does not name its key (kid), and its issuer has several"}
		default:
			found = k.key
		}
	}
	if found == nil {
		return nil, errUnknownKey
	}
	return found, nil
}

// errUnknownKey is what find says of a key that is not in the set, and may be
// in the next one.
var errUnknownKey = errors.New("no such key")
