package plainhttp

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"sluice/gateway/handshake"
)

// turnHead is what net/http reads where turn is to have the connection. Parse
// lets no CONNECT pass.
const turnHead = http.MethodConnect + " turn:0 HTTP/1.1\r\nHost: turn\r\n\r\n"

// connKey is the context key of the connection that a request came on.
type connKey struct{}

func withConn(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, nc)
}

// connOf is the connection that a request came on, nil if not by the clients'
// port.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// Trust gives the connection of a request that has shown a valid key a place
// that no stranger can take. Requests of other servers have none.
func Trust(r *http.Request) {
	if c := connOf(r); c != nil {
		c.server.trust(c)
	}
}

// turn takes a connection from the server: all that came before is answered.
func (h *Server) turn(w http.ResponseWriter) {
	nc, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the connection cannot be taken over", http.StatusInternalServerError)
		return
	}
	c := nc.(*conn)
	if c.refusal == nil {
		h.giveBack(c)
		return
	}
	defer c.Close()
	c.Write(handshake.AppendResponse(nil, c.refusal, handshake.Answer{Date: time.Now(), Bodiless: c.bodiless}))
	c.CloseWrite()
	// Unread input would turn the close into a reset, which could overtake the
	// answer.
	c.expect(time.Now().Add(h.Times.Linger))
	io.Copy(io.Discard, io.LimitReader(c.Conn, maxDiscarded))
}

// maxDiscarded is how much of what follows a refused head is thrown away.
const maxDiscarded = 256 << 10

// giveBack returns a socket to a loop whose next request is an upgrade, as
// proxies send it that keep connections alive. It takes the same way there as
// an upgrade that comes first.
func (h *Server) giveBack(c *conn) {
	if !h.vacate(c) { // a newcomer has got its place
		c.Conn.Close()
		return
	}
	if err := c.socket.Return(c.upgrade); err != nil {
		h.o.Log.Warn("upgrade on a kept-alive connection lost", "err", err)
	}
}
