package plainhttp

import (
	"container/list"
	"net"
	"net/http"

	"sluice/metrics"
)

// handedOver is a socket on its way to the HTTP server, and what was read of
// it.
type handedOver struct {
	socket Socket
	read   []byte
}

// Offer gives a socket to the HTTP server, and what was read of it: the head of
// a request, and what came behind. It is called by a loop, never blocks, and is
// false when there are too many: the caller keeps the socket.
func (h *Server) Offer(s Socket, read []byte) bool {
	if h.isClosed() {
		return false
	}
	limit := h.o.Limits().Conns
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.count.Load() >= limit {
		evicted := h.evict()
		if !evicted && len(h.waiting) > 0 {
			h.o.Metrics.Reached(metrics.LimitHTTPQueue)
			return false
		}
		h.o.Metrics.Reached(metrics.LimitHTTPConnections)
		if !evicted {
			return false
		}
	}
	h.count.Add(1)
	h.waiting = append(h.waiting, handedOver{socket: s, read: read})
	h.wake()
	return true
}

// evict frees the place of the stranger that has been served least recently. It
// is false if there is none. The caller holds the lock.
func (h *Server) evict() bool {
	oldest := h.strangers.Front()
	if oldest == nil {
		return false
	}
	c := h.strangers.Remove(oldest).(*conn)
	c.place = nil
	h.count.Add(-1)
	h.evicted = append(h.evicted, c)
	return true
}

// wake makes Accept look what there is.
func (h *Server) wake() {
	select {
	case h.arrived <- struct{}{}:
	default:
	}
}

// take takes what has waited longest, if anything has, and whom to close.
func (h *Server) take() (s handedOver, ok bool, evicted []*conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	evicted, h.evicted = h.evicted, nil
	if len(h.waiting) == 0 {
		return s, false, evicted
	}
	s, h.waiting = h.waiting[0], h.waiting[1:]
	if len(h.waiting) == 0 {
		h.waiting = nil
	}
	return s, true, evicted
}

// isDrained reports, after Close, whether nothing waits any more.
func (h *Server) isDrained() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) > 0 {
		return false
	}
	h.empty.Do(func() { close(h.drained) })
	return true
}

// seat makes a connection of a socket, which has its place already.
func (h *Server) seat(s handedOver) *conn {
	nc, err := s.socket.NetConn()
	if err != nil {
		h.count.Add(-1)
		h.o.Log.Warn("HTTP connection lost", "err", err)
		return nil
	}
	c := &conn{Conn: nc, server: h, socket: s.socket, buf: s.read}
	h.mu.Lock()
	defer h.mu.Unlock()
	c.place = h.strangers.PushBack(c)
	return c
}

// noteState hears from the server what a connection is doing. Who is served is
// not the next to go.
func (h *Server) noteState(nc net.Conn, state http.ConnState) {
	if state != http.StateActive && state != http.StateIdle {
		return
	}
	c := nc.(*conn)
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.place != nil {
		c.among().MoveToBack(c.place)
	}
}

// trust gives a connection that has shown a valid key a place that no stranger
// can take.
func (h *Server) trust(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.place != nil && !c.trusted {
		h.strangers.Remove(c.place)
		c.trusted = true
		c.place = h.trusted.PushBack(c)
	}
}

// crowds reports whether c has shown a valid key, and those that have fill more
// than their share, three quarters: newcomers might find no place. It is then to
// be closed with its answer, which whoever keeps connections expects of servers.
func (h *Server) crowds(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return c.trusted && int64(h.trusted.Len()) > max(1, h.o.Limits().Conns*3/4)
}

// vacate frees the place of a connection. It is false if it has none any more.
func (h *Server) vacate(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.place == nil {
		return false
	}
	c.among().Remove(c.place)
	c.place = nil
	h.count.Add(-1)
	return true
}

// isClosed reports whether nobody takes sockets any more.
func (h *Server) isClosed() bool {
	select {
	case <-h.closed:
		return true
	default:
		return false
	}
}

// refuse takes no more sockets.
func (h *Server) refuse() { h.closing.Do(func() { close(h.closed) }) }

// among is the list that has the place. The caller holds the lock.
func (c *conn) among() *list.List {
	if c.trusted {
		return &c.server.trusted
	}
	return &c.server.strangers
}
