package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// signer is a key of an issuer.
type signer struct {
	kid    string
	method jwt.SigningMethod
	key    crypto.Signer
}

func newSigner(t testing.TB, kid string, method jwt.SigningMethod) signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch method.Alg() {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{kid, method, key}
}

// jwk is the public key as an issuer publishes it.
func (s signer) jwk(t testing.TB, alg, use string) json.RawMessage {
	t.Helper()
	k, err := jwkset.NewJWKFromKey(s.key.Public(), jwkset.JWKOptions{
		Metadata: jwkset.JWKMetadataOptions{KID: s.kid, ALG: jwkset.ALG(alg), USE: jwkset.USE(use)},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(k.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// token is one of the issuer, signed with s.
func (s signer) token(t testing.TB, iss string) string {
	t.Helper()
	return sign(t, s.method, s.key, map[string]any{"kid": s.kid}, jwt.MapClaims{"iss": iss, "sub": "ann"})
}

func set(keys ...json.RawMessage) string {
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// publisher serves a key set.
type publisher struct {
	body    atomic.Pointer[string]
	status  atomic.Int64
	fetches atomic.Int64
}

func newPublisher(body string) *publisher {
	p := &publisher{}
	p.publish(http.StatusOK, body)
	return p
}

func (p *publisher) publish(status int, body string) {
	p.status.Store(int64(status))
	p.body.Store(&body)
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.fetches.Add(1)
	w.Header().Set("Location", "/elsewhere")
	w.WriteHeader(int(p.status.Load()))
	w.Write([]byte(*p.body.Load()))
}

// RoundTrip answers without a network, for tests whose time is not real.
func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func serveKeys(t testing.TB, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

const corp = "https://id.example"

func corpAt(url string, algorithms ...string) []Issuer {
	return []Issuer{{Name: "corp", Issuer: corp, JWKS: url, Algorithms: algorithms}}
}

func TestTokensOfIssuersAreVerified(t *testing.T) {
	rs, es, ed := newSigner(t, "rs", jwt.SigningMethodRS256), newSigner(t, "es", jwt.SigningMethodES256), newSigner(t, "ed", jwt.SigningMethodEdDSA)
	plain, enc := newSigner(t, "plain", jwt.SigningMethodRS256), newSigner(t, "enc", jwt.SigningMethodRS256)
	other := newSigner(t, "other", jwt.SigningMethodES256)
	ps := rs
	ps.method = jwt.SigningMethodPS256
	plainPS := plain
	plainPS.method = jwt.SigningMethodPS256
	stolen := other
	stolen.kid = "es"
	unnamed := es
	unnamed.kid = ""
	p := newPublisher(set(
		[]byte(`{"kty":"oct","kid":"secret","k":"MDEyMzQ1Njc4OWFiY2RlZg"}`), []byte(`{"kty":"XYZ","kid":"new"}`), []byte(`{"kty":"RSA","kid":"broken","n":"!","e":"AQAB"}`),
		rs.jwk(t, "RS256", "sig"), es.jwk(t, "ES256", ""), ed.jwk(t, "EdDSA", "sig"), plain.jwk(t, "", ""), enc.jwk(t, "", "enc"), unnamed.jwk(t, "", "")))
	c := newTestClients(t, ClientsOptions{
		Hub: "chat", Keys: NewKeys([]string{testKey}),
		Issuers: []Issuer{
			{Name: "corp", Issuer: corp, JWKS: serveKeys(t, p)},
			{Name: "other", Issuer: "https://other.example", JWKS: serveKeys(t, newPublisher(set(other.jwk(t, "ES256", "sig")))), Audience: "chat", Algorithms: []string{"ES256"}},
			{Name: "wide", Issuer: "https://wide.example", JWKS: serveKeys(t, p), Algorithms: []string{"RS256", "PS256"}},
		},
	})
	der, err := x509.MarshalPKIXPublicKey(rs.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	kid := func(name string) map[string]any { return map[string]any{"kid": name} }
	for _, test := range []struct {
		name, token string
		want        Reason
	}{
		{"RS256", rs.token(t, corp), reasons},
		{"ES256", es.token(t, corp), reasons},
		{"EdDSA", ed.token(t, corp), reasons},
		{"key without alg", plain.token(t, corp), reasons},
		{"key for encryption", enc.token(t, corp), ReasonSignature},
		{"PS256, not allowed", plainPS.token(t, corp), ReasonSignature},
		{"PS256, allowed", plainPS.token(t, "https://wide.example"), reasons},
		{"PS256, allowed, of a key for RS256", ps.token(t, "https://wide.example"), ReasonSignature},
		{"key of another type than the algorithm", sign(t, jwt.SigningMethodES256, es.key, kid("plain"), jwt.MapClaims{"iss": corp}), ReasonSignature},
		{"HS256 with the public key", sign(t, jwt.SigningMethodHS256, public, kid("rs"), jwt.MapClaims{"iss": corp, "aud": hubURL}), ReasonSignature},
		{"HS256 with a published key", sign(t, jwt.SigningMethodHS512, []byte(testKey), kid("secret"), jwt.MapClaims{"iss": corp, "aud": hubURL}), ReasonSignature},
		{"none", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid("rs"), jwt.MapClaims{"iss": corp}), ReasonSignature},
		{"no issuer", rs.token(t, ""), ReasonIssuer},
		{"unknown issuer", rs.token(t, "https://id.example/"), ReasonIssuer},
		{"issuer a number", sign(t, rs.method, rs.key, kid("rs"), jwt.MapClaims{"iss": 1}), ReasonIssuer},
		{"key of another issuer", other.token(t, corp), ReasonSignature},
		{"key of another issuer under the kid of this one", stolen.token(t, corp), ReasonSignature},
		{"no kid", sign(t, es.method, es.key, nil, jwt.MapClaims{"iss": corp}), ReasonSignature},
		{"empty kid", unnamed.token(t, corp), ReasonSignature},
		{"kid a number", sign(t, es.method, es.key, map[string]any{"kid": 1}, jwt.MapClaims{"iss": corp}), ReasonSignature},
		{"broken key", sign(t, rs.method, rs.key, kid("broken"), jwt.MapClaims{"iss": corp}), ReasonSignature},
		{"expired", sign(t, es.method, es.key, kid("es"), jwt.MapClaims{"iss": corp, "exp": now.Unix() - 60}), ReasonExpired},
		{"other audience", sign(t, other.method, other.key, kid("other"), jwt.MapClaims{"iss": "https://other.example", "aud": "news"}), ReasonAudience},
		{"no audience where one is wanted", other.token(t, "https://other.example"), ReasonAudience},
		{"audience", sign(t, other.method, other.key, kid("other"), jwt.MapClaims{"iss": "https://other.example", "aud": []string{"news", "chat"}}), reasons},
		{"an access key beside", hs256(t, jwt.MapClaims{"sub": "ann"}), reasons},
	} {
		got, err := verifyIn(context.Background(), c, test.token, host, now)
		if reason(err) != test.want || err == nil && got.User != "ann" && test.name != "audience" {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
	}
}

func TestOnlyAccessKeysAreVerifiedOnALoop(t *testing.T) {
	es := newSigner(t, "es", jwt.SigningMethodES256)
	c := newTestClients(t, ClientsOptions{Hub: "chat", Keys: NewKeys([]string{testKey}), Issuers: corpAt(serveKeys(t, newPublisher(set(es.jwk(t, "ES256", "")))))})
	for _, test := range []struct {
		name, token string
		want        bool
	}{
		{"HS256", hs256(t, jwt.MapClaims{}), true},
		{"HS256, other header", sign(t, jwt.SigningMethodHS256, []byte(testKey), map[string]any{"kid": "1"}, jwt.MapClaims{}), true},
		{"ES256", es.token(t, corp), false},
		{"two algorithms", sign(t, es.method, es.key, map[string]any{"kid": "es", "ALG": "HS256"}, jwt.MapClaims{"iss": corp}), false},
		{"nothing", "", true},
		{"no token", "hello", true},
	} {
		if got := c.Way(test.token) == AtOnce; got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestIssuersThatWouldBeUnsafeAreRefused(t *testing.T) {
	for name, i := range map[string]Issuer{
		"no iss":    {JWKS: "https://host/"},
		"no keys":   {Issuer: corp},
		"plain":     {Issuer: corp, JWKS: "http://host/"},
		"localhost": {Issuer: corp, JWKS: "http://localhost.example/"},
		"password":  {Issuer: corp, JWKS: "https://user:hunter2@host/"},
		"file":      {Issuer: corp, JWKS: "file:///keys"},
		"HS256":     {Issuer: corp, JWKS: "https://host/", Algorithms: []string{"RS256", "HS256"}},
		"none":      {Issuer: corp, JWKS: "https://host/", Algorithms: []string{"none"}},
	} {
		c, err := NewClients(ClientsOptions{Hub: "chat", Issuers: []Issuer{i}, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			c.Close()
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	twice := append(corpAt("https://a/"), corpAt("https://b/")...)
	if _, err := NewClients(ClientsOptions{Issuers: twice, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("two issuers of one name were accepted")
	}
}
