package main

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A gorillaClient adds the lock that the library asks of those who write from several goroutines.
type gorillaClient struct {
	mu   sync.Mutex
	conn *websocket.Conn
}

func serveGorilla(l *net.TCPListener, ping time.Duration) error {
	upgrader := websocket.Upgrader{ReadBufferSize: bufferSize, WriteBufferSize: bufferSize}
	clients := newCrowd[*gorillaClient]()
	if ping > 0 {
		go clients.ping(ping, func(c *gorillaClient) {
			c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		})
	}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		c := &gorillaClient{conn: conn}
		clients.join(c)
		defer clients.leave(c)
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if text, ok := broadcastText(message); ok {
				err = broadcastGorilla(clients, text)
			} else {
				c.mu.Lock()
				err = conn.WriteMessage(kind, message)
				c.mu.Unlock()
			}
			if err != nil {
				return
			}
		}
	})
}

func broadcastGorilla(clients *crowd[*gorillaClient], text []byte) error {
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
	if err != nil {
		return err
	}
	for _, c := range clients.everybody() {
		c.mu.Lock()
		c.conn.WritePreparedMessage(prepared)
		c.mu.Unlock()
	}
	return nil
}
