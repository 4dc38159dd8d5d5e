// Package netpoll is the only package that touches file descriptors and system calls. It knows sockets and readiness, and
// nothing of WebSocket, HTTP or sessions.
//
// A [Poller] is one epoll set and the one goroutine that waits on it: the loop. In that set sit the loop's [Listener], its
// connections (each a [Conn], four bytes), a [Waker] through which other goroutines ring, and a [Ticker]. [Listen] and
// [Inherited] open the listeners, [Reserve] answers a newcomer when the process has run out of descriptors, and
// [Conn.NetConn] and [Detach] carry a connection over to net/http and back.
//
// Every descriptor is non-blocking and close-on-exec, except the two that the poller's library opens for itself. Nothing
// here waits: what would block returns [ErrWouldBlock].
//
// # Rules of the edge
//
// With [Edge] an event says that something changed, once. Three rules follow, and each is held by a test:
//
//   - Data and the end of the stream arrive as one event (In and ReadHup together). A short read then is no reason to stop:
//     no second event comes. Read on until [io.EOF] whenever the event carries ReadHup, Hup or Err.
//   - [Poller.Mod] reports a socket again that is still readable (or writable). A loop that stops early comes back this way.
//   - An event that was already collected still runs after [Poller.Del]. A callback must recognise that its connection is gone.
package netpoll
