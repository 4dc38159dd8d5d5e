package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/session"
)

// clients are the other ends of the gateway's connections, in one epoll set and one goroutine. What a
// client does that is not its part of the stage at hand, it counts as lost and goes on without it.
type clients struct {
	address func(i int) *unix.SockaddrInet4 // that the i-th connects to
	epfd    int
	byFD    []client
	dialled []int32 // descriptors in the order of dialling; those of lost clients stay
	in      []byte
	events  []unix.EpollEvent
	context *session.Context
	limits  session.Limits

	crowded time.Time // since when there were always as many events as are taken at a time; zero: there were not

	opening int
	open    int
	echoes  int // awaited
	steady  int // clients that have answered wanted pings
	wanted  uint8
	leaving bool // a Close frame of the gateway is no surprise

	echoed, pushed, answered, closed int // messages, pushes, pings and Close frames, so far

	lost int
	why  string // of the first
}

// client is one connection. A million of them are held, so it is small.
type client struct {
	reader session.Reader
	state  clientState
	pings  uint8
	pushed bool // it has had the broadcast
}

type clientState uint8

const (
	absent  clientState = iota
	opening             // connecting, or asking for an upgrade
	idle
	waiting // for an echo
)

const (
	// window is how many clients do something at a time.
	window = 256
	// perAddress is how many connect to one address: far fewer than there are ports, or the search
	// for a free one crawls.
	perAddress = 25_000
	mostConns  = perAddress * 254
	// messageSize is the payload of a message, in bytes.
	messageSize = 128
)

// loopback spreads clients over 127.0.0.1, 127.0.0.2 and so on.
func loopback(port int) func(int) *unix.SockaddrInet4 {
	to := &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 0}}
	return func(i int) *unix.SockaddrInet4 {
		to.Addr[3] = byte(1 + i/perAddress)
		return to
	}
}

func newClients(address func(int) *unix.SockaddrInet4) (*clients, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &clients{
		address: address,
		epfd:    epfd,
		in:      make([]byte, 64<<10),
		events:  make([]unix.EpollEvent, window),
		context: session.NewContext(session.NewPool(session.NewBudget(64 << 20))),
		limits:  session.Limits{Message: messageSize, Fragments: 1},
	}, nil
}

// connect dials until n clients have been dialled in all, and returns when each has its answer.
func (c *clients) connect(n int, patience time.Duration) error {
	return c.each(patience, func() (busy bool, err error) {
		for len(c.dialled) < n && c.opening < window {
			if err := c.dial(); err != nil {
				return false, err
			}
		}
		return c.opening > 0, nil
	})
}

// exchange sends a message on each connection, and returns how many were answered when none is awaited.
func (c *clients) exchange(patience time.Duration) (echoed int, err error) {
	return c.talk(patience, func(turns int) (more bool, err error) { return turns < len(c.dialled), nil })
}

// load sends messages on one connection after the other, again and again, and calls do beside that when half
// of them have had their first turn. It returns how many messages were answered when do has returned.
func (c *clients) load(do func() error, patience time.Duration) (echoed int, err error) {
	var doing chan error
	return c.talk(patience, func(turns int) (more bool, err error) {
		if doing == nil && turns >= len(c.dialled)/2 {
			doing = make(chan error, 1)
			go func() { doing <- do() }()
		}
		select {
		case err := <-doing:
			return false, err
		default:
			return true, nil
		}
	})
}

// talk sends messages on one connection after the other, a window of them at a time, as long as more, which is
// told how many turns there were, says so. It returns how many were answered when none is awaited.
func (c *clients) talk(patience time.Duration, more func(turns int) (bool, error)) (echoed int, err error) {
	hello := frame(ws.OpBinary, bytes.Repeat([]byte{'m'}, messageSize))
	turns, before, over := 0, c.echoed, false
	err = c.each(patience, func() (bool, error) {
		for range c.dialled { // or there is no idle one
			if over || c.echoes == window {
				break
			}
			goesOn, err := more(turns)
			if err != nil {
				return false, err
			}
			if over = !goesOn; over {
				break
			}
			fd := int(c.dialled[turns%len(c.dialled)])
			turns++
			if c.byFD[fd].state == idle {
				c.byFD[fd].state = waiting
				c.echoes++
				c.write(fd, hello)
			}
		}
		return !over || c.echoes > 0, nil
	})
	return c.echoed - before, err
}

// beside calls do and serves the clients until it has returned.
func (c *clients) beside(do func() error, patience time.Duration) error {
	doing := make(chan error, 1)
	go func() { doing <- do() }()
	return c.each(patience, func() (bool, error) {
		select {
		case err := <-doing:
			return false, err
		default:
			return true, nil
		}
	})
}

// broadcast calls push, which has the gateway send a message to all, beside the clients, and returns how
// many have had it when all have.
func (c *clients) broadcast(push func(message []byte) error, patience time.Duration) (pushed int, err error) {
	before := c.pushed
	pushing := make(chan error, 1)
	go func() { pushing <- push(bytes.Repeat([]byte{'p'}, messageSize)) }()
	err = c.each(patience, func() (bool, error) { return c.pushed-before < c.open, nil })
	return c.pushed - before, errors.Join(err, <-pushing)
}

// heartbeats returns how many pings were answered when each client has answered so many. It tells late now
// and then for how long the clients have not come to the end of what they are sent.
func (c *clients) heartbeats(each uint8, late func(time.Duration) error, patience time.Duration) (answered int, err error) {
	for fd := range c.byFD {
		c.byFD[fd].pings = 0
	}
	c.steady, c.wanted = 0, each
	before := c.answered
	err = c.each(patience, func() (bool, error) { return c.steady < c.open, late(c.behind()) })
	return c.answered - before, err
}

// behind is for how long the clients have not come to the end of what they are sent.
func (c *clients) behind() time.Duration {
	if c.crowded.IsZero() {
		return 0
	}
	return time.Since(c.crowded)
}

// part returns how many connections the gateway has closed when it has closed all.
func (c *clients) part(patience time.Duration) (closed int, err error) {
	c.leaving = true
	err = c.each(patience, func() (bool, error) { return c.open > 0, nil })
	return c.closed, err
}

// wait is how long each waits for events before it looks around.
const wait = 100 * time.Millisecond

// each serves the clients as long as step, which may have some of them do something, says that there
// is something to wait for. It fails if nothing has happened to any of them while it has waited for
// patience: time in which the machine has stood still was not waited for.
func (c *clients) each(patience time.Duration, step func() (busy bool, err error)) error {
	for waited := time.Duration(0); ; {
		busy, err := step()
		if err != nil || !busy {
			return err
		}
		n, err := unix.EpollWait(c.epfd, c.events, int(wait/time.Millisecond))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("epoll_wait: %w", err)
		case n > 0:
			waited = 0
		case waited >= patience:
			return fmt.Errorf("nothing has happened for %v, with %d clients connecting, %d connected and %d messages under way", patience, c.opening, c.open, c.echoes)
		default:
			waited += wait
		}
		switch {
		case n < len(c.events):
			c.crowded = time.Time{}
		case c.crowded.IsZero():
			c.crowded = time.Now()
		}
		for _, ev := range c.events[:max(n, 0)] {
			if ev.Events&unix.EPOLLOUT != 0 {
				err = c.ask(int(ev.Fd))
			} else {
				c.read(int(ev.Fd))
			}
			if err != nil {
				return err
			}
		}
	}
}

// The key and its answer are the example of RFC 6455 §1.3.
var (
	upgrade = []byte("GET / HTTP/1.1\r\nHost: sluice.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	switched = []byte("HTTP/1.1 101 ")
	accepted = []byte("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
)

// dial begins to connect.
func (c *clients) dial() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, c.address(len(c.dialled))); err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("connect: %w", err)
	}
	if err := c.poll(unix.EPOLL_CTL_ADD, fd, unix.EPOLLOUT); err != nil {
		return err
	}
	for len(c.byFD) <= fd {
		c.byFD = append(c.byFD, client{})
	}
	c.byFD[fd] = client{state: opening}
	c.byFD[fd].reader.Init(session.Client, false)
	c.dialled = append(c.dialled, int32(fd))
	c.opening++
	return nil
}

// ask sends the upgrade of a client that has just been connected.
func (c *clients) ask(fd int) error {
	c.write(fd, upgrade)
	if c.byFD[fd].state == absent {
		return nil
	}
	return c.poll(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN)
}

func (c *clients) poll(op, fd int, events uint32) error {
	if err := unix.EpollCtl(c.epfd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// write sends a few bytes, for which the socket always has room.
func (c *clients) write(fd int, p []byte) {
	if _, err := unix.Write(fd, p); err != nil {
		c.lose(fd, err.Error())
	}
}

// read takes what has come for one client. The set is level-triggered: what is left reports itself again.
func (c *clients) read(fd int) {
	n, err := unix.Read(fd, c.in)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil:
		c.lose(fd, err.Error())
		return
	case n == 0:
		c.lose(fd, "the gateway closed without a Close frame")
		return
	}
	p := c.in[:n]
	if c.byFD[fd].state == opening {
		// The answer is one write of a few bytes and so comes in one piece.
		head, rest, whole := bytes.Cut(p, []byte("\r\n\r\n"))
		if !whole || !bytes.HasPrefix(head, switched) || !bytes.Contains(p, accepted) {
			c.lose(fd, fmt.Sprintf("refused: %q", p))
			return
		}
		c.opening--
		c.open++
		c.byFD[fd].state = idle
		p = rest
	}
	c.frames(fd, p)
}

// frames serves the frames in p.
func (c *clients) frames(fd int, p []byte) {
	for k := &c.byFD[fd]; k.state != absent; {
		in, n, err := k.reader.Next(c.context, &c.limits, p, true)
		if err != nil {
			c.lose(fd, err.Error())
			return
		}
		p = p[n:]
		switch in.Kind {
		case session.None:
			return
		case session.Message:
			switch {
			case len(in.Payload) == messageSize && in.Payload[0] == 'm' && k.state == waiting:
				k.state = idle
				c.echoes--
				c.echoed++
			case len(in.Payload) == messageSize && in.Payload[0] == 'p' && !k.pushed:
				k.pushed = true
				c.pushed++
			default:
				c.lose(fd, fmt.Sprintf("an unexpected message: %q", in.Payload))
				return
			}
		case session.Ping:
			c.answered++
			if k.pings < c.wanted {
				if k.pings++; k.pings == c.wanted {
					c.steady++
				}
			}
			c.write(fd, frame(ws.OpPong, in.Payload))
		case session.Close:
			if !c.leaving {
				c.lose(fd, fmt.Sprintf("closed by the gateway: %d %s", in.Code, in.Payload))
				return
			}
			c.write(fd, frame(ws.OpClose, ws.NewCloseFrameBody(in.Code, "")))
			if k.state != absent {
				c.closed++
				c.forget(fd)
			}
		}
	}
}

// frame encodes a client's frame. All have the same masking key: nothing here needs to be hidden from
// proxies (RFC 6455 §10.3).
func frame(op ws.OpCode, payload []byte) []byte {
	return session.AppendMasked(nil, op, payload, [4]byte{0x5a, 0xa5, 0x3c, 0xc3})
}

// lose counts a connection that has ended when it should not have.
func (c *clients) lose(fd int, why string) {
	if c.lost++; c.lost == 1 {
		c.why = why
	}
	c.forget(fd)
}

// forget closes a client's socket and takes it out of every count.
func (c *clients) forget(fd int) {
	k := &c.byFD[fd]
	switch k.state {
	case opening:
		c.opening--
	case waiting:
		c.echoes--
		fallthrough
	case idle:
		c.open--
		if c.wanted > 0 && k.pings == c.wanted {
			c.steady--
		}
	}
	k.reader.Release(c.context)
	*k = client{}
	unix.Close(fd)
}
