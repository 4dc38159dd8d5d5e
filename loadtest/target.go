package main

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gobwas/ws"

	"sluice/session"
)

// A target is the server under load and how to become its client.
type target struct {
	address netip.AddrPort
	request []byte // the upgrade request, the same for all
	accept  string // what its Sec-WebSocket-Accept must be
	sources int    // loopback addresses to connect from
}

// webSocketKey is a nonce of the right form; nothing but the answer depends on it (RFC 6455 §4.1).
const webSocketKey = "c2x1aWNlIGxvYWR0ZXN0IQ=="

// frame encodes a client's frame. All have the same masking key: a generator need not hide its bytes
// from proxies (RFC 6455 §10.3), and a frame that is sent often is encoded once.
func frame(op ws.OpCode, payload []byte) []byte {
	return session.AppendMasked(nil, op, payload, [4]byte{0x5a, 0xa5, 0x3c, 0xc3})
}

// newTarget resolves a ws:// URL. Headers are whole lines, "Name: value".
func newTarget(rawURL string, headers []string, sources int) (target, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return target{}, err
	}
	if u.Scheme != "ws" || u.Host == "" {
		return target{}, fmt.Errorf("%q is no ws:// URL; TLS is not measured here", rawURL)
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "80")
	}
	addr, err := net.ResolveTCPAddr("tcp", host)
	if err != nil {
		return target{}, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", u.RequestURI(), u.Host, webSocketKey)
	for _, h := range headers {
		if !strings.Contains(h, ":") || strings.ContainsAny(h, "\r\n") {
			return target{}, errors.New(`a header is one line, "Name: value"`)
		}
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n")
	sum := sha1.Sum([]byte(webSocketKey + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	ap := addr.AddrPort()
	return target{
		address: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()),
		request: []byte(b.String()),
		accept:  base64.StdEncoding.EncodeToString(sum[:]),
		sources: sources,
	}, nil
}
