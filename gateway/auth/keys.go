package auth

import (
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Keys are the access keys of a hub. The first one signs, all are accepted, so
// that a key can be replaced while tokens of the old one are about. A nil *Keys
// has none. Keys are immutable and may be used by any number of goroutines.
type Keys struct {
	set jwt.VerificationKeySet // of []byte
}

// NewKeys makes Keys of a list, the primary key first. It copies the list.
func NewKeys(list []string) *Keys {
	k := &Keys{}
	for _, key := range list {
		k.set.Keys = append(k.set.Keys, []byte(key))
	}
	return k
}

// Empty reports whether there is no key.
func (k *Keys) Empty() bool { return k == nil || len(k.set.Keys) == 0 }

// ErrNoKey says that a token cannot be made without an access key.
var ErrNoKey = errors.New("no access key is configured")

// ClientClaims are what a client's token says.
type ClientClaims struct {
	Endpoint string        // base URL of the gateway, such as https://ws.example.com
	Hub      string        // that the client may connect to
	User     string        // "": anonymous
	Roles    []string      // see [Roles.With]
	Groups   []string      // that the client joins when it connects
	TTL      time.Duration // how long it is valid from now; 0: an hour
}

// ClientToken makes the token of a client, as the SDKs of Azure Web PubSub do.
func (k *Keys) ClientToken(c ClientClaims) (string, error) {
	return k.clientToken(c, time.Now())
}

func (k *Keys) clientToken(c ClientClaims, now time.Time) (string, error) {
	claims := jwt.MapClaims{"aud": trimSlash(c.Endpoint) + clientPath(c.Hub)}
	if c.User != "" {
		claims["sub"] = c.User
	}
	if len(c.Roles) > 0 {
		claims["role"] = c.Roles
	}
	if len(c.Groups) > 0 {
		claims["webpubsub.group"] = c.Groups
	}
	return k.sign(claims, c.TTL, now)
}

// DataPlaneToken makes a token for one kind of request to the data plane: to
// this URL, with its query. A ttl of 0 is an hour.
func (k *Keys) DataPlaneToken(url string, ttl time.Duration) (string, error) {
	return k.dataPlaneToken(url, ttl, time.Now())
}

func (k *Keys) dataPlaneToken(url string, ttl time.Duration, now time.Time) (string, error) {
	return k.sign(jwt.MapClaims{"aud": url}, ttl, now)
}

// sign adds the times, which are in whole seconds, and signs with the primary key.
func (k *Keys) sign(claims jwt.MapClaims, ttl time.Duration, now time.Time) (string, error) {
	if k.Empty() {
		return "", ErrNoKey
	}
	if ttl == 0 {
		ttl = time.Hour
	}
	claims["iat"] = now.Unix()
	claims["exp"] = now.Unix() + int64((ttl+time.Second-1)/time.Second)
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(k.set.Keys[0])
}

// verification returns the keys for the parser.
func (k *Keys) verification() (any, error) {
	if k.Empty() {
		return nil, &Error{ReasonKeys, "no access key is configured"}
	}
	return k.set, nil
}
