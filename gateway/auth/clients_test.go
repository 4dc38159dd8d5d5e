package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey = "0123456789abcdef"
	oldKey  = "fedcba9876543210"
	hubURL  = "https://ws.example.com/client/hubs/chat"
	host    = "ws.example.com"
)

var now = time.Unix(1_800_000_000, 0)

func newTestClients(t testing.TB, o ClientsOptions) *Clients {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c, err := NewClients(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// verifyIn verifies a token as the gateway does: it waits for a key set if it
// must, and until ctx ends.
func verifyIn(ctx context.Context, c *Clients, token, host string, now time.Time) (*Client, error) {
	if c.Way(token) == Fetched {
		fetched := make(chan struct{})
		c.Await(token, host, 1000, func(*Client, error) { close(fetched) })
		select {
		case <-fetched:
		case <-ctx.Done():
		}
	}
	return c.Verify(token, host, now)
}

// reason returns why a token was refused, reasons if it was not.
func reason(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return reasons
}

// sign makes a token of claims, to which it adds an expiry if they have none.
func sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for name, value := range header {
		token.Header[name] = value
	}
	if _, ok := claims["exp"]; !ok {
		claims["exp"] = now.Unix() + 60
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func hs256(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	if _, ok := claims["aud"]; !ok {
		claims["aud"] = hubURL
	}
	return sign(t, jwt.SigningMethodHS256, []byte(testKey), nil, claims)
}

func TestTokensAreRefusedForTheRightReason(t *testing.T) {
	good := hs256(t, jwt.MapClaims{"sub": "ann"})
	head, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	raw := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	signed := func(payload string) string {
		text := head + "." + raw(payload)
		s, err := jwt.SigningMethodHS256.Sign(text, []byte(testKey))
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + base64.RawURLEncoding.EncodeToString(s)
	}
	c := newTestClients(t, ClientsOptions{Hub: "chat", Keys: NewKeys([]string{testKey, oldKey})})
	for _, test := range []struct {
		name, token string
		want        Reason
	}{
		{"good", good, reasons},
		{"second key", sign(t, jwt.SigningMethodHS256, []byte(oldKey), nil, jwt.MapClaims{"aud": hubURL}), reasons},
		{"empty", "", ReasonMissing},
		{"long and good", hs256(t, jwt.MapClaims{"long": strings.Repeat("a", 40_000)}), reasons},
		{"long and no token", strings.Repeat("a", 60_000), ReasonMalformed},
		{"no token", "hello", ReasonMalformed},
		{"four parts", good + ".a", ReasonMalformed},
		{"padding", good + "=", ReasonMalformed},
		{"header not JSON", raw("{") + "." + body + "." + signature, ReasonMalformed},
		{"claims not an object", signed("[]"), ReasonMalformed},
		{"claims null", signed("null"), ReasonExpired},
		{"other key", sign(t, jwt.SigningMethodHS256, []byte("another access key"), nil, jwt.MapClaims{"aud": hubURL}), ReasonSignature},
		{"empty key", sign(t, jwt.SigningMethodHS256, []byte{}, nil, jwt.MapClaims{"aud": hubURL}), ReasonSignature},
		{"other claims", head + "." + raw(`{"sub":"eve"}`) + "." + signature, ReasonSignature},
		{"no signature", head + "." + body + ".", ReasonSignature},
		{"none", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, jwt.MapClaims{"aud": hubURL}), ReasonIssuer},
		{"HS512", sign(t, jwt.SigningMethodHS512, []byte(testKey), nil, jwt.MapClaims{"aud": hubURL}), ReasonIssuer},
		{"unknown algorithm", raw(`{"alg":"XS256"}`) + "." + body + "." + signature, ReasonMalformed},
		{"no algorithm", raw(`{}`) + "." + body + "." + signature, ReasonMalformed},
		{"critical extension", sign(t, jwt.SigningMethodHS256, []byte(testKey), map[string]any{"crit": []string{"b64"}, "b64": true}, jwt.MapClaims{"aud": hubURL}), ReasonMalformed},
		{"no expiry", signed(`{"aud":"` + hubURL + `"}`), ReasonExpired},
		{"expired within the leeway", hs256(t, jwt.MapClaims{"exp": now.Unix() - 59}), reasons},
		{"expired with the leeway", hs256(t, jwt.MapClaims{"exp": now.Unix() - 60}), ReasonExpired},
		{"expires in a moment", hs256(t, jwt.MapClaims{"exp": float64(now.Unix()) + 0.5}), reasons},
		{"expiry a text", hs256(t, jwt.MapClaims{"exp": "tomorrow"}), ReasonMalformed},
		{"expiry null", hs256(t, jwt.MapClaims{"exp": nil}), ReasonMalformed},
		{"expiry beyond dates", signed(`{"exp":1e300,"aud":"` + hubURL + `"}`), ReasonMalformed},
		{"expiry beyond numbers", signed(`{"exp":1e999,"aud":"` + hubURL + `"}`), ReasonMalformed},
		{"expiry negative", signed(`{"exp":-1,"aud":"` + hubURL + `"}`), ReasonMalformed},
		{"not before now and the leeway", hs256(t, jwt.MapClaims{"nbf": now.Unix() + 60}), reasons},
		{"not before later", hs256(t, jwt.MapClaims{"nbf": now.Unix() + 61}), ReasonExpired},
		{"not before a text", hs256(t, jwt.MapClaims{"nbf": "now"}), ReasonMalformed},
		{"issued in a year", hs256(t, jwt.MapClaims{"iat": now.Unix() + 365*24*60*60}), reasons},
		{"issued in milliseconds", hs256(t, jwt.MapClaims{"iat": now.UnixMilli()}), reasons},
		{"issued a text", hs256(t, jwt.MapClaims{"iat": "now"}), reasons},
		{"no audience", signed(`{"exp":1900000000}`), ReasonAudience},
		{"audience a number", hs256(t, jwt.MapClaims{"aud": 1}), ReasonAudience},
		{"audiences", hs256(t, jwt.MapClaims{"aud": []string{"https://other", hubURL}}), reasons},
		{"other hub", hs256(t, jwt.MapClaims{"aud": hubURL + "s"}), ReasonAudience},
		{"other host", hs256(t, jwt.MapClaims{"aud": "https://other.example.com/client/hubs/chat"}), ReasonAudience},
		{"slash at the end", hs256(t, jwt.MapClaims{"aud": hubURL + "/"}), ReasonAudience},
		{"query", hs256(t, jwt.MapClaims{"aud": hubURL + "?a"}), ReasonAudience},
		{"user in the audience", hs256(t, jwt.MapClaims{"aud": "https://ws.example.com@evil/client/hubs/chat"}), ReasonAudience},
		{"data plane token", hs256(t, jwt.MapClaims{"aud": "https://ws.example.com/api/hubs/chat/:send"}), ReasonAudience},
		{"subject a number", hs256(t, jwt.MapClaims{"sub": 7}), ReasonMalformed},
		{"role a text", hs256(t, jwt.MapClaims{"role": "webpubsub.sendToGroup"}), reasons},
		{"role a number", hs256(t, jwt.MapClaims{"role": 7}), ReasonRole},
		{"role a list of numbers", hs256(t, jwt.MapClaims{"role": []int{7}}), ReasonRole},
		{"subject ..", hs256(t, jwt.MapClaims{"sub": ".."}), ReasonMalformed},
		{"subject .", hs256(t, jwt.MapClaims{"sub": "."}), ReasonMalformed},
		{"subject too long", hs256(t, jwt.MapClaims{"sub": strings.Repeat("x", 1025)}), ReasonMalformed},
		{"subject empty", hs256(t, jwt.MapClaims{"sub": ""}), reasons},
		{"subject ...", hs256(t, jwt.MapClaims{"sub": "..."}), reasons},
		{"group ..", hs256(t, jwt.MapClaims{"webpubsub.group": []string{"red", ".."}}), ReasonRole},
		{"group .", hs256(t, jwt.MapClaims{"webpubsub.group": "."}), ReasonRole},
		{"group empty", hs256(t, jwt.MapClaims{"webpubsub.group": ""}), ReasonRole},
		{"group too long", hs256(t, jwt.MapClaims{"webpubsub.group": strings.Repeat("x", 1025)}), ReasonRole},
		{"groups an object", hs256(t, jwt.MapClaims{"webpubsub.group": map[string]any{}}), ReasonRole},
	} {
		got, err := c.Verify(test.token, host, now)
		if reason(err) != test.want || (err == nil) != (got != nil) {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
		if c.Way(test.token) != AtOnce {
			t.Errorf("%s: not local, and there is no issuer", test.name)
		}
		if err != nil && len(test.token) > 20 && (strings.Contains(err.Error(), test.token) || strings.Contains(err.Error(), signature)) {
			t.Errorf("%s: the error quotes the token", test.name)
		}
	}
}

// Where sessions end with their tokens, one that came within the leeway is not
// closed at once, and all others end on time.
func TestATokenExpiresWithTheLeewayOnlyIfItWasNeeded(t *testing.T) {
	c := newTestClients(t, ClientsOptions{Hub: "chat", Keys: NewKeys([]string{testKey})})
	for exp, want := range map[int64]int64{60: 60, 1: 1, 0: 60, -1: 59, -59: 1} {
		got, err := c.Verify(hs256(t, jwt.MapClaims{"exp": now.Unix() + exp}), host, now)
		if err != nil || got.Expires.Unix() != now.Unix()+want {
			t.Errorf("exp in %d s: %+v, %v; want its end in %d s", exp, got, err, want)
		}
	}
}

func TestHubsWithoutAKeyAcceptNoAccessKey(t *testing.T) {
	for _, keys := range []*Keys{nil, NewKeys(nil)} {
		c := newTestClients(t, ClientsOptions{Hub: "chat", Keys: keys})
		if _, err := c.Verify(hs256(t, jwt.MapClaims{}), host, now); reason(err) != ReasonKeys {
			t.Errorf("%v", err)
		}
		if _, err := keys.ClientToken(ClientClaims{Hub: "chat"}); !errors.Is(err, ErrNoKey) {
			t.Errorf("made a token: %v", err)
		}
		if _, err := keys.DataPlaneToken("https://host/", 0); !errors.Is(err, ErrNoKey) {
			t.Errorf("made a token: %v", err)
		}
	}
}

func TestClaimsReachTheBackendAsTexts(t *testing.T) {
	c := newTestClients(t, ClientsOptions{Hub: "chat", Keys: NewKeys([]string{testKey})})
	token := hs256(t, jwt.MapClaims{
		"exp": 1800000060, "text": "a<b>", "yes": true, "no": false, "large": int64(9007199254740993), "half": 0.5, "nothing": nil,
		"list": []any{"a", 1, true, nil, []any{2}, map[string]any{"k": "<"}}, "empty": []any{}, "object": map[string]any{"a": []int{1}},
	})
	got, err := c.Verify(token, host, now)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"aud": {hubURL}, "exp": {"1800000060"}, "text": {"a<b>"}, "yes": {"true"}, "no": {"false"}, "large": {"9007199254740993"}, "half": {"0.5"},
		"list": {"a", "1", "true", "null", "[2]", `{"k":"<"}`}, "empty": {}, "object": {`{"a":[1]}`},
	}
	if !reflect.DeepEqual(got.Claims, want) {
		t.Errorf("got  %q\nwant %q", got.Claims, want)
	}
}

func TestMintedTokensAreAccepted(t *testing.T) {
	keys := NewKeys([]string{testKey})
	c := newTestClients(t, ClientsOptions{Hub: "chat", Keys: keys, Endpoint: "https://ws.example.com"})
	token, err := keys.ClientToken(ClientClaims{Endpoint: "https://ws.example.com", Hub: "chat", User: "ann", TTL: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	got, err := c.Verify(token, "10.0.0.1:8080", at)
	if err != nil || got.User != "ann" || got.Expires.Before(at.Add(-time.Second)) || got.Expires.After(at.Add(time.Second)) {
		t.Errorf("%+v, %v", got, err)
	}
}

func BenchmarkVerifyHS256(b *testing.B) {
	c := newTestClients(b, ClientsOptions{Hub: "chat", Keys: NewKeys([]string{sdkKey})})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Verify(sdkClientToken, host, sdkTime); err != nil {
			b.Fatal(err)
		}
	}
}
