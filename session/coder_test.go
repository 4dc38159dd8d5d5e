package session

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
)

const noTakeover = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"

// dialCoder gives coder/websocket the other end of conn in the role of peer,
// as if a handshake had taken place.
func dialCoder(t testing.TB, ctx context.Context, conn net.Conn, peer Role, deflate bool) *websocket.Conn {
	mode := websocket.CompressionDisabled
	if deflate {
		mode = websocket.CompressionNoContextTakeover
	}
	var coder *websocket.Conn
	var err error
	if peer == Server {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Extensions": {noTakeover},
		}
		coder, err = websocket.Accept(upgrade{httptest.NewRecorder(), conn}, r,
			&websocket.AcceptOptions{CompressionMode: mode, CompressionThreshold: 64})
	} else {
		coder, _, err = websocket.Dial(ctx, "ws://peer.test/", &websocket.DialOptions{
			HTTPClient:      &http.Client{Transport: accept{conn, deflate}},
			CompressionMode: mode, CompressionThreshold: 64,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	coder.SetReadLimit(-1)
	return coder
}

// upgrade hands conn to a server that hijacks it.
type upgrade struct {
	http.ResponseWriter
	conn net.Conn
}

func (u upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return u.conn, bufio.NewReadWriter(bufio.NewReader(u.conn), bufio.NewWriter(u.conn)), nil
}

// accept hands conn to a client that asks for an upgrade.
type accept struct {
	conn    net.Conn
	deflate bool
}

func (a accept) RoundTrip(r *http.Request) (*http.Response, error) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	h := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(sum[:])},
	}
	if a.deflate {
		h.Set("Sec-WebSocket-Extensions", noTakeover)
	}
	return &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: h, Body: a.conn, Request: r}, nil
}

// echoer is our side: it sends every message back, after a ping.
type echoer struct {
	role     Role
	deflate  bool
	conn     net.Conn
	readSize int // bytes read at once
	fragment int // bytes in a frame that is not compressed
	window   int

	read  []input // what came, until Close
	pongs int
	err   error
}

// serve runs until the peer has closed. Writing has a goroutine of its own: a
// peer that answers a ping while it reads would wait for us as we for it.
func (e *echoer) serve() {
	out := make(chan []byte, 1000)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for p := range out {
			e.conn.Write(p)
		}
	}()
	e.loop(out)
	close(out)
	<-written
	e.conn.Close()
}

func (e *echoer) loop(out chan<- []byte) {
	var r Reader
	r.Init(e.role, e.deflate)
	c := testContext()
	defer r.Release(c)
	d := NewDeflater()
	buf := make([]byte, e.readSize)
	for {
		n, err := e.conn.Read(buf)
		for p := buf[:n]; ; {
			in, n, err := r.Next(c, &Limits{Message: 4 << 20, Fragments: 1 << 20}, p, true)
			if err != nil {
				e.err = err
				return
			}
			p = p[n:]
			switch in.Kind {
			case Message:
				e.read = append(e.read, input{in.Kind, in.Op, string(in.Payload), 0})
				out <- e.mask(AppendFrame(nil, ws.OpPing, []byte("ping")))
				out <- e.encode(d, in)
			case Pong:
				e.pongs++
			case Close:
				e.read = append(e.read, input{in.Kind, 0, string(in.Payload), in.Code})
				out <- e.mask(AppendClose(nil, in.Code, ""))
				return
			}
			if in.Kind == None {
				break
			}
		}
		if err != nil {
			e.err = err
			return
		}
	}
}

// encode makes one compressed frame of a message, or several plain ones.
func (e *echoer) encode(d *Deflater, in Input) []byte {
	if e.deflate {
		return e.mask(d.AppendFrame(nil, in.Op, in.Payload, e.window))
	}
	var p []byte
	op, rest := in.Op, in.Payload
	for fin := false; !fin; op = ws.OpContinuation {
		n := min(e.fragment, len(rest))
		fin = n == len(rest)
		p = append(p, e.mask(append(AppendHeader(nil, op, fin, false, n), rest[:n]...))...)
		rest = rest[n:]
	}
	return p
}

// mask makes a client's frame of a server's one if that is our role.
func (e *echoer) mask(p []byte) []byte {
	if e.role == Server {
		return p
	}
	f, err := readFrame(bytes.NewReader(p))
	if err != nil {
		e.err = err
	}
	return ws.MustCompileFrame(ws.MaskFrameInPlaceWith(f, [4]byte{0xa1, 0xb2, 0xc3, 0xd4}))
}

// FuzzAgainstCoder talks to coder/websocket, which shares no code with this
// package: what either side sends, the other reads.
func FuzzAgainstCoder(f *testing.F) {
	f.Add([]byte("Hello, κόσμε"), uint16(1), uint16(7), uint16(3), uint8(0))
	f.Add([]byte(strings.Repeat("compress me ", 20)), uint16(40), uint16(100), uint16(1000), uint8(1))
	f.Add([]byte{0xff, 0x00, 0x80}, uint16(30_000), uint16(1), uint16(40_000), uint8(4))
	f.Add(chat(3000), uint16(30), uint16(4096), uint16(125), uint8(7))
	f.Add([]byte{}, uint16(0), uint16(0), uint16(0), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, copies, readSize, fragment uint16, window uint8) {
		big := bytes.Repeat(data, min(int(copies), (40<<10)/max(1, len(data))))
		type message struct {
			op   ws.OpCode
			data []byte
		}
		text := func(b []byte) []byte { return bytes.ToValidUTF8(b, []byte("\ufffd")) }
		messages := []message{{ws.OpBinary, data}, {ws.OpText, text(data)}, {ws.OpBinary, big}, {ws.OpText, text(big)}}
		for _, role := range []Role{Server, Client} {
			for _, deflate := range []bool{false, true} {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				ours, theirs := net.Pipe()
				e := &echoer{role: role, deflate: deflate, conn: ours,
					readSize: 1 + int(readSize), fragment: 1 + int(fragment), window: 8 + int(window)%8}
				done := make(chan struct{})
				go func() { defer close(done); e.serve() }()

				coder := dialCoder(t, ctx, theirs, Client-role, deflate)
				var want []input
				for i, m := range messages {
					want = append(want, input{Message, m.op, string(m.data), 0})
					if err := send(ctx, coder, m.op, m.data, i%2 == 0); err != nil {
						t.Fatalf("role %d, deflate %v: message %d: %v (our side: %v)", role, deflate, i, err, e.err)
					}
					op, got, err := coder.Read(ctx)
					if err != nil || ws.OpCode(op) != m.op || !bytes.Equal(got, m.data) {
						t.Fatalf("role %d, deflate %v: message %d of %d bytes comes back with opcode %d and %d bytes, %v",
							role, deflate, i, len(m.data), op, len(got), err)
					}
				}
				want = append(want, input{Close, 0, "goodbye", 4000})
				closed := coder.Close(4000, "goodbye")
				<-done
				cancel()
				if closed != nil || e.err != nil || e.pongs != len(messages) || !slices.Equal(e.read, want) {
					t.Fatalf("role %d, deflate %v: closed with %v; our side read %v, %d pongs, %v",
						role, deflate, closed, e.read, e.pongs, e.err)
				}
			}
		}
	})
}

// send sends a message in one go, or in three frames.
func send(ctx context.Context, coder *websocket.Conn, op ws.OpCode, data []byte, whole bool) error {
	if whole {
		return coder.Write(ctx, websocket.MessageType(op), data)
	}
	w, err := coder.Writer(ctx, websocket.MessageType(op))
	if err != nil {
		return err
	}
	for _, part := range [][]byte{data[:len(data)/3], data[len(data)/3:]} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return w.Close()
}
