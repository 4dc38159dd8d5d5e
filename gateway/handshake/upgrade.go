package handshake

import (
	"fmt"
	"io"
	"strconv"

	"github.com/gobwas/ws"
)

// Options is what the server side brings to a handshake. It is only read, and
// may be shared by any number of handshakes.
type Options struct {
	Subprotocols []string // those the server speaks; the client's order decides
	Deflate      bool     // accept permessage-deflate if it is offered
	Header       []byte   // more header lines of the answer, each ending in CRLF
}

// Result is what was agreed.
type Result struct {
	Subprotocol string // the element of Options.Subprotocols, or ""
	Deflate     bool   // permessage-deflate, without context takeover on either side
	WindowBits  uint8  // the server may deflate with a window of at most 2^WindowBits bytes: 8 to 15
}

// Upgrader answers handshakes. It keeps its buffers from one to the next: it
// is for one goroutine at a time.
type Upgrader struct {
	upgrader ws.Upgrader
	exchange exchange
	extra    lines
}

// NewUpgrader returns an Upgrader; one for each loop will do.
func NewUpgrader() *Upgrader {
	u := &Upgrader{}
	u.upgrader = ws.Upgrader{ReadBufferSize: 256, WriteBufferSize: 256, Header: &u.extra}
	return u
}

// Upgrade appends the 101 answer to dst. The head has passed Check. On an
// error, which then nobody but a programmer can be blamed for, dst comes back
// as it was.
func (u *Upgrader) Upgrade(dst []byte, h *Head, o *Options) ([]byte, Result, error) {
	result := Result{Subprotocol: h.selectSubprotocol(o.Subprotocols), WindowBits: 15}
	if o.Deflate && h.deflate.acceptable {
		result.Deflate = true
		if h.deflate.serverBits != 0 {
			result.WindowBits = h.deflate.serverBits
		}
	}
	u.extra = u.extra[:0]
	if result.Subprotocol != "" {
		u.extra = append(u.extra, "Sec-WebSocket-Protocol: "...)
		u.extra = append(u.extra, result.Subprotocol...)
		u.extra = append(u.extra, "\r\n"...)
	}
	if result.Deflate {
		// The client's window is as it likes: 32 KiB are inflated anyway.
		u.extra = append(u.extra, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"...)
		if h.deflate.serverBits != 0 {
			u.extra = append(u.extra, "; server_max_window_bits="...)
			u.extra = strconv.AppendUint(u.extra, uint64(result.WindowBits), 10)
		}
		u.extra = append(u.extra, "\r\n"...)
	}
	u.extra = append(u.extra, o.Header...)

	u.exchange.ask(h.Key, dst)
	_, err := u.upgrader.Upgrade(&u.exchange)
	answered := u.exchange.out
	u.exchange.out = nil // dst is the caller's
	if err != nil {
		return dst, Result{}, fmt.Errorf("answer the handshake: %w", err)
	}
	return answered, result, nil
}

// exchange is the connection that ws.Upgrader believes it talks over.
//
// It reads a request with the client's key and nothing else of the client's:
// what else matters has been checked, by stricter rules than ws.Upgrader's
// (RFC 9110 lets Connection come in two lines, for one), and a long cookie is
// not read a second time.
type exchange struct {
	in   []byte // the request; kept for its capacity
	read int    // of in, how much has been read
	out  []byte
}

// ask makes the exchange ready for one handshake whose answer goes behind dst.
func (x *exchange) ask(key, dst []byte) {
	x.in = append(x.in[:0], "GET / HTTP/1.1\r\nHost: sluice\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-Websocket-Version: 13\r\nSec-Websocket-Key: "...)
	x.in = append(x.in, key...)
	x.in = append(x.in, "\r\n\r\n"...)
	x.read, x.out = 0, dst
}

func (x *exchange) Read(p []byte) (int, error) {
	if x.read == len(x.in) {
		return 0, io.EOF
	}
	n := copy(p, x.in[x.read:])
	x.read += n
	return n, nil
}

func (x *exchange) Write(p []byte) (int, error) {
	x.out = append(x.out, p...)
	return len(p), nil
}

// lines are header lines, each ending in CRLF.
type lines []byte

func (l *lines) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(*l)
	return int64(n), err
}
