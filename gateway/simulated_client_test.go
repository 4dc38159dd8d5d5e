package gateway

import (
	"bytes"
	"encoding/binary"
	"fmt"
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
	peer  *netpolltest.Peer
	visit *visit
	over  bool // it does not come again
	calm  bool // it only listens

	request  string // an upgrade that is to follow the answer to another request
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

	wire *simulatedWire // nil: it is plain
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
	*c = simulatedClient{simulation: c.simulation, peer: p, context: c.common, visit: c.introduce()}
	query := fmt.Sprintf("c=%d", c.visit.number)
	if t := c.visit.token; t != nil {
		query += "&access_token=" + t.String()
	}
	request := "GET /client/hubs/" + c.visit.hub + "?" + query + " HTTP/1.1\r\nHost: simulated\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if c.world.Rand().IntN(2) == 0 {
		request += "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	request += "\r\n"
	if c.world.Rand().IntN(6) == 0 {
		c.request = request
		request = "GET /plain HTTP/1.1\r\nHost: simulated\r\n\r\n"
	}
	if c.scrambles {
		c.wire = c.newWire()
	}
	c.say([]byte(request))
}

// introduce decides who it is that comes.
func (c *simulatedClient) introduce() *visit {
	r := c.world.Rand()
	v := &visit{simulation: c.simulation, number: len(c.visits), since: len(c.pushes), earlier: c.world.Wall()}
	v.hub = []string{"default", "default", "default", "members", "extra", "echo"}[r.IntN(6)]
	if r.IntN(3) == 0 || v.hub == "members" {
		t := &simulatedToken{way: "aabbffx"[r.IntN(7)], user: users[r.IntN(len(users))], until: c.world.Wall().Add(time.Hour)}
		if r.IntN(2) == 0 {
			t.until = c.world.Wall().Add(c.upTo(8*time.Second) - time.Second)
		}
		if r.IntN(2) == 0 {
			t.groups = groups[r.IntN(len(groups))]
			v.join(t.groups, yes)
		}
		v.token, v.user = t, t.user
	}
	c.visits = append(c.visits, v)
	return v
}

// gone ends what the client knows of its connection.
func (c *simulatedClient) gone() {
	c.peer = nil
	c.visit.over = true
}

// do does one of the things that clients do.
func (c *simulatedClient) do(what int) {
	r := c.world.Rand()
	switch what {
	case 0:
		if len(c.unsent) == 0 {
			c.peer.CloseWrite()
			c.ended, c.visit.mute = true, true
		}
	case 1:
		c.peer.Reset()
		c.gone()
	case 2:
		c.peer.Close()
		c.gone()
	case 3:
		c.peer.Vanish()
		c.visit.mute = true
		if peer := c.peer; r.IntN(2) == 0 {
			c.world.After(10*time.Second, peer.GiveUp)
		} // else nobody tells the gateway
		c.gone()
	case 4:
		c.deaf = !c.deaf
		c.visit.mute = true
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
	if c.wire != nil {
		p = c.wire.seal(p)
	}
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
		if c.wire != nil {
			b = c.open(b)
		}
		c.take(b)
		switch {
		case err == netpoll.ErrWouldBlock:
			return
		case err == io.EOF:
			c.peer.Close()
			c.gone()
			return
		case err != nil:
			c.gone()
			return
		}
	}
}

// take reads heads, and then frames.
func (c *simulatedClient) take(b []byte) {
	for !c.upgraded && len(b) > 0 {
		c.heard = append(c.heard, b...)
		end := headEnd(c.heard)
		if end < 0 {
			return
		}
		head := c.heard[:end]
		b, c.heard = c.heard[end:], nil
		switch {
		case bytes.HasPrefix(head, []byte("HTTP/1.1 101")):
			c.begin(bytes.Contains(head, []byte("permessage-deflate")))
		case c.request != "" && bytes.HasPrefix(head, []byte("HTTP/1.1 204")):
			c.say([]byte(c.request))
			c.request = ""
		default:
			return // refused: what follows is its body
		}
	}
	if len(b) > 0 {
		c.frames(b)
	}
}

// begin is called when the client has been let in.
func (c *simulatedClient) begin(deflate bool) {
	c.upgraded = true
	c.reader.Init(session.Client, deflate)
	switch t := c.visit.token; {
	case t == nil:
	case t.way == 'x':
		c.fail("visit %d was let in with a token that nobody has signed", c.visit.number)
	case !c.visit.earlier.Before(t.until):
		c.fail("visit %d was let in with a token that had expired before it came", c.visit.number)
	}
	if c.visit.hub == "members" && c.visit.user == "" {
		c.fail("visit %d is nobody, and was let in", c.visit.number)
	}
	c.visit.opened()
}

func (c *simulatedClient) frames(b []byte) {
	if c.closed {
		c.fail("%d bytes after a Close frame", len(b))
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
			c.hear(binary.BigEndian.Uint32(in.Payload))
		case session.Ping:
			c.frame(ws.NewPongFrame(in.Payload))
		case session.Close:
			c.closed = true
			c.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(in.Code, "")))
			if len(b) > 0 {
				c.fail("%d bytes after a Close frame", len(b))
			}
			return
		}
	}
}

// hear takes a message, of which word is the beginning.
func (c *simulatedClient) hear(word uint32) {
	switch {
	case word&isEffect != 0:
		c.visit.feels(word &^ (isPush | isEffect))
		return
	case word&isPush != 0:
		c.visit.hears(word &^ isPush)
		return
	}
	if word != c.answered {
		c.fail("answer %d, want %d", word, c.answered)
	}
	c.answered++
}

// headEnd is where the head in p ends, -1 if it does not.
func headEnd(p []byte) int {
	if i := bytes.Index(p, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return -1
}
