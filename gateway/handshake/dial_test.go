package handshake

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answerOne accepts one connection on loopback, answers its handshake and
// returns at the client's end of the connection.
func answerOne(listener net.Listener, o *Options) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	buf, from := make([]byte, 0, 16<<10), 0
	n := -1
	for n < 0 {
		from = len(buf)
		got, err := conn.Read(buf[from:cap(buf)])
		if err != nil {
			return fmt.Errorf("after %q: %w", buf, err)
		}
		buf = buf[:from+got]
		n = End(buf, from)
	}
	var h Head
	if err := Parse(buf[:n], 64, &h); err != nil {
		return err
	}
	if err := h.Check(); err != nil {
		return err
	}
	answer, _, err := NewUpgrader().Upgrade(nil, &h, o)
	if err != nil {
		return err
	}
	if _, err := conn.Write(answer); err != nil {
		return err
	}
	_, _ = conn.Read(buf[:1]) // a close frame or the end, as the dialer likes
	return nil
}

// TestDialersAcceptTheAnswer lets the clients of two other implementations
// shake hands, with a head of everyday length and with long ones.
func TestDialersAcceptTheAnswer(t *testing.T) {
	options := &Options{Subprotocols: []string{"a", "b"}, Deflate: true, Header: []byte("X-Extra: yes\r\n")}
	for name, dial := range map[string]func(context.Context, string, http.Header) (string, error){
		"coder": func(ctx context.Context, url string, header http.Header) (string, error) {
			conn, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{
				HTTPHeader:      header,
				Subprotocols:    []string{"b", "a"},
				CompressionMode: websocket.CompressionNoContextTakeover,
			})
			if err != nil {
				return "", err
			}
			defer conn.CloseNow()
			if got := response.Header.Get("X-Extra"); got != "yes" {
				return "", fmt.Errorf("X-Extra: %q", got)
			}
			if got := response.Header.Get("Sec-WebSocket-Extensions"); got != plainDeflate {
				return "", fmt.Errorf("extensions %q", got)
			}
			return conn.Subprotocol(), nil
		},
		"gobwas": func(ctx context.Context, url string, header http.Header) (string, error) {
			dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header), Protocols: []string{"b", "a"}}
			conn, buffered, hs, err := dialer.Dial(ctx, url)
			if err != nil {
				return "", err
			}
			defer conn.Close()
			if buffered != nil {
				return "", fmt.Errorf("%d octets behind the answer", buffered.Buffered())
			}
			return hs.Protocol, nil
		},
	} {
		for what, long := range map[string]struct {
			header http.Header
			query  string
		}{
			"short":        {nil, ""},
			"7 KiB cookie": {http.Header{"Cookie": {"c=" + strings.Repeat("x", 7<<10)}}, ""},
			"6 KiB query":  {nil, "?access_token=" + strings.Repeat("q", 6<<10)},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer listener.Close()
				answered := make(chan error, 1)
				go func() { answered <- answerOne(listener, options) }()
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				subprotocol, err := dial(ctx, "ws://"+listener.Addr().String()+"/"+long.query, long.header)
				if err != nil {
					listener.Close()
					t.Fatalf("dial: %v (server: %v)", err, <-answered)
				}
				if err := <-answered; err != nil {
					t.Fatalf("server: %v", err)
				}
				if subprotocol != "b" {
					t.Errorf("subprotocol %q, want the client's first, b", subprotocol)
				}
			})
		}
	}
}
