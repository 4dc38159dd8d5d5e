package main

import (
	"bufio"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/mailru/easygo/netpoll"
)

// poolSize is the number of goroutines that read what the poller found readable, as in the article
// "A Million WebSockets and Go", whose design this is.
const poolSize = 128

// An easygoServer holds idle connections in an epoll set instead of in goroutines. Each occupies two
// descriptors: easygo's Desc duplicates the connection's.
type easygoServer struct {
	poller  netpoll.Poller
	clients *crowd[*gobwasClient]
	work    chan func()
	readers sync.Pool
}

func serveEasygo(l *net.TCPListener, ping time.Duration) error {
	poller, err := netpoll.New(nil)
	if err != nil {
		return err
	}
	s := &easygoServer{
		poller:  poller,
		clients: newCrowd[*gobwasClient](),
		work:    make(chan func()),
		readers: sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferSize) }},
	}
	for range poolSize {
		go s.worker()
	}
	if ping > 0 {
		go s.clients.ping(ping, pingGobwas)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		s.work <- func() { s.open(conn) }
	}
}

func (s *easygoServer) worker() {
	for f := range s.work {
		f()
	}
}

// open upgrades the connection and hands it to the poller.
func (s *easygoServer) open(conn net.Conn) {
	if _, err := ws.Upgrade(conn); err != nil {
		conn.Close()
		return
	}
	desc, err := netpoll.HandleReadOnce(conn)
	if err != nil {
		conn.Close()
		return
	}
	c := &gobwasClient{Conn: conn}
	s.clients.join(c)
	err = s.poller.Start(desc, func(ev netpoll.Event) {
		if ev&(netpoll.EventReadHup|netpoll.EventHup) != 0 && ev&netpoll.EventRead == 0 {
			s.close(c, desc)
			return
		}
		s.work <- func() { s.receive(c, desc) }
	})
	if err != nil {
		s.close(c, desc)
	}
}

// receive serves what has arrived and gives the connection back to the poller.
func (s *easygoServer) receive(c *gobwasClient, desc *netpoll.Desc) {
	in := s.readers.Get().(*bufio.Reader)
	defer s.readers.Put(in)
	in.Reset(c.Conn)
	for {
		if err := easygoFrame(c, in, s.clients); err != nil {
			s.close(c, desc)
			return
		}
		if in.Buffered() == 0 {
			break
		}
	}
	if err := s.poller.Resume(desc); err != nil {
		s.close(c, desc)
	}
}

func (s *easygoServer) close(c *gobwasClient, desc *netpoll.Desc) {
	s.poller.Stop(desc)
	desc.Close()
	c.Close()
	s.clients.leave(c)
}

// easygoFrame serves exactly one frame: a worker that waited for a whole message would be parked by
// every client that sends only control frames.
func easygoFrame(c *gobwasClient, in *bufio.Reader, clients *crowd[*gobwasClient]) error {
	h, err := ws.ReadHeader(in)
	if err != nil {
		return err
	}
	if h.Length > maxMessage {
		return wsutil.ErrFrameTooLarge
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(in, payload); err != nil {
		return err
	}
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpPong:
		return nil
	case ws.OpPing:
		return writeGobwas(c, ws.NewPongFrame(payload))
	case ws.OpClose:
		writeGobwas(c, ws.NewCloseFrame(payload))
		return net.ErrClosed
	}
	text, ok := broadcastText(payload)
	if !ok {
		return writeGobwas(c, ws.NewFrame(h.OpCode, h.Fin, payload))
	}
	frame, err := ws.CompileFrame(ws.NewTextFrame(text))
	if err != nil {
		return err
	}
	for _, other := range clients.everybody() {
		other.Write(frame)
	}
	return nil
}
