package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"sluice/session"
)

// A conn is one client: a raw, non-blocking descriptor in its loop's epoll set.
type conn struct {
	fd      int // -1 when closed
	index   int // in loop.open, once upgraded
	began   int64
	opened  bool
	closing bool   // this side sent a Close frame
	polled  uint32 // events asked for
	reader  session.Reader
	head    []byte  // the handshake's answer, as far as it has come
	unsent  []byte  // what the socket did not take
	due     []int64 // when the messages that wait for an answer should have been sent, oldest first
}

const maxHead = 8 << 10

// dial begins to connect from one of the source addresses and to upgrade. What becomes of it the
// loop's task hears by opened or closed; an error says what this side lacks.
func (l *loop) dial(now int64) error {
	family, to := sockaddr(l.target.address)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == unix.EMFILE {
		return fmt.Errorf("out of descriptors with %d connections: raise ulimit -n, or share the work with -procs", len(l.open))
	}
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := l.prepare(fd); err != nil {
		unix.Close(fd)
		return err
	}
	for len(l.byFD) <= fd {
		l.byFD = append(l.byFD, nil)
	}
	c := &conn{fd: fd, began: now, polled: unix.EPOLLIN}
	l.byFD[fd] = c
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		l.close(c, err.Error())
		return nil
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		l.leave(c, true)
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	// On loopback the connection usually stands already; if not, EAGAIN sends the request later.
	l.send(c, l.target.request)
	return nil
}

func (l *loop) prepare(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("TCP_NODELAY: %w", err)
	}
	from, ok := l.nextSource()
	if !ok {
		return nil
	}
	// The port is chosen at connect, when it need only be unique for this address and target.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	if err := unix.Bind(fd, from); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// nextSource spreads connections over 127.0.0.2, 127.0.0.3 and so on, because one address has only
// some 28,000 ports towards one target. Targets elsewhere get the kernel's choice.
func (l *loop) nextSource() (unix.Sockaddr, bool) {
	ip := l.target.address.Addr()
	if !ip.Is4() || !ip.IsLoopback() || l.target.sources == 0 {
		return nil, false
	}
	l.source = (l.source + 1) % l.target.sources
	return &unix.SockaddrInet4{Addr: [4]byte{127, 0, byte((l.source + 2) >> 8), byte(l.source + 2)}}, true
}

func sockaddr(a netip.AddrPort) (family int, sa unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// send writes b, keeping what the socket does not take. A failure closes c.
func (l *loop) send(c *conn, b []byte) {
	if c.fd < 0 {
		return
	}
	if len(c.unsent) > 0 {
		c.unsent = append(c.unsent, b...)
		return
	}
	n, err := unix.Write(c.fd, b)
	if err != nil && err != unix.EAGAIN {
		l.close(c, err.Error())
		return
	}
	if n = max(n, 0); n < len(b) {
		c.unsent = append(c.unsent, b[n:]...)
		l.poll(c, unix.EPOLLIN|unix.EPOLLOUT)
	}
}

// flush continues what send had to leave.
func (l *loop) flush(c *conn) {
	b := c.unsent
	c.unsent = nil
	l.send(c, b)
	if c.fd >= 0 && len(c.unsent) == 0 {
		l.poll(c, unix.EPOLLIN)
	}
}

func (l *loop) poll(c *conn, events uint32) {
	if c.polled == events {
		return
	}
	c.polled = events
	ev := unix.EpollEvent{Events: events, Fd: int32(c.fd)}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_MOD, c.fd, &ev); err != nil {
		l.close(c, err.Error())
	}
}

// upgraded takes bytes of the handshake's answer. It returns what follows it, once it is complete.
func (c *conn) upgraded(b []byte, accept string) (rest []byte, done bool, err error) {
	if c.head != nil {
		c.head = append(c.head, b...)
		b = c.head
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxHead {
			return nil, false, errors.New("handshake answered with an endless head")
		}
		if c.head == nil {
			c.head = bytes.Clone(b)
		}
		return nil, false, nil
	}
	c.head = nil
	head := b[:end]
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return nil, false, fmt.Errorf("handshake refused: %.60s", line)
	}
	if !bytes.Contains(head, []byte(accept)) {
		return nil, false, errors.New("handshake answered with a wrong Sec-WebSocket-Accept")
	}
	return b[end+4:], true, nil
}
