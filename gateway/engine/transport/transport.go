package transport

import "errors"

const (
	// MaxRecord is how many bytes of the stream one record carries at most (RFC 8446, section 5.1).
	MaxRecord = 16 << 10
	// MaxOverhead is what sealing adds to them at most: a header, and the expansion that RFC 5246, section 6.2.3, allows.
	MaxOverhead = 5 + 2048
	// MaxSealed is the longest that a record may be on the wire.
	MaxSealed = MaxRecord + MaxOverhead
)

// ErrWorking is returned by [Transport.Open] while something is computed beside the loop.
var ErrWorking = errors.New("transport: at work beside the loop")

// Transport turns what a socket reads into what its stream reads, and what the stream writes into what the socket is sent. It
// does no I/O, knows no clock, and never blocks. It belongs to one goroutine at a time: its stream's.
type Transport interface {
	// Open takes one record, or several, from the front of in, which is what was read and not taken before, and never empty.
	// It may overwrite what it takes. [Opened] says what came of it, whatever the error is.
	//
	// Nothing taken and no error means that the record is not complete: Open is called with the same bytes again, and more
	// behind them. It must not ask for that when in holds [MaxSealed] bytes.
	//
	// The error is io.EOF when the peer has taken its leave: nothing more is opened. It is [ErrWorking], before the
	// transport is up, when something has to be computed first: Open is called again after the Maker's wake. Any other
	// error is the end of the transport, of which End tells the peer.
	Open(in, out []byte) (Opened, error)

	// Seal appends one record to out, with the first bytes of pieces, and returns how many those are: at least one and at
	// most [MaxRecord]; there is at least one. The record is longer than them by at most [MaxOverhead]. The pieces stay as
	// they are: other streams may be sent the same. It is called while the transport is up, and not after End.
	Seal(out []byte, pieces [][]byte) (record []byte, n int)

	// End appends the farewell to out: what is sent last. Before the transport is up it is the refusal, after an error of
	// Open it says what was wrong. It is called once. Open may be called afterwards, and provokes nothing more.
	End(out []byte) []byte

	// Close says that the connection is gone: what works beside the loop ends. It is the last call, and the only one that
	// always comes.
	Close()
}

// Opened is what Open has made of its input.
type Opened struct {
	Taken int    // how many bytes of in are done with
	Plain []byte // what the stream reads: a part of in's first Taken bytes, or nothing
	Out   []byte // out, and behind it what has to be sent
	Up    bool   // the stream may speak, from now on
}

// Maker makes the transports of a listener's connections. Loops share it.
type Maker interface {
	// New makes the transport of a connection that was accepted. wake has Open called again after [ErrWorking]. It never
	// blocks, and may be called from any goroutine, also when the connection is gone.
	New(wake func()) Transport
	// Refusal is what a newcomer is sent for whom there is no room, not even for a transport. Nobody writes to it.
	Refusal() []byte
}
