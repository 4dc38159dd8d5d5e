package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unsafe"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/session"
)

// A task is what a loop does with its connections from one order to the next. The loop calls it
// from one goroutine.
type task interface {
	// due does what the plan says for now, and returns when it wants to be called again at the
	// latest. An error, which must be this side's, ends the task.
	due(l *loop, now int64) (next int64, err error)
	// opened: c has been upgraded.
	opened(l *loop, c *conn, now int64)
	// received: a message, a ping (answered already), a pong, or the answer to this side's Close,
	// with which c is gone.
	received(l *loop, c *conn, in session.Input, now int64)
	// closed: c is gone without this side's wish.
	closed(l *loop, c *conn)
	done() bool
	// pending counts the operations that were begun and are not complete.
	pending() int
}

// A loop holds connections and serves them in whichever goroutine calls perform, one at a time.
type loop struct {
	clock
	target  target
	epfd    int
	byFD    []*conn
	open    []*conn // upgraded ones, in no order that would last
	task    task
	tally   *tally
	source  int
	in      []byte
	events  []unix.EpollEvent
	context *session.Context
	limits  session.Limits
}

const (
	readBuffer     = 64 << 10
	largestMessage = 16 << 20
	attention      = 100 * time.Millisecond // how soon a loop notices that it is to give up
)

func newLoop(t target) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &loop{
		clock:   newClock(),
		target:  t,
		epfd:    epfd,
		in:      make([]byte, readBuffer),
		events:  make([]unix.EpollEvent, 1024),
		context: session.NewContext(session.NewPool(session.NewBudget(1 << 40))),
		limits:  session.Limits{Message: largestMessage, Fragments: 1 << 20},
	}, nil
}

// errLate says that a task did not come to its end in its time.
var errLate = errors.New("not done in time")

// perform runs t until it is done, ctx is, or the clock shows deadline (errLate). What it counts
// goes to sum.
func (l *loop) perform(ctx context.Context, t task, sum *tally, deadline int64) error {
	l.task, l.tally = t, sum
	defer func() { l.task, l.tally = nil, nil }()
	for {
		now := l.now()
		next, err := t.due(l, now)
		if err != nil || t.done() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if now >= deadline {
			return errLate
		}
		if err := l.wait(min(next, deadline, now+int64(attention)) - l.now()); err != nil {
			return err
		}
	}
}

// wait serves what happens within the given time, at least what has happened already.
func (l *loop) wait(ns int64) error {
	timeout := unix.NsecToTimespec(max(ns, 0))
	// epoll_wait(2) counts in milliseconds, which is too coarse to keep an open loop's plan.
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epfd), uintptr(unsafe.Pointer(&l.events[0])),
		uintptr(len(l.events)), uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno == unix.EINTR {
		return nil
	}
	if errno != 0 {
		return fmt.Errorf("epoll_pwait2 (there since Linux 5.11): %w", errno)
	}
	for _, ev := range l.events[:n] {
		c := l.byFD[ev.Fd]
		if c == nil {
			continue
		}
		if ev.Events&unix.EPOLLOUT != 0 {
			l.flush(c)
		}
		if c.fd >= 0 && ev.Events&^unix.EPOLLOUT != 0 {
			l.read(c)
		}
	}
	return nil
}

// read takes what one read(2) gives. The set is level-triggered: what is left reports itself again.
func (l *loop) read(c *conn) {
	n, err := unix.Read(c.fd, l.in)
	switch {
	case err == unix.EAGAIN:
		return
	case err != nil:
		l.close(c, err.Error())
		return
	case n == 0:
		l.close(c, io.ErrUnexpectedEOF.Error())
		return
	}
	b := l.in[:n]
	if !c.opened {
		rest, done, err := c.upgraded(b, l.target.accept)
		if err != nil {
			l.close(c, err.Error())
			return
		}
		if !done {
			return
		}
		b = rest
		l.upgrade(c)
	}
	l.frames(c, b)
}

func (l *loop) upgrade(c *conn) {
	c.opened = true
	c.index = len(l.open)
	l.open = append(l.open, c)
	c.reader.Init(session.Client, false)
	l.task.opened(l, c, l.now())
}

// frames hands the messages in b to the task.
func (l *loop) frames(c *conn, b []byte) {
	for c.fd >= 0 {
		in, n, err := c.reader.Next(l.context, &l.limits, b, true)
		if err != nil {
			l.close(c, err.Error())
			return
		}
		b = b[n:]
		switch in.Kind {
		case session.None:
			return
		case session.Ping:
			l.send(c, frame(ws.OpPong, in.Payload))
		case session.Close:
			if c.closing {
				l.leave(c, false)
				break
			}
			l.close(c, fmt.Sprintf("closed by the server: %d %s", in.Code, in.Payload))
			return
		}
		l.task.received(l, c, in, l.now())
	}
}

// close ends c, counts why and tells the task.
func (l *loop) close(c *conn, why string) {
	l.leave(c, false)
	l.tally.fail(why, 1)
	l.task.closed(l, c)
}

// leave ends c without a word, by a reset if so wished: that leaves nothing behind in the kernel.
func (l *loop) leave(c *conn, reset bool) {
	if c.fd < 0 {
		return
	}
	if reset {
		unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	unix.Close(c.fd)
	l.byFD[c.fd] = nil
	c.fd = -1
	if c.opened {
		c.reader.Release(l.context)
		last := l.open[len(l.open)-1]
		l.open[c.index] = last
		last.index = c.index
		l.open = l.open[:len(l.open)-1]
	}
}

// leaveAll ends every connection, also those still on their way.
func (l *loop) leaveAll(reset bool) {
	for _, c := range l.byFD {
		if c != nil {
			l.leave(c, reset)
		}
	}
}

// Close ends all connections and the loop.
func (l *loop) Close() error {
	l.leaveAll(true)
	return unix.Close(l.epfd)
}
