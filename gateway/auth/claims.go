package auth

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// leeway is how far the clock of whoever made a token may be from ours.
const leeway = time.Minute

// newParser returns a parser that checks a token's form and signature, and leaves its claims to us, for
// whom the time is an argument and the audience more than a text.
func newParser() *jwt.Parser {
	return jwt.NewParser(jwt.WithJSONNumber(), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
}

// verify returns the claims of a token if its signature is good for the key, or
// one of the keys, that find returns. What find refuses with an *Error is
// refused with that.
func verify(p *jwt.Parser, token string, find func(*jwt.Token, jwt.MapClaims) (any, error)) (jwt.MapClaims, error) {
	switch {
	case token == "":
		return nil, &Error{ReasonMissing, "no token"}
	}
	claims := jwt.MapClaims{}
	_, err := p.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok { // RFC 7515, section 4.1.11
			return nil, &Error{ReasonMalformed, "the token has extensions that are not known here"}
		}
		return find(t, claims)
	})
	var refused *Error
	switch {
	case err == nil:
		return claims, nil
	case errors.As(err, &refused):
		return nil, refused
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, &Error{ReasonSignature, "the token's signature is not good for any key"}
	}
	return nil, &Error{ReasonMalformed, "the token is no JSON Web Token"}
}

// validity checks the times of a token, and returns when it expires: when a
// session that it has begun is to end where hubs do that. A token that was
// accepted for the leeway only expires with the leeway. When it was issued (iat)
// is no bound (RFC 7519, section 4.1.6), and not looked at.
func validity(claims jwt.MapClaims, now time.Time) (expires time.Time, err error) {
	expires, ok, err := date(claims, "exp")
	switch {
	case err != nil:
		return expires, err
	case !ok:
		return expires, &Error{ReasonExpired, "the token has no expiry (exp)"}
	case !now.Before(expires):
		if expires = expires.Add(leeway); !now.Before(expires) {
			return expires, &Error{ReasonExpired, "the token has expired"}
		}
	}
	from, _, err := date(claims, "nbf")
	if err == nil && from.After(now.Add(leeway)) {
		err = &Error{ReasonExpired, "the token is not valid yet (nbf)"}
	}
	return expires, err
}

// lastDate is the end of the year 9999, in seconds: no date is later.
const lastDate = 253402300799

// date returns a claim that is a NumericDate (RFC 7519, section 2).
func date(claims jwt.MapClaims, name string) (t time.Time, ok bool, err error) {
	value, ok := claims[name]
	if !ok {
		return time.Time{}, false, nil
	}
	number, ok := value.(json.Number)
	if ok {
		var seconds float64
		if seconds, err = number.Float64(); err == nil && seconds >= 0 && seconds <= lastDate {
			whole, fraction := math.Modf(seconds)
			return time.Unix(int64(whole), int64(fraction*1e9)), true, nil
		}
	}
	return time.Time{}, false, &Error{ReasonMalformed, "a time in the token (" + name + ") is no date"}
}

// texts returns a claim that is one text or a list of texts.
func texts(claims jwt.MapClaims, name string) (list []string, ok bool) {
	switch value := claims[name].(type) {
	case nil:
		return nil, true
	case string:
		return []string{value}, true
	case []any:
		list = make([]string, len(value))
		for i, item := range value {
			if list[i], ok = item.(string); !ok {
				return nil, false
			}
		}
		return list, true
	}
	return nil, false
}

// flatten returns all claims as lists of texts, the form in which backends are
// told them. null is left out; what is neither text nor a list of them is JSON.
func flatten(claims jwt.MapClaims) map[string][]string {
	flat := make(map[string][]string, len(claims))
	for name, value := range claims {
		switch value := value.(type) {
		case nil:
		case []any:
			list := make([]string, len(value))
			for i, item := range value {
				list[i] = text(item)
			}
			flat[name] = list
		default:
			flat[name] = []string{text(value)}
		}
	}
	return flat
}

func text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case json.Number:
		return value.String()
	case bool:
		return strconv.FormatBool(value)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(value) != nil {
		return "" // it came out of a JSON text: not reached
	}
	return strings.TrimSuffix(b.String(), "\n")
}
