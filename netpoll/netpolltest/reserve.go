package netpolltest

import "sluice/netpoll"

// Reserve is what [netpoll.Reserve] is: a descriptor beyond the world's limit, for who has to be refused.
type Reserve struct {
	world  *World
	system *system
}

// Reserve returns the world's spare descriptor.
func (w *World) Reserve() *Reserve { return &Reserve{world: w, system: &system{world: w}} }

// Accept is l.Accept.
func (r *Reserve) Accept(l netpoll.Acceptor) (netpoll.Conn, error) { return l.Accept() }

// Refuse accepts a connection with the spare descriptor, writes response, and ends the connection.
func (r *Reserve) Refuse(l netpoll.Acceptor, response []byte) error {
	if r.world.Limit > 0 {
		r.world.Limit++
		defer func() { r.world.Limit-- }()
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	_, _ = r.system.Write(c, response)
	_ = r.system.CloseWrite(c)
	var p [4096]byte
	for err == nil {
		_, err = r.system.Read(c, p[:])
	}
	return r.system.Close(&c)
}

// Refill has nothing to do.
func (r *Reserve) Refill() error { return nil }

// Close has nothing to give back.
func (r *Reserve) Close() error { return nil }
