// Package engine is the loops: each is a goroutine with an epoll set and the
// streams that it owns. A stream is a slot, with a socket, what is on its way from
// it and to it, and one deadline; on it run the protocols, chosen by how far it has
// come: a request head first, and then WebSocket.
//
// Whose the streams are, and what becomes of what they say, an [Owner] knows: this
// package knows no hub, no user, no group, no upstream and no REST.
//
// The files follow a frame's way: listen.go takes newcomers, events.go reads,
// head.go collects a request head, websocket.go serves frames, deadlines.go looks
// at the time, ending.go says the last words, output.go sends, and drop.go closes
// the socket. buffers.go keeps what waits to be served, line.go bounds those that
// are no sessions; a slot is in stream.go and slab.go.
package engine
