package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/gobwas/ws"
	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// A probe is the least that can be called a WebSocket echo server in Go: one easygo Epoll whose wait
// goroutine does everything over raw descriptors, one read and one write a message, no check of
// anything. It is no server: a frame that does not arrive whole in one read ends its connection.
// What it costs is the floor for those who do check.
type probe struct {
	epoll    *netpoll.Epoll
	listener int
	clients  []*probeClient // by descriptor
	in, out  []byte
	pinging  []*probeClient // who is still to be pinged in this interval
	slice    int
}

type probeClient struct {
	p      *probe
	fd     int32 // -1 when closed
	opened bool
}

const (
	webSocketGUID  = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	acceptsPerCall = 64
)

func serveProbe(l *net.TCPListener, ping time.Duration) error {
	file, err := l.File()
	if err != nil {
		return err
	}
	defer file.Close()
	p := &probe{
		listener: int(file.Fd()),
		in:       make([]byte, 64<<10),
		out:      make([]byte, 0, 64<<10),
	}
	if err := errors.Join(
		unix.SetNonblock(p.listener, true),                                    // after Fd, which makes it blocking
		unix.SetsockoptInt(p.listener, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), // inherited by what it accepts
	); err != nil {
		return err
	}
	failed := make(chan error, 1)
	p.epoll, err = netpoll.EpollCreate(&netpoll.EpollConfig{OnWaitError: func(err error) { failed <- err }})
	if err != nil {
		return err
	}
	if ping > 0 {
		if err := p.startPinging(ping); err != nil {
			return err
		}
	}
	if err := p.epoll.Add(p.listener, netpoll.EPOLLIN, p.accept); err != nil {
		return err
	}
	return <-failed
}

func (p *probe) accept(netpoll.EpollEvent) {
	for range acceptsPerCall {
		fd, _, err := unix.Accept4(p.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		c := &probeClient{p: p, fd: int32(fd)}
		if err := p.epoll.Add(fd, netpoll.EPOLLIN|netpoll.EPOLLRDHUP|netpoll.EPOLLET, c.readable); err != nil {
			p.epoll.Del(fd)
			unix.Close(fd)
			continue
		}
		for len(p.clients) <= fd {
			p.clients = append(p.clients, nil)
		}
		p.clients[fd] = c
	}
}

func (c *probeClient) readable(ev netpoll.EpollEvent) {
	if c.fd < 0 {
		return // closed by an earlier callback of the same batch
	}
	n, err := unix.Read(int(c.fd), c.p.in)
	if err == unix.EAGAIN && ev&(netpoll.EPOLLRDHUP|netpoll.EPOLLHUP|netpoll.EPOLLERR) == 0 {
		return
	}
	if n <= 0 || err != nil {
		c.close()
		return
	}
	if !c.opened {
		c.upgrade(c.p.in[:n])
	} else if !c.frames(c.p.in[:n]) {
		c.close()
	}
}

// upgrade answers a request that is believed to be a good one.
func (c *probeClient) upgrade(request []byte) {
	const field = "ocket-Key: " // clients spell Sec-WebSocket-Key with a small or a capital s
	_, key, found := bytes.Cut(request, []byte(field))
	if !found || len(key) < 24 {
		c.close()
		return
	}
	h := sha1.New()
	h.Write(key[:24])
	h.Write([]byte(webSocketGUID))
	out := append(c.p.out[:0], "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	out = base64.StdEncoding.AppendEncode(out, h.Sum(nil))
	c.opened = true
	c.write(append(out, "\r\n\r\n"...))
}

// frames answers all frames in b with one write and says whether the connection may stay.
func (c *probeClient) frames(b []byte) bool {
	out := c.p.out[:0]
	for len(b) > 0 {
		op, payload, rest, ok := cutFrame(b)
		if !ok {
			return false
		}
		b = rest
		switch op {
		case ws.OpPong:
		case ws.OpClose:
			c.write(appendFrame(out, op, payload))
			return false
		case ws.OpPing:
			out = appendFrame(out, ws.OpPong, payload)
		default:
			if text, ok := broadcastText(payload); ok {
				c.p.broadcast(appendFrame(nil, ws.OpText, text))
			} else {
				out = appendFrame(out, op, payload)
			}
		}
	}
	if len(out) > 0 {
		c.write(out)
	}
	return true
}

// cutFrame takes the masked frame at the front of b, and unmasks it in place.
func cutFrame(b []byte) (op ws.OpCode, payload, rest []byte, ok bool) {
	if len(b) < 6 {
		return 0, nil, nil, false
	}
	n, at := int(b[1]&0x7f), 2
	switch n {
	case 126:
		n, at = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		return 0, nil, nil, false // more than one read can hold
	}
	if len(b) < at+4+n {
		return 0, nil, nil, false
	}
	payload = b[at+4 : at+4+n]
	ws.Cipher(payload, [4]byte(b[at:]), 0)
	return ws.OpCode(b[0] & 0x0f), payload, b[at+4+n:], true
}

func appendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	dst = append(dst, 0x80|byte(op))
	if n := len(payload); n < 126 {
		dst = append(dst, byte(n))
	} else if n < 1<<16 {
		dst = append(dst, 126, byte(n>>8), byte(n))
	} else {
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
	return append(dst, payload...)
}

// write gives up on a client that does not take everything at once.
func (c *probeClient) write(b []byte) {
	if n, err := unix.Write(int(c.fd), b); err != nil || n < len(b) {
		c.close()
	}
}

func (c *probeClient) close() {
	if c.fd < 0 {
		return
	}
	c.p.clients[c.fd] = nil
	c.p.epoll.Del(int(c.fd))
	unix.Close(int(c.fd))
	c.fd = -1
}

func (p *probe) broadcast(frame []byte) {
	for _, c := range p.clients {
		if c != nil && c.opened {
			c.write(frame)
		}
	}
}

// startPinging puts a timer into the epoll set, as everything else here.
func (p *probe) startPinging(interval time.Duration) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return err
	}
	every := unix.NsecToTimespec(int64(interval / pingSlices))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		return err
	}
	return p.epoll.Add(fd, netpoll.EPOLLIN, func(netpoll.EpollEvent) {
		var expirations [8]byte
		unix.Read(fd, expirations[:])
		p.pingSlice()
	})
}

func (p *probe) pingSlice() {
	if p.slice == 0 {
		p.pinging = p.pinging[:0]
		for _, c := range p.clients {
			if c != nil && c.opened {
				p.pinging = append(p.pinging, c)
			}
		}
	}
	all := p.pinging
	for _, c := range all[len(all)*p.slice/pingSlices : len(all)*(p.slice+1)/pingSlices] {
		if c.fd >= 0 {
			c.write(ws.CompiledPing)
		}
	}
	p.slice = (p.slice + 1) % pingSlices
}
