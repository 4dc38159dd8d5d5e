package auth

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const sendURL = "http://ws.example.com/api/hubs/chat/:send?filter=userId%20eq%20%27a%27"

func TestOnlyKeysOpenTheDataPlane(t *testing.T) {
	token := func(claims jwt.MapClaims) string { return "Bearer " + hs256(t, claims) }
	keysOf := func(hub string) *Keys {
		if hub == "chat" {
			return NewKeys([]string{testKey})
		}
		return nil
	}
	d := NewDataPlane(keysOf, []string{"an API key of someone", "the API key of another"}, "https://public.example.com")
	for _, test := range []struct {
		name, authorization, hub string
		want                     Reason
	}{
		{"nothing", "", "chat", ReasonMissing},
		{"Basic", "Basic dTpw", "chat", ReasonMissing},
		{"no credentials", "Bearer ", "chat", ReasonMissing},
		{"API key", "Bearer an API key of someone", "chat", reasons},
		{"second API key, small letters", "bearer   the API key of another", "chat", reasons},
		{"API key for a hub without keys", "Bearer an API key of someone", "news", reasons},
		{"start of an API key", "Bearer an API key of someon", "chat", ReasonMalformed},
		{"access key as it is", "Bearer " + testKey, "chat", ReasonMalformed},
		{"token", token(jwt.MapClaims{"aud": sendURL}), "chat", reasons},
		{"token for the endpoint", token(jwt.MapClaims{"aud": "https://public.example.com/api/hubs/chat/:send?filter=userId%20eq%20%27a%27"}), "chat", reasons},
		{"token for the endpoint, encoded otherwise", token(jwt.MapClaims{"aud": "https://PUBLIC.example.com:443/api/hubs/chat/%3Asend?filter=userId eq 'a'"}), "chat", reasons},
		{"token, hub without keys", token(jwt.MapClaims{"aud": sendURL}), "news", ReasonKeys},
		{"without the query", token(jwt.MapClaims{"aud": "http://ws.example.com/api/hubs/chat/:send"}), "chat", ReasonAudience},
		{"other query", token(jwt.MapClaims{"aud": sendURL + "&excluded=b"}), "chat", ReasonAudience},
		{"other path", token(jwt.MapClaims{"aud": "http://ws.example.com/api/hubs/chat/:closeConnections"}), "chat", ReasonAudience},
		{"client token", token(jwt.MapClaims{}), "chat", ReasonAudience},
		{"no audience", token(jwt.MapClaims{"aud": nil}), "chat", ReasonAudience},
		{"expired", token(jwt.MapClaims{"aud": sendURL, "exp": now.Unix() - 60}), "chat", ReasonExpired},
		{"other key", "Bearer " + sign(t, jwt.SigningMethodHS256, []byte(oldKey), nil, jwt.MapClaims{"aud": sendURL}), "chat", ReasonSignature},
		{"HS512", "Bearer " + sign(t, jwt.SigningMethodHS512, []byte(testKey), nil, jwt.MapClaims{"aud": sendURL}), "chat", ReasonSignature},
		{"none", "Bearer " + sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, jwt.MapClaims{"aud": sendURL}), "chat", ReasonSignature},
	} {
		r := httptest.NewRequest("POST", sendURL, nil)
		r.Header.Set("Authorization", test.authorization)
		if err := d.check(r, test.hub, now); reason(err) != test.want {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestWithoutAnyKeyTheDataPlaneIsClosed(t *testing.T) {
	d := NewDataPlane(func(string) *Keys { return nil }, nil, "")
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer x", "Bearer " + hs256(t, jwt.MapClaims{"aud": sendURL})} {
		r := httptest.NewRequest("POST", sendURL, nil)
		r.Header.Set("Authorization", authorization)
		if err := d.check(r, "chat", now); reason(err) == reasons {
			t.Errorf("%q opened it", authorization)
		}
	}
}

func TestMintedDataPlaneTokensAreAccepted(t *testing.T) {
	keys := NewKeys([]string{testKey, oldKey})
	d := NewDataPlane(func(string) *Keys { return keys }, nil, "")
	token, err := keys.DataPlaneToken(sendURL, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", sendURL, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	if err := d.Check(r, "chat"); err != nil {
		t.Error(err)
	}
}
