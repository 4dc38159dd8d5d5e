package main

import (
	"net"
	"net/http"
	"time"

	"github.com/lxzan/gws"
)

// gwsHandler is what the library calls.
type gwsHandler struct {
	gws.BuiltinEventHandler
	clients *crowd[*gws.Conn]
}

func (h *gwsHandler) OnOpen(c *gws.Conn)              { h.clients.join(c) }
func (h *gwsHandler) OnClose(c *gws.Conn, _ error)    { h.clients.leave(c) }
func (h *gwsHandler) OnPing(c *gws.Conn, data []byte) { c.WritePong(data) }
func (h *gwsHandler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	text, ok := broadcastText(m.Bytes())
	if !ok {
		c.WriteMessage(m.Opcode, m.Bytes())
		return
	}
	b := gws.NewBroadcaster(gws.OpcodeText, text)
	defer b.Close()
	for _, other := range h.clients.everybody() {
		b.Broadcast(other)
	}
}

func serveGWS(l *net.TCPListener, ping time.Duration) error {
	h := &gwsHandler{clients: newCrowd[*gws.Conn]()}
	upgrader := gws.NewUpgrader(h, &gws.ServerOption{ReadBufferSize: bufferSize})
	if ping > 0 {
		go h.clients.ping(ping, func(c *gws.Conn) { c.WritePing(nil) })
	}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		go c.ReadLoop() // its own goroutine lets the request go, as the library recommends
	})
}
