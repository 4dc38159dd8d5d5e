package main

import (
	"bufio"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A gobwasClient lets several goroutines write whole frames to one connection.
type gobwasClient struct {
	net.Conn
	mu sync.Mutex
}

// Write writes p, which must be whole frames, in one piece.
func (c *gobwasClient) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.Write(p)
}

func serveGobwas(l *net.TCPListener, ping time.Duration) error {
	clients := newCrowd[*gobwasClient]()
	if ping > 0 {
		go clients.ping(ping, pingGobwas)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go gobwasRoutine(&gobwasClient{Conn: conn}, clients)
	}
}

// gobwasRoutine serves one client from handshake to end.
func gobwasRoutine(c *gobwasClient, clients *crowd[*gobwasClient]) {
	defer c.Close()
	if _, err := ws.Upgrade(c.Conn); err != nil {
		return
	}
	clients.join(c)
	defer clients.leave(c)
	in := bufio.NewReaderSize(c.Conn, bufferSize)
	for {
		if err := gobwasMessage(c, in, clients); err != nil {
			return
		}
	}
}

// gobwasMessage reads one message, answering control frames before it, and does what it asks for.
func gobwasMessage(c *gobwasClient, in io.Reader, clients *crowd[*gobwasClient]) error {
	message, op, err := wsutil.ReadClientData(struct {
		io.Reader
		io.Writer
	}{in, c})
	if err != nil {
		return err
	}
	text, ok := broadcastText(message)
	if !ok {
		return writeGobwas(c, ws.NewFrame(op, true, message))
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

// writeGobwas compiles the frame first: ws.WriteFrame would need two writes.
func writeGobwas(c *gobwasClient, f ws.Frame) error {
	frame, err := ws.CompileFrame(f)
	if err != nil {
		return err
	}
	_, err = c.Write(frame)
	return err
}

func pingGobwas(c *gobwasClient) { c.Write(ws.CompiledPing) }
