package webhook

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"sluice/gateway/upstream"
)

func TestPrivateAddresses(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "100.100.100.200", "127.0.0.1", "127.255.0.1",
		"169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1",
		"239.1.2.3", "255.255.255.255", "240.0.0.1", "168.63.129.16",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1",
		"2001:0:1:2::3", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
	} {
		if !isPrivate(netip.MustParseAddr(s)) {
			t.Errorf("%s is taken for public", s)
		}
	}
	for _, s := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1",
		"192.167.1.1", "223.255.255.255", "::ffff:8.8.8.8", "2606:4700::1111", "2a00:1450::1", "2001:4860::8888",
	} {
		if isPrivate(netip.MustParseAddr(s)) {
			t.Errorf("%s is taken for private", s)
		}
	}
}

// What counts is the address that is dialled, not what the URL says.
func TestPrivateBackendsAreNotDialledIfSoConfigured(t *testing.T) {
	var got string
	_, port, err := net.SplitHostPort(strings.TrimPrefix(serve(t, keepBody(&got)).URL, "http://"))
	wantNoError(t, err)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		o := options("http://" + host + ":" + port)
		o.Config.PrivateAddresses = false
		_, err := attempt(t, start(t, o), message("x"))
		failed(t, err, upstream.Unsent, "private_addresses is off")
		if got != "" {
			t.Fatalf("%s was reached", host)
		}
	}
	_, err = attempt(t, start(t, options("http://localhost:"+port)), message("x"))
	if err != nil || got != "x" {
		t.Errorf("with private addresses: got %q, %v", got, err)
	}
}

func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://192.0.2.1:1")
	}
	var got string
	_, err := attempt(t, start(t, options(serve(t, keepBody(&got)).URL)), message("x"))
	if err != nil || got != "x" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTLS(t *testing.T) {
	var resumed bool
	var name string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resumed, name = r.TLS.DidResume, r.TLS.ServerName
		w.WriteHeader(http.StatusNoContent)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()

	_, err := attempt(t, start(t, options(s.URL)), message("x"))
	failed(t, err, upstream.Unsent, "certificate")

	trusting := func(url string) *protocol {
		p := start(t, options(url))
		p.client.tls.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		return p
	}
	p := trusting(s.URL)
	for range 10 { // over one connection
		_, err := attempt(t, p, message("x"))
		wantNoError(t, err)
	}
	resting(t, p, func(c *conn) { c.made = c.made.Add(-lifetime) })
	_, err = attempt(t, p, message("x"))
	wantNoError(t, err)
	if !resumed {
		t.Error("the second handshake was a full one")
	}
	if name != "" {
		t.Errorf("an address was sent as the server's name: %q", name)
	}

	// The certificate is for example.com, which is only tried by name.
	p = trusting("https://example.com:1")
	p.client.address = s.Listener.Addr().String()
	_, err = attempt(t, p, message("x"))
	if wantNoError(t, err); name != "example.com" {
		t.Errorf("the server's name was sent as %q", name)
	}
	p = trusting("https://example.org:1")
	p.client.address = s.Listener.Addr().String()
	_, err = attempt(t, p, message("x"))
	failed(t, err, upstream.Unsent, "example.org")
}

func TestOldTLSIsRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	s.StartTLS()
	defer s.Close()
	p := start(t, options(s.URL))
	p.client.tls.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	_, err := attempt(t, p, message("x"))
	failed(t, err, upstream.Unsent, "version")
}

// The end of a kept connection is seen through TLS, too.
func TestConnectionsWithTLSThatEndAreReplaced(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer s.Close()
	p := start(t, options(s.URL))
	p.client.tls.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for range 20 {
		_, err := attempt(t, p, message("x"))
		wantNoError(t, err)
		s.CloseClientConnections()
	}
}
