package gateway

import (
	"encoding/binary"
	"io"
	"time"

	"github.com/gobwas/ws"

	"sluice/netpoll"
	"sluice/netpoll/netpolltest"
	"sluice/session"
)

// simulatedClient connects, does this and that, leaves one way or another, and comes again.
type simulatedClient struct {
	*simulation
	peer *netpolltest.Peer
	over bool // it does not come again
	calm bool // it only listens

	unsent   []byte // what there was no room for
	heard    []byte
	upgraded bool
	closed   bool // a Close frame has come
	deaf     bool // it does not read
	ended    bool // it has ended its direction
	half     bool // it has said what is no message, or nothing to be answered
	sent     uint32
	answered uint32
	reader   session.Reader
	context  *session.Context
}

// act does one thing, and comes back after a while.
func (c *simulatedClient) act() {
	if c.over || c.failed {
		return
	}
	r := c.world.Rand()
	if c.calm {
		if c.peer != nil {
			c.listen()
		}
		if c.peer != nil {
			c.flush()
			c.world.After(time.Duration(r.IntN(20))*time.Millisecond, c.act)
		}
		return
	}
	switch {
	case c.peer == nil:
		c.connect()
	default:
		c.listen()
		if c.peer != nil {
			c.flush()
			c.do(r.IntN(24))
		}
	}
	c.world.After(time.Duration(r.IntN(300))*time.Millisecond, c.act)
}

func (c *simulatedClient) connect() {
	p, err := c.world.Dial(c.listeners...)
	if err != nil {
		c.over = true
		return
	}
	*c = simulatedClient{simulation: c.simulation, peer: p, context: session.NewContext(session.NewPool(session.NewBudget(1 << 30)))}
	c.reader.Init(session.Client, false)
	c.say([]byte("GET / HTTP/1.1\r\nHost: simulated\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
}

// do does one of the things that clients do.
func (c *simulatedClient) do(what int) {
	r := c.world.Rand()
	switch what {
	case 0:
		if len(c.unsent) == 0 {
			c.peer.CloseWrite()
			c.ended = true
		}
	case 1:
		c.peer.Reset()
		c.peer = nil
	case 2:
		c.peer.Close()
		c.peer = nil
	case 3:
		c.peer.Vanish()
		peer := c.peer
		c.world.After(10*time.Second, peer.GiveUp)
		c.peer = nil
	case 4:
		c.deaf = !c.deaf
	case 5:
		c.frame(ws.NewPingFrame([]byte("still there?")))
	case 6:
		if c.upgraded {
			c.half = true
			c.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
		}
	case 7:
		if c.upgraded && r.IntN(4) == 0 {
			c.half = true
			c.say([]byte{0xff, 0xff, 0xff, 0xff})
		}
	default:
		for range r.IntN(4) {
			c.message()
		}
	}
}

// message sends the next message, whole or in fragments. Only an upgraded client does, and it says nothing after a half.
func (c *simulatedClient) message() {
	if !c.upgraded || c.closed || c.ended || c.half {
		return
	}
	r := c.world.Rand()
	p := binary.BigEndian.AppendUint32(nil, c.sent)
	p = append(p, make([]byte, r.IntN(1500))...)
	c.sent++
	if r.IntN(3) > 0 {
		c.frame(ws.NewBinaryFrame(p))
		return
	}
	at := r.IntN(len(p))
	c.frame(ws.NewFrame(ws.OpBinary, false, p[:at]))
	c.frame(ws.NewFrame(ws.OpContinuation, true, p[at:]))
}

func (c *simulatedClient) frame(f ws.Frame) {
	if !c.upgraded {
		return
	}
	mask := [4]byte{1, 2, 3, byte(c.sent)}
	f = ws.MaskFrameWith(f, mask)
	c.say(ws.MustCompileFrame(f))
}

func (c *simulatedClient) say(p []byte) {
	c.unsent = append(c.unsent, p...)
	c.flush()
}

// flush sends what there is room for.
func (c *simulatedClient) flush() {
	for len(c.unsent) > 0 {
		n := 1 + c.world.Rand().IntN(len(c.unsent))
		sent := c.peer.Write(c.unsent[:n])
		c.unsent = c.unsent[sent:]
		if sent < n {
			return
		}
	}
}

// listen reads what has come, and holds it against what was sent.
func (c *simulatedClient) listen() {
	for !c.deaf {
		b, err := c.peer.Read(1 + c.world.Rand().IntN(1000))
		c.take(b)
		switch {
		case err == netpoll.ErrWouldBlock:
			return
		case err == io.EOF:
			c.peer.Close()
			c.peer = nil
			return
		case err != nil:
			c.peer = nil
			return
		}
	}
}

// take reads a head, and then frames.
func (c *simulatedClient) take(b []byte) {
	if len(b) == 0 {
		return
	}
	if !c.upgraded {
		c.heard = append(c.heard, b...)
		end := headEnd(c.heard)
		if end < 0 {
			return
		}
		if string(c.heard[:12]) != "HTTP/1.1 101" {
			return // refused: what follows is its body
		}
		c.upgraded = true
		b = c.heard[end:]
	}
	if c.closed && len(b) > 0 {
		c.fail("%d bytes behind a Close frame", len(b))
		return
	}
	for {
		in, n, err := c.reader.Next(c.context, &session.Limits{Message: 1 << 20, Fragments: 1024}, b, true)
		if err != nil {
			c.fail("a frame of the gateway's: %v", err)
			return
		}
		b = b[n:]
		switch in.Kind {
		case session.None:
			return
		case session.Message:
			if got := binary.BigEndian.Uint32(in.Payload); got != c.answered {
				c.fail("answer %d, want %d", got, c.answered)
			}
			c.answered++
		case session.Ping:
			c.frame(ws.NewPongFrame(in.Payload))
		case session.Close:
			c.closed = true
			c.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(in.Code, "")))
			if len(b) > 0 {
				c.fail("%d bytes behind a Close frame", len(b))
			}
			return
		}
	}
}

// headEnd is where the head in p ends, -1 if it does not.
func headEnd(p []byte) int {
	for i := 4; i <= len(p); i++ {
		if string(p[i-4:i]) == "\r\n\r\n" {
			return i
		}
	}
	return -1
}
