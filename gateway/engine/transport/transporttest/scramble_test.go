package transporttest

import (
	"net"
	"testing"
)

func TestScrambleKeepsTheContract(t *testing.T) {
	Run(t, func(t *testing.T) Kind { return scrambles(&Scrambler{Seed: 7}) })
}

func TestScrambleBesideTheLoopKeepsTheContract(t *testing.T) {
	Run(t, func(t *testing.T) Kind {
		return scrambles(&Scrambler{Seed: 7, Beside: func(work func()) { go work() }})
	})
}

func scrambles(m *Scrambler) Kind {
	return Kind{
		Maker:   m,
		Dial:    func(c net.Conn) (net.Conn, error) { return Dial(c, 8) },
		Provoke: func(c net.Conn, p []byte) error { return c.(*Client).Renew(300, p) },
		Refused: func(err error) bool { return err == ErrRefused },
		Accused: func(err error) bool { return err == ErrAccused },
	}
}
