package gateway

import (
	"io"
	"testing"

	"sluice/gateway/engine/transport"
	"sluice/gateway/engine/transport/transporttest"
	"sluice/netpoll"
	"sluice/session"
)

// Nothing that the simulation holds depends on what is below HTTP.
func TestSimulationOverATransport(t *testing.T) { testSimulation(t) }

// watchedMaker makes transports of which is watched what they seal: that is sent.
type watchedMaker struct {
	*simulation
	transporttest.Scrambler
}

type watched struct {
	transport.Transport
	wire *wire
}

func (m *watchedMaker) New(wake func()) transport.Transport {
	return &watched{m.Scrambler.New(wake), &wire{simulation: m.simulation}}
}

func (w *watched) Seal(out []byte, pieces [][]byte) ([]byte, int) {
	out, n := w.Transport.Seal(out, pieces)
	left := n
	for _, p := range pieces {
		p = p[:min(left, len(p))]
		w.wire.took(p)
		left -= len(p)
	}
	return out, n
}

// simulatedWire is a client's side of a transport.
type simulatedWire struct {
	*simulation
	scramble *transporttest.Scramble
	up       bool
	early    []byte // what is to be said once it is up
	raw      []byte // read and not opened
	left     error  // what it has come to
}

// newWire makes one, and says hello.
func (c *simulatedClient) newWire() *simulatedWire {
	w := &simulatedWire{simulation: c.simulation}
	w.scramble, c.unsent = transporttest.NewClient(nil, c.seed)
	return w
}

// seal is p as it is sent, sometimes with a wish for an answer of the transport's own.
func (w *simulatedWire) seal(p []byte) (sealed []byte) {
	if !w.up {
		w.early = append(w.early, p...)
		return nil
	}
	r := w.world.Rand()
	for len(p) > 0 {
		if r.IntN(6) == 0 {
			w.scramble.Renew(1 + r.IntN(6000))
		}
		n := 1 + r.IntN(len(p))
		sealed, n = w.scramble.Seal(sealed, [][]byte{p[:n]})
		p = p[n:]
	}
	return sealed
}

// open returns what b opens to.
func (c *simulatedClient) open(b []byte) (p []byte) {
	w := c.wire
	w.raw = append(w.raw, b...)
	for len(w.raw) > 0 {
		if w.left != nil {
			if w.left == io.EOF {
				c.fail("%d bytes behind the farewell", len(w.raw))
			}
			break
		}
		o, err := w.scramble.Open(w.raw, nil)
		w.left = err
		p = append(p, o.Plain...)
		c.unsent = append(c.unsent, o.Out...)
		if w.raw = w.raw[o.Taken:]; o.Up && !w.up {
			w.up = true
			c.unsent = append(c.unsent, w.seal(w.early)...)
			w.early = nil
		}
		switch {
		case err == io.EOF || err == transporttest.ErrRefused && !c.upgraded:
		case err != nil:
			c.fail("the transport: %v", err)
		case o.Taken == 0:
			return p
		}
	}
	return p
}

// simulatedLine is a transport that the HTTP side has.
type simulatedLine struct {
	socket *lent
	line   *transport.Line
	io     transport.IO
}

func (h *simulatedHTTP) newLine(s *lent) *simulatedLine {
	x := &simulatedLine{socket: s, io: transport.IO{
		Socket:    s.sys.(*observed).System,
		Pool:      session.NewPool(session.NewBudget(1 << 30)),
		HighWater: 64 << 10,
	}}
	line, err := transport.Resume(&x.io, *s.over, 0)
	if err != nil {
		h.fail("a transport does not go on: %v", err)
	}
	x.line = line
	return x
}

// unplug lets the transport go back with its socket.
func (x *simulatedLine) unplug() {
	s := x.line.State()
	x.line.Leave(&x.io)
	x.socket.over = &s
}

// write writes an answer. Where not all of it is taken at once, the rest is lost.
func (x *simulatedExchange) write(sys netpoll.System, p []byte) (int, error) {
	if x.wire == nil {
		return sys.Write(x.socket.conn, p)
	}
	l, io := x.wire.line, &x.wire.io
	if err := l.Flush(io, x.socket.conn); err != nil || l.Waiting() > 0 {
		return 0, err
	}
	n, err := l.SendBytes(io, x.socket.conn, nil, p, 0)
	w := x.socket.over.Transport.(*watched).wire
	*w = wire{simulation: w.simulation} // the next answer is not ours
	if l.Waiting() > 0 {
		return 0, err
	}
	return n, err
}

// readSome reads what has come, at most as much as p has room for, but for the rest of a record.
func (x *simulatedExchange) readSome(sys netpoll.System, p []byte) ([]byte, error) {
	if x.wire == nil {
		n, err := sys.Read(x.socket.conn, p)
		return p[:n], err
	}
	l, io := x.wire.line, &x.wire.io
	if err := l.Flush(io, x.socket.conn); err != nil || l.Holds(io) {
		return nil, err
	}
	p, _, _, err := l.Read(io, x.socket.conn, make([]byte, 256<<10), len(p), 0)
	return p, err
}
