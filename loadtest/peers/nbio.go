package main

import (
	"net"
	"net/http"
	"time"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

func serveNBIO(l *net.TCPListener, ping time.Duration) error {
	logging.SetLevel(logging.LevelNone)
	clients := newCrowd[*websocket.Conn]()
	upgrader := websocket.NewUpgrader()
	upgrader.KeepaliveTime = 0
	upgrader.OnOpen(clients.join)
	upgrader.OnClose(func(c *websocket.Conn, _ error) { clients.leave(c) })
	upgrader.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, message []byte) {
		text, ok := broadcastText(message)
		if !ok {
			c.WriteMessage(kind, message)
			return
		}
		for _, other := range clients.everybody() {
			other.WriteMessage(websocket.TextMessage, text)
		}
	})
	if ping > 0 {
		go clients.ping(ping, func(c *websocket.Conn) { c.WriteMessage(websocket.PingMessage, nil) })
	}
	engine := nbhttp.NewEngine(nbhttp.Config{
		Addrs:                   []string{l.Addr().String()},
		Network:                 "tcp",
		Listen:                  func(string, string) (net.Listener, error) { return l, nil },
		MaxLoad:                 1 << 20,
		ReadBufferSize:          bufferSize,
		ReleaseWebsocketPayload: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, err := upgrader.Upgrade(w, r, nil); err == nil {
				c.SetReadDeadline(time.Time{}) // the engine's own for HTTP requests still stands
			}
		}),
	})
	upgrader.Engine = engine
	if err := engine.Start(); err != nil {
		return err
	}
	engine.Wait()
	return nil
}
