// Package engine is the loops: each is a goroutine with an epoll set and the
// streams that it owns. A stream is a slot, with a socket, what is on its way from
// it and to it, and one deadline; on it run the protocols, chosen by how far it has
// come: a request head first, and then WebSocket.
//
// Whose the streams are, and what becomes of what they say, an [Owner] knows: this
// package knows no hub, no user, no group, no upstream and no REST.
//
// The files follow a frame's way: run.go makes an engine and keeps its clock,
// listen.go takes newcomers, dial.go goes to servers, socket.go gives sockets to
// sessions that are there, and evict.go sends away who is too many; deadlines.go
// looks at the time, events.go hears of sockets, head.go collects a request head,
// of which the owner says with verdict.go what becomes, websocket.go serves frames,
// input.go reads, ending.go says the last words, output.go sends, and drop.go closes
// the socket. wire.go is what may be between a stream and its socket, role.go which
// side it plays; buffers.go keeps what waits to be served and quench.go lets it go
// on, line.go and loss.go keep counts; a slot is in stream.go and slab.go, what
// bounds it in class.go.
package engine
