package transporttest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/gateway/engine/transport"
)

// The contract is one that TLS can keep, as crypto/tls speaks it.
func TestTLSKeepsTheContract(t *testing.T) {
	cert := selfSigned(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			Run(t, func(t *testing.T) Kind {
				return Kind{
					Maker: &tlsMaker{&tls.Config{
						Certificates:                []tls.Certificate{cert},
						MaxVersion:                  version,
						DynamicRecordSizingDisabled: true,
					}},
					Dial: func(c net.Conn) (net.Conn, error) {
						client := tls.Client(c, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
						return client, client.Handshake()
					},
					Refused: func(err error) bool { return err != nil && strings.Contains(err.Error(), "internal error") },
					Allocs:  1, // an atLeastReader; a buffer where the race detector keeps it from being used again
					Accused: func(err error) bool { return err != nil && strings.Contains(err.Error(), "bad record MAC") },
				}
			})
		})
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

type tlsMaker struct{ config *tls.Config }

func (m *tlsMaker) New(wake func()) transport.Transport {
	s := &tlsServer{feed: feed{wake: wake}}
	s.feed.changed.L = &s.feed.mu
	s.conn = tls.Server(&s.feed, m.config)
	return s
}

// Refusal is an alert: internal_error.
func (m *tlsMaker) Refusal() []byte { return []byte{21, 3, 3, 0, 2, 2, 80} }

// tlsServer is crypto/tls as a transport. Its handshake waits for what it reads, so it is made beside the loop; afterwards
// crypto/tls is given a record at a time, and is told to come again where it would wait.
type tlsServer struct {
	conn   *tls.Conn
	feed   feed
	up     bool
	failed bool
	plain  []byte // what is to be sealed, in one piece
}

// feed is the socket that crypto/tls sees.
type feed struct {
	net.Conn
	wake    func() // when the handshake has done what it can
	mu      sync.Mutex
	changed sync.Cond
	in, out []byte
	begun   bool
	given   bool // a record was given to the handshake, which was not taken off Open's hands
	dry     bool // the handshake waits for more
	done    bool // it has ended
	err     error
	closed  bool
}

var errDry = &net.OpError{Op: "read", Err: wouldBlock{}}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "no more records" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

func (f *feed) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.in) == 0 && !f.done {
		if f.closed {
			return 0, net.ErrClosed
		}
		if !f.dry {
			f.dry = true
			f.wake()
		}
		f.changed.Wait()
	}
	if len(f.in) == 0 {
		return 0, errDry
	}
	n := copy(p, f.in)
	f.in = f.in[n:]
	return n, nil
}

func (f *feed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out = append(f.out, p...)
	return len(p), nil
}

func (f *feed) SetWriteDeadline(time.Time) error { return nil }

func (f *feed) Close() error { return nil }

// sent takes what crypto/tls has written.
func (f *feed) sent(out []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	out = append(out, f.out...)
	f.out = f.out[:0]
	return out
}

func (s *tlsServer) Open(in, out []byte) (o transport.Opened, err error) {
	o.Out, o.Up = out, s.up
	const header = 5
	if len(in) < header {
		return o, nil
	}
	n := header + int(in[3])<<8 + int(in[4])
	if n > transport.MaxSealed {
		s.failed = true
		return o, errors.New("tls: oversized record")
	}
	if len(in) < n {
		return o, nil
	}
	if !s.up {
		if !s.feed.took(s, in[:n]) {
			return o, transport.ErrWorking
		}
		o.Taken, o.Out = n, s.feed.sent(out)
		s.feed.mu.Lock()
		defer s.feed.mu.Unlock()
		s.up = s.feed.done && s.feed.err == nil
		s.failed = s.feed.err != nil
		o.Up = s.up
		return o, s.feed.err
	}
	s.feed.in = in[:n]
	k, err := s.conn.Read(in[:n])
	o.Taken, o.Plain, o.Out = n, in[:k], s.feed.sent(out)
	switch {
	case err == nil || err == io.EOF:
	case errors.Is(err, wouldBlock{}):
		err = nil
	default:
		s.failed = true
	}
	return o, err
}

// took gives a record to the handshake, and reports whether it has done with it.
func (f *feed) took(s *tlsServer, record []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.given {
		f.given, f.dry, f.in = true, false, bytes.Clone(record)
		if !f.begun {
			f.begun = true
			go s.handshake()
		}
		f.changed.Broadcast()
		return false
	}
	if !f.dry && !f.done {
		return false
	}
	f.given = false
	return true
}

// handshake runs beside the loop.
func (s *tlsServer) handshake() {
	f := &s.feed
	err := s.conn.Handshake()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done, f.err = true, err
	f.wake()
}

func (s *tlsServer) Seal(out []byte, pieces [][]byte) ([]byte, int) {
	s.plain = s.plain[:0]
	for _, p := range pieces {
		s.plain = append(s.plain, p[:min(len(p), transport.MaxRecord-len(s.plain))]...)
	}
	s.conn.Write(s.plain)
	return s.feed.sent(out), len(s.plain)
}

func (s *tlsServer) End(out []byte) []byte {
	switch {
	case s.failed: // crypto/tls has sent its alert
	case !s.up:
		return append(out, (&tlsMaker{}).Refusal()...)
	default:
		s.conn.CloseWrite()
	}
	return s.feed.sent(out)
}

func (s *tlsServer) Close() {
	f := &s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.changed.Broadcast()
}
