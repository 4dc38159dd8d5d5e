package auth

import "bytes"

// queryToken is the name of the query parameter that browsers, which cannot set
// header fields, put their token into.
const queryToken = "access_token"

// TokenOf finds the token of a request: in its Authorization field, or else in
// its query. The token may alias either.
func TokenOf(rawQuery, authorization []byte) ([]byte, bool) {
	if token, ok := FromHeader(authorization); ok {
		return token, true
	}
	return FromQuery(rawQuery)
}

// FromHeader returns the token of an Authorization field of the scheme Bearer
// (RFC 6750, section 2.1). It aliases the field.
func FromHeader(authorization []byte) ([]byte, bool) {
	scheme, token, ok := bytes.Cut(authorization, []byte{' '})
	if !ok || !bytes.EqualFold(scheme, []byte("Bearer")) {
		return nil, false
	}
	token = bytes.TrimLeft(token, " ")
	return token, len(token) > 0
}

// FromQuery returns the value of the first access_token in a query (RFC 6750,
// section 2.3), percent-decoded. It aliases the query if nothing in it needed
// decoding. It is read as ParseQuery reads it.
func FromQuery(rawQuery []byte) ([]byte, bool) {
	for len(rawQuery) > 0 {
		var pair []byte
		pair, rawQuery, _ = bytes.Cut(rawQuery, []byte{'&'})
		name, value, _ := bytes.Cut(pair, []byte{'='})
		if !named(name, queryToken) {
			continue
		}
		if bytes.IndexByte(value, '%') < 0 && bytes.IndexByte(value, '+') < 0 {
			return value, len(value) > 0
		}
		return []byte(unescape(string(value))), len(value) > 0
	}
	return nil, false
}

// named reports whether a parameter's name, which may be percent-encoded, is want.
func named(name []byte, want string) bool {
	if bytes.IndexByte(name, '%') < 0 {
		return string(name) == want
	}
	return unescape(string(name)) == want
}
