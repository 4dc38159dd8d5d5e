package auth

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// noNetwork counts who asks, and answers nobody.
type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network")
}

// Whatever is sent as a token: nothing panics, nobody gets in by chance, and
// what a loop may verify never gets as far as a key set.
func FuzzVerify(f *testing.F) {
	es := newSigner(f, "1", jwt.SigningMethodES256)
	for _, seed := range []string{
		"", ".", "..", "...", "a.b.c", sdkClientToken, sdkPlainToken, hs256(f, jwt.MapClaims{}), es.token(f, corp),
		sign(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, jwt.MapClaims{"iss": corp}),
		sign(f, es.method, es.key, map[string]any{"kid": "1", "ALG": "HS256"}, jwt.MapClaims{"iss": corp}),
	} {
		f.Add(seed)
	}
	known := map[string]bool{sdkClientToken: true, sdkPlainToken: true}
	c := newTestClients(f, ClientsOptions{
		Hub: "chat", Keys: NewKeys([]string{sdkKey}),
		Issuers: corpAt("https://id.example/keys"), Client: &http.Client{Transport: noNetwork{}},
	})
	f.Fuzz(func(t *testing.T, token string) {
		local := c.Way(token) == AtOnce
		got, err := verifyIn(context.Background(), c, token, host, sdkTime)
		var refused *Error
		switch {
		case err == nil && !known[token]:
			t.Errorf("%q got in as %+v", token, got)
		case err != nil && !errors.As(err, &refused):
			t.Errorf("%q: %v", token, err)
		case err != nil && local && refused.Error() == "the key set of the token's issuer cannot be had now":
			t.Errorf("%q: asked for a key set", token)
		}
	})
}
