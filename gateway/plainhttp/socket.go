package plainhttp

import (
	"net"
)

// Socket is a connection that a loop gives away. The first of its methods
// ends it for whoever holds it, but that Return comes after NetConn.
type Socket interface {
	// NetConn makes it a connection of the net package, where what comes after
	// the bytes that were read can be read. On an error it is closed.
	NetConn() (Conn, error)
	// Return gives it back to the loops. Nobody may read or write what NetConn has
	// returned any more. read is what was read of it and not answered: the head of
	// an upgrade, and what came behind. On an error it is closed.
	Return(read []byte) error
	// Close closes what was not made a connection.
	Close() error
}

// Conn is a connection of which our direction can end first, so that a peer
// which is still sending gets its answer and no reset.
type Conn interface {
	net.Conn
	CloseWrite() error
}
