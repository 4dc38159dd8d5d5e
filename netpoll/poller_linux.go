package netpoll

import (
	"errors"
	"os"
	"sync"

	easygo "github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// Event is a mask of epoll events. It is an alias so that a callback reaches the library without a wrapper.
type Event = easygo.EpollEvent

// Interest, and what is reported. Hup and Err are reported unasked. See epoll_ctl(2).
const (
	In        Event = easygo.EPOLLIN
	Out       Event = easygo.EPOLLOUT
	ReadHup   Event = easygo.EPOLLRDHUP // the peer will send no more
	Hup       Event = easygo.EPOLLHUP
	Err       Event = easygo.EPOLLERR
	Edge      Event = easygo.EPOLLET
	Exclusive Event = unix.EPOLLEXCLUSIVE // for one descriptor in several pollers: wake one of them, or a few; not in Mod
)

// Poller is an epoll set and the goroutine that waits on it. All callbacks run on that goroutine, one after the other.
// Add, Mod and Del may be called from any goroutine, callbacks included.
type Poller struct {
	epoll *easygo.Epoll
	close func() error
}

// NewPoller starts a poller. When waiting fails, the loop is dead: fatal, which must not be nil, is called with the reason
// on the loop's goroutine, as its last act.
func NewPoller(fatal func(error)) (*Poller, error) {
	epoll, err := easygo.EpollCreate(&easygo.EpollConfig{OnWaitError: func(err error) {
		fatal(os.NewSyscallError("epoll_wait", err))
	}})
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &Poller{epoll: epoll, close: sync.OnceValue(epoll.Close)}, nil
}

// Add puts fd into the set. Before fd is closed it must be taken out with Del: epoll forgets a descriptor only when the
// last duplicate of its open file is closed, and the callback is never forgotten.
//
// A panic in cb ends the process. After a failed Add nothing is registered that was not before.
func (p *Poller) Add(fd int, ev Event, cb func(Event)) error {
	err := p.epoll.Add(fd, ev, cb)
	if err != nil && !errors.Is(err, easygo.ErrRegistered) {
		_ = p.epoll.Del(fd) // the library keeps the callback of a failed Add
	}
	return os.NewSyscallError("epoll_ctl add", err)
}

// Mod replaces the interest in fd, and reports what is already ready once more, also with Edge.
func (p *Poller) Mod(fd int, ev Event) error {
	return os.NewSyscallError("epoll_ctl mod", p.epoll.Mod(fd, ev))
}

// Del takes fd out of the set. The callback can still run once for an event of the batch at hand, with that event.
func (p *Poller) Del(fd int) error {
	return os.NewSyscallError("epoll_ctl del", p.epoll.Del(fd))
}

// Close ends the loop and returns when its last callback has. Everything must have been taken out with Del before: what is
// left is called back once more, on the caller's goroutine. Never call Close from a callback: it would wait for itself.
// Close is idempotent.
func (p *Poller) Close() error { return p.close() }
