// Package handshake reads the head of an HTTP/1.1 request and answers a
// WebSocket upgrade (RFC 6455 §4), on bytes alone: it knows no socket, no
// clock and no goroutine.
//
// The way of a request: [End] finds where its head ends in what has been
// received so far, and as long as it does not, [CheckPrefix] tells whether
// waiting for more is of any use; [Parse] checks it, strictly enough that nothing which
// net/http's server would refuse passes; [Head.Upgrade] tells a WebSocket
// request from any other; [Head.Check] holds it against the RFC; and
// [Upgrader.Upgrade] writes the 101. Whatever is refused is refused with an
// [Error], which [AppendResponse] turns into bytes. Where a request ends that
// has a body, [Head.Body] tells.
//
// What Parse refuses though net/http lets it pass: lines that end in a bare
// LF, folded lines, a Host twice (differing or not) or that is not a host and a
// port, an empty one included, CONNECT, "*" for other methods than OPTIONS,
// absolute targets of other schemes than http, https, ws and wss or with
// userinfo or an escaped host, Content-Length
// twice or beside Transfer-Encoding or of more than 18 digits,
// Transfer-Encoding in HTTP/1.0, an Expect twice or of any other value than
// 100-continue, and a Trailer that names a framing field even where no
// trailers can come.
//
// Who may connect (origins, keys, paths) is not decided here.
package handshake
