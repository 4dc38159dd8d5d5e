package gateway

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/gobwas/ws"

	"sluice/netpoll"
)

// observed is the system of a loop of which is watched what sockets take.
type observed struct {
	netpoll.System
	*simulation
}

func (o *observed) Write(c netpoll.Conn, p []byte) (int, error) {
	n, err := o.System.Write(c, p)
	if !o.scrambles { // else what is sealed is watched
		o.wire(c).took(p[:n])
	}
	return n, err
}

func (o *observed) Writev(c netpoll.Conn, bufs [][]byte) (int, error) {
	n, err := o.System.Writev(c, bufs)
	left := n
	for _, b := range bufs {
		b = b[:min(left, len(b))]
		o.wire(c).took(b)
		left -= len(b)
	}
	return n, err
}

func (o *observed) Close(c *netpoll.Conn) error {
	if c.Open() {
		*o.wire(*c) = wire{}
	}
	return o.System.Close(c)
}

func (o *observed) Reset(c *netpoll.Conn) error {
	if c.Open() {
		*o.wire(*c) = wire{}
	}
	return o.System.Reset(c)
}

// wire returns what a socket has taken.
func (s *simulation) wire(c netpoll.Conn) *wire {
	for c.FD() >= len(s.wires) {
		s.wires = append(s.wires, new(wire))
	}
	w := s.wires[c.FD()]
	w.simulation = s
	return w
}

// wire follows the bytes that a socket takes: a request's answer, and then frames.
type wire struct {
	*simulation
	head   []byte // of the answer, as long as it goes on
	open   bool   // the answer was a 101
	plain  bool   // it was another
	closed bool   // a Close frame has been written

	header []byte // of the frame at hand, and the first bytes of its payload
	left   int    // of its payload, -1: not known yet
	begun  time.Duration
}

func (w *wire) took(p []byte) {
	if len(p) > 0 && w.closed {
		w.fail("%d bytes are written after a Close frame", len(p))
	}
	for len(p) > 0 && !w.plain {
		if !w.open {
			p = w.answer(p)
			continue
		}
		if len(w.header) == 0 {
			w.begun, w.left = w.world.Now(), -1
		}
		if w.left < 0 {
			w.header = append(w.header, p[0])
			p = p[1:]
			w.left = payloadLength(w.header)
		} else {
			n := min(w.left, len(p))
			if short := 14 - len(w.header); short > 0 {
				w.header = append(w.header, p[:min(n, short)]...)
			}
			w.left -= n
			p = p[n:]
		}
		if w.left == 0 {
			w.frame()
		}
	}
}

func (w *wire) answer(p []byte) (rest []byte) {
	w.head = append(w.head, p...)
	end := headEnd(w.head)
	if end < 0 {
		return nil
	}
	w.open = bytes.HasPrefix(w.head, []byte("HTTP/1.1 101"))
	w.plain = !w.open
	rest = w.head[end:]
	w.head = nil
	return rest
}

// frame is told of a frame that has been written whole.
func (w *wire) frame() {
	switch ws.OpCode(w.header[0] & 0xf) {
	case ws.OpText, ws.OpBinary:
		w.written++
		at := headerLength(w.header)
		if w.header[0]&0x40 == 0 && len(w.header) >= at+4 { // as it is, not compressed
			w.hurried(binary.BigEndian.Uint32(w.header[at:]), w.begun)
		}
	case ws.OpClose:
		w.closed = true
	}
	w.header = w.header[:0]
}

func headerLength(h []byte) int {
	switch h[1] & 0x7f {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// payloadLength is what a header says, -1 if it is not whole.
func payloadLength(h []byte) int {
	if len(h) < 2 || len(h) < headerLength(h) {
		return -1
	}
	switch h[1] & 0x7f {
	case 126:
		return int(binary.BigEndian.Uint16(h[2:]))
	case 127:
		return int(binary.BigEndian.Uint64(h[2:]))
	}
	return int(h[1])
}
