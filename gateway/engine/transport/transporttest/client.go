package transporttest

import (
	"io"
	"net"

	"sluice/gateway/engine/transport"
)

// Client is the client's end of a connection that scrambles.
type Client struct {
	*transport.Conn
	scramble *Scramble
}

// Dial makes a scrambling client of a connection: it says hello and waits until the server has answered. On an error nc is
// still the caller's.
func Dial(nc net.Conn, seed uint64) (*Client, error) {
	s, out := NewClient(nil, seed)
	if _, err := nc.Write(out); err != nil {
		return nil, err
	}
	var raw []byte
	for {
		b := make([]byte, 512)
		n, err := nc.Read(b)
		raw = append(raw, b[:n]...)
		if n == 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if n == 0 && err != nil {
			return nil, err
		}
		o, err := s.Open(raw, nil)
		if err != nil {
			return nil, err
		}
		raw = raw[o.Taken:]
		if o.Up {
			if _, err := nc.Write(o.Out); err != nil {
				return nil, err
			}
			return &Client{transport.NewConn(nc, transport.State{Transport: s, Raw: raw, Up: true}), s}, nil
		}
	}
}

// Renew writes p, behind a record that makes the server answer with n bytes that are no stream's. No Write may be under way.
func (c *Client) Renew(n int, p []byte) error {
	c.scramble.Renew(n)
	_, err := c.Write(p)
	return err
}
