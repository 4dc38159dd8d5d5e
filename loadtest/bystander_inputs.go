package main

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// An input is the worst that a stranger is known to be able to send, of one kind.
type input struct {
	name, what string
	// send sends it once, on connections of its own or on the one it was given before, and returns how
	// many bytes it wrote. The gateway may answer as it likes, and end the connection.
	send func(ctx context.Context, v *visitor) error
}

func (i input) label() string { return i.name }

// nobody is the row to which the others are compared.
var nobody = input{name: "nobody", what: "the bystanders alone"}

func inputs() []input {
	message := func(path string, frames []byte) func(context.Context, *visitor) error {
		return func(ctx context.Context, v *visitor) error { return v.say(ctx, path, frames) }
	}
	return []input{
		{"deflate-blocks", "a message of empty dynamic DEFLATE blocks, 1 MiB", message(deflated, deflatedFrame(emptyBlocks()))},
		{"deflate-zeros", "compressed zeros that become 1 MiB, answered compressed", message(deflated, deflatedFrame(compressedZeros(1<<20)))},
		{"long", "binary messages of 1 MiB", message("", frame(ws.OpBinary, make([]byte, 1<<20)))},
		{"utf8", "text messages of 1 MiB, four bytes a character", message("", frame(ws.OpText, []byte(strings.Repeat("\U0001F600", 1<<18))))},
		{"tiny", "messages of one byte, a thousand at a time", message("", bytes.Repeat(frame(ws.OpText, []byte("a")), 1000))},
		{"fragments", "messages in a thousand fragments of one byte", message("", fragments(1000))},
		{"pings", "pings as fast as they are taken", message("", bytes.Repeat(frame(ws.OpPing, []byte("p")), 200))},
		{"handshakes", "upgrades with 60 headers, connection after connection", sendHandshake},
		{"requests", "plain requests for the API's description, a hundred at a time, each answer read", sendRequests},
		{"pushes", "pushes to everybody with the longest filter, by a backend that means no harm", sendPush},
	}
}

// keepSending sends the input again and again until ctx ends, and adds what it wrote to sent.
func (i input) keepSending(ctx context.Context, s *site, n int, sent *atomic.Int64) {
	v := &visitor{site: s, sent: sent, number: n}
	stop := context.AfterFunc(ctx, v.leave)
	defer stop()
	defer v.leave()
	for ctx.Err() == nil {
		if err := i.send(ctx, v); err != nil && ctx.Err() == nil {
			v.leave()
			var no syscall.Errno
			if errors.As(err, &no) && no == syscall.ECONNREFUSED {
				return
			}
		}
	}
}

// A visitor is a stranger: at most one connection at a time, which it reads dry while it writes.
type visitor struct {
	site   *site
	sent   *atomic.Int64
	number int
	conn   atomic.Pointer[visit]
}

// A visit is one connection of a visitor.
type visit struct {
	net.Conn
	heard chan int // bytes, as they are read; closed at the end
}

// say writes frames to the hub at path, over a connection that is kept, and waits for some answer.
func (v *visitor) say(ctx context.Context, path string, frames []byte) error {
	c := v.conn.Load()
	if c == nil {
		d := ws.Dialer{NetDial: v.dial}
		if path == deflated {
			d.Extensions = append(d.Extensions, (wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}).Option())
		}
		conn, br, _, err := d.Dial(ctx, "ws://"+v.site.address+"/"+path)
		if err != nil {
			return err
		}
		if br != nil {
			ws.PutReader(br)
		}
		c = v.arrive(conn)
	}
	return v.write(c, frames)
}

// arrive begins to read conn dry.
func (v *visitor) arrive(conn net.Conn) *visit {
	c := &visit{conn, make(chan int, 1)}
	v.conn.Store(c)
	go c.drain()
	return c
}

// drain reads until the end, and says now and then that something came.
func (c *visit) drain() {
	defer close(c.heard)
	p := make([]byte, 64<<10)
	for {
		n, err := c.Read(p)
		if err != nil {
			return
		}
		select {
		case c.heard <- n:
		default:
		}
	}
}

// write writes p and waits for an answer to some of it.
func (v *visitor) write(c *visit, p []byte) error {
	select {
	case <-c.heard: // of what was said before
	default:
	}
	n, err := c.Write(p)
	v.sent.Add(int64(n))
	if err != nil {
		return err
	}
	if _, ok := <-c.heard; !ok {
		return io.EOF
	}
	return nil
}

// leave ends the visit, if there is one. Any goroutine.
func (v *visitor) leave() {
	if c := v.conn.Swap(nil); c != nil {
		c.Close()
	}
}

// dial connects from an address of the visitors' own.
func (v *visitor) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, 0, byte(v.number+1))}, Timeout: 5 * time.Second}
	return d.DialContext(ctx, network, address)
}

// sendHandshake upgrades with a head that is nearly as long as may be, and leaves by a reset, which
// keeps the kernel from running out of ports.
func sendHandshake(ctx context.Context, v *visitor) error {
	conn, err := v.dial(ctx, "tcp", v.site.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetLinger(0)
	return v.write(v.arrive(conn), upgradeRequest)
}

var upgradeRequest = []byte("GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	strings.Repeat("X-Padding: "+strings.Repeat("x", 100)+"\r\n", 57) + "\r\n")

// ask writes plain requests over a connection that is kept, and waits for some answer.
func (v *visitor) ask(ctx context.Context, requests []byte) error {
	c := v.conn.Load()
	if c == nil {
		conn, err := v.dial(ctx, "tcp", v.site.address)
		if err != nil {
			return err
		}
		c = v.arrive(conn)
	}
	return v.write(c, requests)
}

// sendRequests asks a hundred times, and reads at least the first answer before it asks again.
func sendRequests(ctx context.Context, v *visitor) error {
	return v.ask(ctx, bytes.Repeat([]byte("GET /api/openapi.json HTTP/1.1\r\nHost: example.com\r\n\r\n"), 100))
}

// sendPush pushes to everybody of a hub whom a long filter means: nobody.
func sendPush(ctx context.Context, v *visitor) error {
	return v.ask(ctx, pushRequest)
}

var pushRequest = []byte("POST /api/hubs/default/:send?filter=" + strings.Repeat("startswith(userId,%27a%27)%20or%20", 40) +
	"userId%20eq%20%27a%27 HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer " + siteKey +
	"\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx")

// fragments is a message of n frames of one byte each.
func fragments(n int) []byte {
	p := fragment(ws.OpText, false)
	for range n - 2 {
		p = append(p, fragment(ws.OpContinuation, false)...)
	}
	return append(p, fragment(ws.OpContinuation, true)...)
}

func fragment(op ws.OpCode, fin bool) []byte {
	return ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewFrame(op, fin, []byte("f"))))
}

// deflatedFrame is a message that is compressed already.
func deflatedFrame(payload []byte) []byte {
	f := ws.NewFrame(ws.OpBinary, true, payload)
	f.Header.Rsv = ws.Rsv(true, false, false)
	return ws.MustCompileFrame(ws.MaskFrame(f))
}

// compressedZeros is n zeros as RFC 7692 §7.2.1 compresses them.
func compressedZeros(n int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err) // the level exists
	}
	w.Write(make([]byte, n))
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

// emptyBlocks is 67 KB of zeros, and then dynamic blocks that describe their codes and have nothing
// to say with them (RFC 1951 §3.2.7), up to a message of 1 MiB: work for the reader without end.
func emptyBlocks() []byte {
	var w bitWriter
	const length = 1<<20 - 1<<10
	w.bytes = append(compressedZeros(67<<10), "\x00\x00\xff\xff"...)
	for len(w.bytes) < length {
		w.write(0b100, 3)  // not the last; dynamic codes
		w.write(0, 5+5)    // 257 literals, 1 distance
		w.write(14, 4)     // 18 lengths of lengths, in the order 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1
		w.write(0, 2*3)    // 16, 17: not used
		w.write(1, 3)      // 18: one bit
		w.write(0, 14*3)   // not used
		w.write(1, 3)      // 1: one bit. In the order of symbols, 1 is the code 0 and 18 is the code 1
		w.write(1, 1)      // 18:
		w.write(138-11, 7) // 138 literals are not used
		w.write(1, 1)      // 18:
		w.write(118-11, 7) // nor are 118 more
		w.write(0, 1)      // the end of the block: one bit
		w.write(0, 1)      // the distance: one bit
		w.write(0, 1)      // the end of the block
	}
	w.write(0, 3) // an empty stored block, which the receiver completes
	w.align()
	return w.bytes
}

// A bitWriter packs bits as RFC 1951 §3.1.1 says: the least significant first.
type bitWriter struct {
	bytes []byte
	bits  uint64
	n     uint
}

func (w *bitWriter) write(v uint64, n uint) {
	w.bits |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.bytes = append(w.bytes, byte(w.bits))
		w.bits >>= 8
	}
}

func (w *bitWriter) align() {
	if w.n > 0 {
		w.write(0, 8-w.n)
	}
}
