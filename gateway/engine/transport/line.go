package transport

import (
	"errors"
	"io"

	"sluice/netpoll"
	"sluice/session"
)

// Line is the transport of one stream, and what of it waits: for the rest of a record, or for the socket. It belongs to the
// stream's loop.
type Line struct {
	t Transport

	raw      []byte // read and not opened: of the pool, nil if nothing
	rawSince session.Tick
	sealed   []byte // of the pool, nil if nothing waits
	sent     int    // of sealed, what the socket has taken
	since    session.Tick

	torn    error // why nothing more can be sent, nil if it can
	err     error // what reading has come to; io.EOF: the peer has taken its leave
	up      bool
	failed  bool // err is the transport's
	over    bool // our farewell is sealed
	working bool // Open waits for wake
	unread  bool // raw may hold whole records
}

// IO is what the lines of one loop share. It belongs to the loop.
type IO struct {
	Socket    Socket
	Pool      *session.Pool
	HighWater int // bytes: while more are sealed, nothing is read

	scratch []byte
	pieces  [2][]byte
}

// Socket is the part of [netpoll.System] that moves bytes.
type Socket interface {
	Read(c netpoll.Conn, p []byte) (int, error)
	Write(c netpoll.Conn, p []byte) (int, error)
}

// NewLine returns the line of a connection whose transport is t.
func NewLine(t Transport) *Line { return &Line{t: t} }

// errTooLong ends a transport that waits for more than a record.
var errTooLong = errors.New("transport: a record of more than its longest")

// errBudget says that there is no buffer for what has to be kept.
var errBudget = session.ErrQueueBudget

// Up reports whether the stream may speak.
func (l *Line) Up() bool { return l.up }

// Waiting is how many sealed bytes the socket has not taken. Nothing may be sealed while it is not 0.
func (l *Line) Waiting() int { return len(l.sealed) - l.sent }

// Since is when the first byte that waits came, or was queued before it was sealed.
func (l *Line) Since() session.Tick { return l.since }

// Partial reports whether the beginning of a record is there without its end, and since when.
func (l *Line) Partial() (since session.Tick, partial bool) {
	return l.rawSince, l.raw != nil && !l.unread && !l.working
}

// Weight is how many bytes of the pool the line has.
func (l *Line) Weight() int { return cap(l.raw) + cap(l.sealed) }

// Holds reports whether nothing may be read now: the transport is at work, whose end is told to Woken, or more than the high
// water waits for the socket, whose end Flush finds.
func (l *Line) Holds(x *IO) bool { return l.working || l.Waiting() > x.HighWater }

// Working reports whether Woken is awaited.
func (l *Line) Working() bool { return l.working }

// Torn is why nothing more can be sent: a part of a record was lost. It is nil as long as that has not happened.
func (l *Line) Torn() error { return l.torn }

// Unread reports whether Read has something to say without the socket.
func (l *Line) Unread() bool { return l.unread || l.err != nil }

// Speaks reports whether what the stream says can be sealed.
func (l *Line) Speaks() bool { return l.up && !l.over && !l.failed }

// Woken says that the maker's wake was called. Who held reading reads again.
func (l *Line) Woken() {
	if l.working {
		l.working, l.unread = false, true
	}
}

// Over reports whether the farewell is sealed.
func (l *Line) Over() bool { return l.over }

// Failed reports whether the error of Read is the transport's: the peer has broken its rules, and the farewell says so.
func (l *Line) Failed() bool { return l.failed }

// Close ends the transport, whose socket is closed, and gives back the line's buffers. It is of no use afterwards.
func (l *Line) Close(x *IO) {
	if l.t != nil {
		l.t.Close()
	}
	l.Leave(x)
}

// Leave gives back the buffers of a line whose transport has gone elsewhere. It is of no use afterwards.
func (l *Line) Leave(x *IO) {
	x.Pool.Put(l.raw)
	x.Pool.Put(l.sealed)
	*l = Line{err: io.ErrClosedPipe, over: true}
}
