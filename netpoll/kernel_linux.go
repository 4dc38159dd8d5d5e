package netpoll

import (
	"fmt"
	"net/netip"
	"time"
)

// linux is the System that runs on the kernel's epoll.
type linux struct {
	poller *Poller
	waker  *Waker
	ticker *Ticker
	start  time.Time
	vector Vector
}

// NewSystem starts a loop on the kernel. When waiting for events fails the loop is dead: fatal is called with the reason, on the
// loop's goroutine, as its last act.
func NewSystem(fatal func(error)) (System, error) {
	waker, err := NewWaker()
	if err != nil {
		return nil, err
	}
	ticker, err := openTicker() // at once: what a node needs it has, or it is not made
	if err != nil {
		_ = waker.Close()
		return nil, err
	}
	poller, err := NewPoller(fatal)
	if err != nil {
		_ = waker.Close()
		_ = ticker.Close()
		return nil, err
	}
	return &linux{poller: poller, waker: waker, ticker: ticker, start: time.Now()}, nil
}

func (s *linux) Read(c Conn, p []byte) (int, error)  { return c.Read(p) }
func (s *linux) Write(c Conn, p []byte) (int, error) { return c.Write(p) }
func (s *linux) CloseWrite(c Conn) error             { return c.CloseWrite() }
func (s *linux) Close(c *Conn) error                 { return c.Close() }
func (s *linux) Reset(c *Conn) error                 { return c.Reset() }

func (s *linux) Writev(c Conn, bufs [][]byte) (int, error) { return c.Writev(bufs, &s.vector) }

func (s *linux) Connect(addr netip.AddrPort) (Conn, error) { return Connect(addr) }
func (s *linux) Failure(c Conn) error                      { return c.Failure() }

func (s *linux) Add(fd int, ev Event, cb func(Event)) error { return s.poller.Add(fd, ev, cb) }
func (s *linux) Mod(fd int, ev Event) error                 { return s.poller.Mod(fd, ev) }
func (s *linux) Del(fd int) error                           { return s.poller.Del(fd) }

func (s *linux) OnWake(cb func()) error {
	err := s.poller.Add(s.waker.FD(), In, func(Event) {
		s.waker.Clear()
		cb()
	})
	if err != nil {
		return fmt.Errorf("doorbell: %w", err)
	}
	return nil
}

func (s *linux) Wake() { s.waker.Wake() }

func (s *linux) OnTick(period time.Duration, cb func(due uint64)) error {
	if err := s.ticker.start(period); err != nil {
		return fmt.Errorf("tick: %w", err)
	}
	err := s.poller.Add(s.ticker.FD(), In, func(Event) {
		if due := s.ticker.Expirations(); due > 0 {
			cb(due)
		}
	})
	if err != nil {
		return fmt.Errorf("tick: %w", err)
	}
	return nil
}

func (s *linux) Now() time.Duration { return time.Since(s.start) }

func (s *linux) StopTicking() { _ = s.poller.Del(s.ticker.FD()) }

func (s *linux) Mute() { _ = s.poller.Del(s.waker.FD()) }

func (s *linux) Shut() error {
	err := s.poller.Close()
	_ = s.waker.Close()
	_ = s.ticker.Close()
	return err
}
