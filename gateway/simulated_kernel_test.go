package gateway

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sluice/gateway/auth"
	"sluice/gateway/engine"
	"sluice/gateway/plainhttp"
	"sluice/netpoll"
	"sluice/netpoll/netpolltest"
)

// simulated is a machine in memory.
type simulated struct{ *simulation }

func (k simulated) listen(_ string, n int, _ netpoll.Options) (all []engine.Listener, err error) {
	for range n {
		l, err := k.world.Listen()
		if err != nil {
			return nil, err
		}
		all = append(all, l)
		k.listeners = append(k.listeners, l)
	}
	return all, nil
}

func (k simulated) system(func(error)) (netpoll.System, error) {
	return &observed{System: k.world.System(), simulation: k.simulation}, nil
}

func (k simulated) reserve() (engine.Reserve, error) {
	return &simulatedReserve{k.world.Reserve(), k.simulation}, nil
}
func (k simulated) hashing() uint64              { return 1 }
func (k simulated) wall() time.Time              { return k.world.Wall() }
func (k simulated) descriptors() (uint64, error) { return 20_000, nil }

func (k simulated) workers() workers {
	k.aside = &simulatedWorkers{simulation: k.simulation}
	return k.aside
}

func (k simulated) http(plainhttp.Options) httpServer {
	k.plain = &simulatedHTTP{simulation: k.simulation}
	return k.plain
}

func (k simulated) random(p []byte) error {
	for i := range p {
		p[i] = byte(k.world.Rand().Uint32())
	}
	return nil
}

func (k simulated) later(_ context.Context, d time.Duration, f func()) { k.world.After(d, f) }

func (k simulated) verifier(o auth.ClientsOptions, previous verifier) (verifier, error) {
	v := &simulatedVerifier{simulation: k.simulation}
	if p, ok := previous.(*simulatedVerifier); ok {
		v.known = p.known
	}
	return v, nil
}

// simulatedReserve has no spare descriptor at times: somebody else was faster.
type simulatedReserve struct {
	*netpolltest.Reserve
	*simulation
}

func (r *simulatedReserve) Refuse(l netpoll.Acceptor, response []byte) error {
	if r.world.Rand().IntN(8) == 0 {
		return os.NewSyscallError("accept4", unix.EMFILE)
	}
	return r.Reserve.Refuse(l, response)
}

// upTo is a random time.
func (s *simulation) upTo(d time.Duration) time.Duration {
	return time.Duration(s.world.Rand().Int64N(int64(d)))
}

// simulatedWorkers call what they are given after a while.
type simulatedWorkers struct {
	*simulation
	count int64
}

func (w *simulatedWorkers) try(f func()) bool {
	if w.count == 3 {
		return false
	}
	w.count++
	w.world.After(w.upTo(300*time.Millisecond), func() {
		w.count--
		f()
	})
	return true
}

func (w *simulatedWorkers) underWay() int64 { return w.count }
func (w *simulatedWorkers) close()          {}

// simulatedToken is what a client shows: how it is to be verified, and what it says.
type simulatedToken struct {
	way    byte // a: at once, b: beside, f: when the keys have been fetched, x: signed by nobody
	user   string
	until  time.Time
	groups string // joined by -
}

func (t *simulatedToken) String() string {
	return strings.Join([]string{string(t.way), t.user, strconv.FormatInt(t.until.UnixMilli(), 10), t.groups}, ".")
}

func parseSimulatedToken(s string) *simulatedToken {
	parts := strings.Split(s, ".")
	ms, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		panic(err)
	}
	return &simulatedToken{parts[0][0], parts[1], time.UnixMilli(ms), parts[3]}
}

// in are the groups that a token names.
func (t *simulatedToken) in() []string {
	if t.groups == "" {
		return nil
	}
	return strings.Split(t.groups, "-")
}

// simulatedVerifier knows no key of an issuer until it has been fetched, which takes its time and may fail.
type simulatedVerifier struct {
	*simulation
	known, fetching, closed bool
	waiters                 []func()
}

func (v *simulatedVerifier) Way(token string) auth.Way {
	switch way := token[0]; {
	case way == 'b' || way == 'f' && v.known:
		return auth.Beside
	case way == 'f':
		return auth.Fetched
	}
	return auth.AtOnce
}

func (v *simulatedVerifier) Verify(token, _ string, now time.Time) (*auth.Client, error) {
	t := parseSimulatedToken(token)
	switch {
	case t.way == 'x':
		return nil, &auth.Error{Reason: auth.ReasonSignature}
	case t.way == 'f' && !v.known:
		return nil, &auth.Error{Reason: auth.ReasonKeys}
	case !now.Before(t.until):
		return nil, &auth.Error{Reason: auth.ReasonExpired}
	}
	return &auth.Client{User: t.user, Groups: t.in(), Expires: t.until}, nil
}

func (v *simulatedVerifier) Await(token, host string, most int, then func(*auth.Client, error)) {
	verify := func() { then(v.Verify(token, host, v.world.Wall())) }
	switch {
	case v.closed || !v.fetching && v.world.Rand().IntN(4) == 0: // just fetched
		verify()
	case len(v.waiters) >= most:
		then(nil, auth.ErrCrowded)
	default:
		v.waiters = append(v.waiters, verify)
		if !v.fetching {
			v.fetching = true
			v.world.After(v.upTo(4*time.Second), func() {
				v.known = v.known || !v.closed && v.world.Rand().IntN(3) > 0
				v.serve()
			})
		}
	}
}

func (v *simulatedVerifier) serve() {
	waiters := v.waiters
	v.waiters, v.fetching = nil, false
	for _, f := range waiters {
		f()
	}
}

func (v *simulatedVerifier) Close() {
	v.closed = true
	v.serve()
}

// simulatedHTTP answers requests that are no upgrades after a while, and hands back the sockets of those that are.
type simulatedHTTP struct {
	*simulation
	conns    []*simulatedExchange
	returned map[int]bool // descriptors on their way back to a loop
	handed   int          // back
}

type simulatedExchange struct {
	socket *lent
	read   []byte
	until  time.Duration
	wire   *simulatedLine // nil: it is plain
}

const simulatedAnswer = "HTTP/1.1 204 No Content\r\n\r\n"

func (*simulatedHTTP) Serve() error                  { return nil }
func (*simulatedHTTP) Shutdown(context.Context) bool { return false }
func (*simulatedHTTP) Close()                        {}
func (h *simulatedHTTP) Count() int64                { return int64(len(h.conns)) }

func (h *simulatedHTTP) Offer(socket plainhttp.Socket, read []byte) bool {
	if len(h.conns) == 4 || h.world.Rand().IntN(8) == 0 {
		return false
	}
	x := &simulatedExchange{socket: socket.(*lent), read: read, until: h.world.Now() + 3*time.Second}
	if x.socket.over != nil {
		x.wire = h.newLine(x.socket)
	}
	h.conns = append(h.conns, x)
	h.world.After(h.upTo(100*time.Millisecond), func() { h.serve(x) })
	return true
}

// serve reads on, answers, and gives up the socket, one way or another.
func (h *simulatedHTTP) serve(x *simulatedExchange) {
	if !slices.Contains(h.conns, x) { // it was cut off
		return
	}
	sys := x.socket.sys.(*observed).System
	for {
		end := headEnd(x.read)
		if end < 0 {
			break
		}
		if bytes.Contains(x.read[:end], []byte("Upgrade")) {
			h.forget(x)
			if h.returned == nil {
				h.returned = make(map[int]bool)
			}
			h.returned[x.socket.conn.FD()] = true
			h.handed++
			if x.wire != nil {
				x.wire.unplug()
			}
			if err := x.socket.Return(x.read); err != nil {
				h.fail("the socket cannot be returned: %v", err)
			}
			return
		}
		x.read = x.read[end:]
		if n, err := x.write(sys, []byte(simulatedAnswer)); err != nil || n < len(simulatedAnswer) {
			h.close(x)
			return
		}
	}
	p := make([]byte, 1+h.world.Rand().IntN(400))
	p, err := x.readSome(sys, p)
	if err != nil && err != netpoll.ErrWouldBlock || h.world.Now() > x.until {
		h.close(x)
		return
	}
	x.read = append(x.read, p...)
	h.world.After(h.upTo(50*time.Millisecond), func() { h.serve(x) })
}

func (h *simulatedHTTP) close(x *simulatedExchange) {
	h.forget(x)
	if err := x.socket.Close(); err != nil {
		h.fail("close: %v", err)
	}
}

func (h *simulatedHTTP) forget(x *simulatedExchange) {
	for i := range h.conns {
		if h.conns[i] == x {
			h.conns = append(h.conns[:i], h.conns[i+1:]...)
			return
		}
	}
}

// cut closes what is there, as a second signal does.
func (h *simulatedHTTP) cut() {
	for len(h.conns) > 0 {
		h.close(h.conns[0])
	}
}
