package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

func serveCoder(l *net.TCPListener, ping time.Duration) error {
	clients := newCrowd[*websocket.Conn]()
	if ping > 0 {
		// Ping waits for the answer, so each needs a goroutine while it is under way.
		go clients.ping(ping, func(c *websocket.Conn) { go pingCoder(c, 10*time.Second) })
	}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(maxMessage)
		clients.join(c)
		defer clients.leave(c)
		ctx := context.Background()
		for {
			kind, message, err := c.Read(ctx)
			if err != nil {
				return
			}
			text, ok := broadcastText(message)
			if !ok {
				err = c.Write(ctx, kind, message)
			}
			if err != nil {
				return
			}
			if ok {
				for _, other := range clients.everybody() {
					other.Write(ctx, websocket.MessageText, text)
				}
			}
		}
	})
}

func pingCoder(c *websocket.Conn, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c.Ping(ctx)
}
