package netpolltest

import "sluice/netpoll"

// socket returns what c is.
func (s *system) socket(c netpoll.Conn, what string) *end {
	return s.world.find(c.FD(), what).(*end)
}

func (s *system) Read(c netpoll.Conn, p []byte) (int, error) { return s.socket(c, "read").read(p) }

func (s *system) Write(c netpoll.Conn, p []byte) (int, error) { return s.socket(c, "write").write(p) }

func (s *system) Writev(c netpoll.Conn, bufs [][]byte) (n int, err error) {
	var all []byte // one call takes its bytes at once, or fails at once
	for _, b := range bufs {
		all = append(all, b...)
	}
	return s.socket(c, "write").write(all)
}

func (s *system) CloseWrite(c netpoll.Conn) error { return s.socket(c, "shutdown").closeWrite() }

func (s *system) Close(c *netpoll.Conn) error {
	if c.Open() {
		e := s.socket(*c, "close")
		s.world.free(c.FD())
		*c = netpoll.Conn{}
		e.close()
	}
	return nil
}

func (s *system) Reset(c *netpoll.Conn) error {
	if c.Open() {
		e := s.socket(*c, "reset")
		s.world.free(c.FD())
		*c = netpoll.Conn{}
		e.reset()
	}
	return nil
}
