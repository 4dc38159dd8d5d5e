package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// DataPlane verifies requests of backends. Any goroutine may use it.
type DataPlane struct {
	keysOf  func(hub string) *Keys
	apiKeys [][sha256.Size]byte // hashed, so that comparing tells nothing of lengths either
	host    string
	parser  *jwt.Parser
}

// NewDataPlane makes a DataPlane. keysOf returns the access keys of a hub, nil
// if it has none, and for a hub that does not exist those whose holders may know
// that; it is called with every request.
// apiKeys open every hub as they are. endpoint is the gateway's base URL, or "".
func NewDataPlane(keysOf func(hub string) *Keys, apiKeys []string, endpoint string) *DataPlane {
	d := &DataPlane{keysOf: keysOf, host: endpointHost(endpoint), parser: newParser()}
	for _, key := range apiKeys {
		d.apiKeys = append(d.apiKeys, sha256.Sum256([]byte(key)))
	}
	return d
}

// Check returns nil if a request may do what it asks of a hub. Its
// Authorization: Bearer is an API key, or a token that an access key of the hub
// signed, by HS256, and whose aud is the URL of the request with its query, at
// the host of the request or of the gateway's endpoint. For the times of the
// token see [Clients.Verify]. Without any key everything is refused. The error
// is an *Error.
func (d *DataPlane) Check(r *http.Request, hub string) error {
	return d.check(r, hub, time.Now())
}

func (d *DataPlane) check(r *http.Request, hub string, now time.Time) error {
	token, _ := FromHeader([]byte(r.Header.Get("Authorization")))
	if d.isAPIKey(token) {
		return nil
	}
	claims, err := verify(d.parser, string(token), func(t *jwt.Token, _ jwt.MapClaims) (any, error) {
		if t.Method != jwt.SigningMethodHS256 {
			return nil, &Error{ReasonSignature, "the token's algorithm is not HS256"}
		}
		return d.keysOf(hub).verification()
	})
	if err != nil {
		return err
	}
	if _, err := validity(claims, now); err != nil {
		return err
	}
	audience, err := claims.GetAudience()
	if err != nil || !slices.ContainsFunc(audience, func(aud string) bool {
		return means(aud, r.Host, d.host, r.URL.RequestURI())
	}) {
		return &Error{ReasonAudience, "the token is meant for another request (aud)"}
	}
	return nil
}

// isAPIKey takes the same time for every token of a length.
func (d *DataPlane) isAPIKey(token []byte) bool {
	sum, found := sha256.Sum256(token), 0
	for i := range d.apiKeys {
		found |= subtle.ConstantTimeCompare(sum[:], d.apiKeys[i][:])
	}
	return found == 1
}
