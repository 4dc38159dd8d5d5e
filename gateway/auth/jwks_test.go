package auth

import (
	"encoding/json"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// Key sets are read as they are published.
func TestKeySetsAreReadAsTheyComeInTheField(t *testing.T) {
	s := newSigner(t, "1", jwt.SigningMethodES256)
	key := s.jwk(t, "ES256", "sig")
	for name, body := range map[string]string{
		"byte order mark":    "\ufeff" + set(key),
		"null":               set(json.RawMessage("null"), key, json.RawMessage("null")),
		"other things":       set(json.RawMessage(`"key"`), json.RawMessage(`[]`), json.RawMessage(`{"kid":7}`), json.RawMessage(`{}`), key),
		"members of its own": `{"keys":[` + string(key) + `],"issuer":{"a":null}}`,
	} {
		c := newTestClients(t, ClientsOptions{Hub: "chat", Issuers: corpAt(serveKeys(t, newPublisher(body)))})
		if r := verifyNow(c, s.token(t, corp)); r != reasons {
			t.Errorf("%s: %v", name, r)
		}
	}
	for name, body := range map[string]string{
		"two marks":     "\ufeff\ufeff" + set(key),
		"mark within":   "{\ufeff\"keys\":[]}",
		"only null":     set(json.RawMessage("null")),
		"secret":        `{"keys":[{"kty":"oct","kid":"1","k":"MDEyMzQ1Njc4OWFiY2RlZg"}]}`,
		"to encrypt by": set(s.jwk(t, "", "enc")),
	} {
		if keys, err := parseKeySet([]byte(body)); err == nil {
			t.Errorf("%s: %d keys", name, len(keys))
		}
	}
}

// A token need not name its key where only one can be meant.
func TestATokenWithoutAKidIsVerifiedWithTheOneKeyThatSuits(t *testing.T) {
	es, other, rs := newSigner(t, "es", jwt.SigningMethodES256), newSigner(t, "other", jwt.SigningMethodES256), newSigner(t, "rs", jwt.SigningMethodRS256)
	unnamed := es
	unnamed.kid = ""
	token := func(header map[string]any) string {
		return sign(t, es.method, es.key, header, jwt.MapClaims{"iss": corp})
	}
	for _, test := range []struct {
		name string
		set  string
		want Reason
	}{
		{"the only key", set(es.jwk(t, "ES256", "")), reasons},
		{"the only key, without a kid", set(unnamed.jwk(t, "", "")), reasons},
		{"the only one of its type", set(rs.jwk(t, "", ""), es.jwk(t, "", "")), reasons},
		{"the only one for signatures", set(other.jwk(t, "", "enc"), es.jwk(t, "", "sig")), reasons},
		{"another", set(other.jwk(t, "", "")), ReasonSignature},
		{"one of two", set(es.jwk(t, "", ""), other.jwk(t, "", "")), ReasonSignature},
		{"none of its type", set(rs.jwk(t, "", "")), ReasonSignature},
	} {
		c := newTestClients(t, ClientsOptions{Hub: "chat", Issuers: corpAt(serveKeys(t, newPublisher(test.set)))})
		for _, header := range []map[string]any{nil, {"kid": ""}} {
			if r := verifyNow(c, token(header)); r != test.want {
				t.Errorf("%s, %v: %v", test.name, header, r)
			}
		}
		if r := verifyNow(c, token(map[string]any{"kid": "unknown"})); r != ReasonSignature {
			t.Errorf("%s, a kid that is not there: %v", test.name, r)
		}
	}
}

func FuzzParseKeySet(f *testing.F) {
	es := newSigner(f, "1", jwt.SigningMethodES256)
	for _, seed := range []string{"", "null", "{}", "\ufeff{}", `{"keys":[null,{}]}`, set(es.jwk(f, "ES256", "sig")), `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseKeySet(body)
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodPS512, jwt.SigningMethodES256, jwt.SigningMethodES384, jwt.SigningMethodEdDSA} {
			for i := range keys {
				if keys[i].suits(method) {
					method.Verify("a.b", []byte("signature"), keys[i].key) // does not panic
				}
			}
		}
	})
}
