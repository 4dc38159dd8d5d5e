package auth

import "testing"

func TestAudiencesAreURLsOfTheGateway(t *testing.T) {
	const endpoint = "https://public.example.com"
	for _, test := range []struct {
		aud, host, target string
		want              bool
	}{
		{"http://h/client/hubs/a", "h", "/client/hubs/a", true},
		{"https://h/client/hubs/a", "h", "/client/hubs/a", true},
		{"ws://h/client/hubs/a", "h", "/client/hubs/a", true},
		{"WSS://H/client/hubs/a", "h", "/client/hubs/a", true},
		{"https://h:443/a", "h", "/a", true},
		{"https://h/a", "h:443", "/a", true},
		{"http://h:80/a", "h", "/a", true},
		{"http://h:443/a", "h", "/a", false},
		{"https://h/a", "h:80", "/a", false},
		{"https://h:8443/a", "h:8443", "/a", true},
		{"https://h:8443/a", "h", "/a", false},
		{"https://[::1]:443/a", "[::1]", "/a", true},
		{"https://public.example.com/a", "10.0.0.1:8080", "/a", true},
		{"http://public.example.com/a", "10.0.0.1:8080", "/a", true},
		{"https://public.example.com:8443/a", "10.0.0.1:8080", "/a", false},
		{"https:///a", "", "/a", false},
		{"https://:443/a", "", "/a", false},
		{"https://u@h/a", "h", "/a", false},
		{"ftp://h/a", "h", "/a", false},
		{"//h/a", "h", "/a", false},
		{"h/a", "h", "/a", false},
		{"https://h", "h", "/", false},
		{"", "h", "/a", false},
		{"https://h?/a", "h", "/a", false},
	} {
		if got := means(test.aud, test.host, endpointHost(endpoint), test.target); got != test.want {
			t.Errorf("%s asked of %s as %s: %v", test.aud, test.host, test.target, got)
		}
	}
	if means("https:///a", "h", endpointHost(""), "/a") {
		t.Error("no host is the endpoint that is not configured")
	}
}

func TestTargetsDifferOnlyInWhatNeedNotBeEncoded(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"/a?b=c", "/a?b=c", true},
		{"/a?f=userId eq 'x'", "/a?f=userId%20eq%20%27x%27", true},
		{"/%C3%BC", "/%c3%bc", true},
		{"/ü", "/%C3%BC", true},
		{"/:send", "/%3Asend", true},
		{"/a%2Fb", "/a%2fb", true},
		{"/a%2Fb", "/a/b", false},
		{"/a?b=%26c", "/a?b=&c", false},
		{"/a%3Fb", "/a?b", false},
		{"/a?b=%2B", "/a?b=+", false},
		{"/a?b=+", "/a?b=%20", false},
		{"/a?b%3Dc", "/a?b=c", false},
		{"/a%23", "/a#", false},
		{"/api/hubs/Chat/:send", "/api/hubs/chat/:send", true},
		{"/client/hubs/CHAT", "/client/hubs/chat", true},
		{"/api/hubs/%43hat/:send", "/api/hubs/chat/:send", true},
		{"/api/hubs/chat/:Send", "/api/hubs/chat/:send", false},
		{"/api/hubs/chat/users/Ann/:send", "/api/hubs/chat/users/ann/:send", false},
		{"/api/Hubs/chat", "/api/hubs/chat", false},
		{"/api/hubs/chat?a=B", "/api/hubs/chat?a=b", false},
		{"/api/hubs/chat#/B", "/api/hubs/chat#/b", false},
		{"/api/hubs?/A/", "/api/hubs?/a/", false},
		{"/api%2Fhubs/A", "/api%2Fhubs/a", false},
		{"/api/hubs/chat%2FA", "/api/hubs/chat%2Fa", true},
		{"/api/hubs/a%2f", "/api/hubs/a/", false},
		{"/api/hubs/[", "/api/hubs/{", false},
		{"/api/hubs/@", "/api/hubs/`", false},
		{"/a%2541", "/aA", false},
		{"/a%2541", "/a%41", false},
		{"/%4", "/%4", true},
		{"/%zz", "/%zz", true},
		{"/%25zz", "/%zz", false},
		{"/a", "/a?", false},
		{"/a", "/ab", false},
	} {
		if sameTarget(test.a, test.b) != test.want || sameTarget(test.b, test.a) != test.want {
			t.Errorf("%s and %s: want %v", test.a, test.b, test.want)
		}
	}
}
