package auth

import (
	"bufio"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Tokens that @azure/web-pubsub 1.2.0 made with sdkKey at sdkTime.
const (
	sdkKey = "golden-access-key-of-a-test-0123456789"

	// getClientAccessToken({userId: "ann", roles: […], groups: ["news", "größe & <b>"], expirationTimeInMinutes: 5})
	// of hub chat at https://ws.example.com
	sdkClientToken = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjpbIndlYnB1YnN1Yi5zZW5kVG9Hcm91cC5uZXdzIiwid2VicHVic3ViLmpvaW5MZWF2ZUdyb3Vwcy5yb29tLSoiXSwid2VicHVic3ViLmdyb3VwIjpbIm5ld3MiLCJncsO2w59lICYgPGI-Il0sImlhdCI6MTc2NzIyNTYwMCwiZXhwIjoxNzY3MjI1OTAwLCJhdWQiOiJodHRwczovL3dzLmV4YW1wbGUuY29tL2NsaWVudC9odWJzL2NoYXQiLCJzdWIiOiJhbm4ifQ.QAvR57Ro8otJvBAca7B4NNgvuPe0k4-3gcrOGwIiHS4"

	// getClientAccessToken() of the same
	sdkPlainToken = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3NjcyMjU2MDAsImV4cCI6MTc2NzIyOTIwMCwiYXVkIjoiaHR0cHM6Ly93cy5leGFtcGxlLmNvbS9jbGllbnQvaHVicy9jaGF0In0.iMzRbXEvjTCes5VV83XcShLhWI4puykWjgWe2R-qpJQ"
)

var sdkTime = time.Unix(1767225600, 0)

// sdkRequests are what it sent to http://127.0.0.1:18765.
var sdkRequests = []string{
	"POST /api/hubs/chat/:send?api-version=2024-12-01&excluded=a%20b&excluded=c%2Cd&filter=userId%20eq%20%27o%27%27hara%20%26%2B%2F%25%20%C3%BC%27%20and%20%27a%20b%27%20in%20groups&messageTtlSeconds=60 HTTP/1.1\r\n" +
		"Host: 127.0.0.1:18765\r\n" +
		"Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3NjcyMjU2MDAsImV4cCI6MTc2NzIyOTIwMCwiYXVkIjoiaHR0cDovLzEyNy4wLjAuMToxODc2NS9hcGkvaHVicy9jaGF0LzpzZW5kP2FwaS12ZXJzaW9uPTIwMjQtMTItMDEmZXhjbHVkZWQ9YSUyMGImZXhjbHVkZWQ9YyUyQ2QmZmlsdGVyPXVzZXJJZCUyMGVxJTIwJTI3byUyNyUyN2hhcmElMjAlMjYlMkIlMkYlMjUlMjAlQzMlQkMlMjclMjBhbmQlMjAlMjdhJTIwYiUyNyUyMGluJTIwZ3JvdXBzJm1lc3NhZ2VUdGxTZWNvbmRzPTYwIn0.z_ZMGD-s3m2iMio9Nt5sQxxybztvTlqLiC5AhflIIO0\r\n\r\n",
	"POST /api/hubs/chat/users/a%2Fb%20c'(%C3%A9)!*~%3B%40%3A%24%2C%2B/:send?api-version=2024-12-01 HTTP/1.1\r\n" +
		"Host: 127.0.0.1:18765\r\n" +
		"Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3NjcyMjU2MDAsImV4cCI6MTc2NzIyOTIwMCwiYXVkIjoiaHR0cDovLzEyNy4wLjAuMToxODc2NS9hcGkvaHVicy9jaGF0L3VzZXJzL2ElMkZiJTIwYycoJUMzJUE5KSEqfiUzQiU0MCUzQSUyNCUyQyUyQi86c2VuZD9hcGktdmVyc2lvbj0yMDI0LTEyLTAxIn0.VO3PaLC2hToY1R1fwdpvjFq9umr1uh9Lwyhtrhwonho\r\n\r\n",
	"POST /api/hubs/chat/groups/grp%20name'%5B%5D%7B%7D%7C%5C%5E%60%22%3C%3E/:send?api-version=2024-12-01 HTTP/1.1\r\n" +
		"Host: 127.0.0.1:18765\r\n" +
		"Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3NjcyMjU2MDAsImV4cCI6MTc2NzIyOTIwMCwiYXVkIjoiaHR0cDovLzEyNy4wLjAuMToxODc2NS9hcGkvaHVicy9jaGF0L2dyb3Vwcy9ncnAlMjBuYW1lJyU1QiU1RCU3QiU3RCU3QyU1QyU1RSU2MCUyMiUzQyUzRS86c2VuZD9hcGktdmVyc2lvbj0yMDI0LTEyLTAxIn0.VzNTc4cl04tThhf2tjWGe3Tk_GDrV3hBEBjV5G8B0Eo\r\n\r\n",
}

func sdkRequest(t testing.TB, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestClientTokensOfTheSDKAreAccepted(t *testing.T) {
	c := newTestClients(t, ClientsOptions{Hub: "chat", Keys: NewKeys([]string{sdkKey})})
	got, err := c.Verify(sdkClientToken, "ws.example.com", sdkTime)
	want := &Client{
		User:    "ann",
		Roles:   []string{"webpubsub.sendToGroup.news", "webpubsub.joinLeaveGroups.room-*"},
		Groups:  []string{"news", "größe & <b>"},
		Expires: sdkTime.Add(5 * time.Minute),
		Claims: map[string][]string{
			"sub": {"ann"}, "aud": {"https://ws.example.com/client/hubs/chat"}, "iat": {"1767225600"}, "exp": {"1767225900"},
			"role":            {"webpubsub.sendToGroup.news", "webpubsub.joinLeaveGroups.room-*"},
			"webpubsub.group": {"news", "größe & <b>"},
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	got, err = c.Verify(sdkPlainToken, "ws.example.com", sdkTime)
	if err != nil || got.User != "" || got.Roles != nil || got.Groups != nil || !got.Expires.Equal(sdkTime.Add(time.Hour)) {
		t.Errorf("plain: %+v, %v", got, err)
	}
}

func TestClientTokensSayWhatThoseOfTheSDKSay(t *testing.T) {
	claims := func(token string) (header map[string]any, c jwt.MapClaims) {
		c = jwt.MapClaims{}
		parsed, _, err := jwt.NewParser().ParseUnverified(token, c)
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Header, c
	}
	for _, test := range []struct {
		c    ClientClaims
		want string
	}{
		{ClientClaims{
			Endpoint: "https://ws.example.com", Hub: "chat", User: "ann", TTL: 5 * time.Minute,
			Roles:  []string{"webpubsub.sendToGroup.news", "webpubsub.joinLeaveGroups.room-*"},
			Groups: []string{"news", "größe & <b>"},
		}, sdkClientToken},
		{ClientClaims{Endpoint: "https://ws.example.com/", Hub: "chat"}, sdkPlainToken},
	} {
		token, err := NewKeys([]string{sdkKey, "another key"}).clientToken(test.c, sdkTime)
		if err != nil {
			t.Fatal(err)
		}
		header, got := claims(token)
		wantHeader, want := claims(test.want)
		if !reflect.DeepEqual(header, wantHeader) || !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v %v\nwant %v %v", header, got, wantHeader, want)
		}
	}
}

func TestRequestsOfTheSDKAreAccepted(t *testing.T) {
	d := NewDataPlane(func(string) *Keys { return NewKeys([]string{"a key that is newer", sdkKey}) }, nil, "")
	for _, text := range sdkRequests {
		r := sdkRequest(t, text)
		if err := d.check(r, "chat", sdkTime.Add(time.Minute)); err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
		r.URL.RawQuery += "&x"
		if err := d.check(r, "chat", sdkTime); reason(err) != ReasonAudience {
			t.Errorf("%s: %v", r.URL, err)
		}
	}
}
