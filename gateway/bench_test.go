package gateway

import (
	"io"
	"testing"

	"github.com/gobwas/ws"

	"sluice/session"
)

// BenchmarkEcho is a message there and back over a loopback socket, with the
// client's share. What is to be seen is that nothing is allocated.
func BenchmarkEcho(b *testing.B) {
	n := start(b, nil)
	p := n.dial()
	message := session.AppendMasked(nil, ws.OpBinary, make([]byte, 128), testMask)
	answer := make([]byte, session.HeaderSize(128)+128)
	b.ReportAllocs()
	for b.Loop() {
		p.Write(message)
		if _, err := io.ReadFull(p.Conn, answer); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBroadcast is one message to 100 sessions of a loop, until the last
// client has it.
func BenchmarkBroadcast(b *testing.B) {
	const recipients = 100
	n := start(b, nil)
	var peers []*peer
	for range recipients {
		peers = append(peers, n.dial())
	}
	data := make([]byte, 128)
	frame := make([]byte, session.HeaderSize(128)+128)
	b.ReportAllocs()
	for b.Loop() {
		if err := n.broadcast(ws.OpBinary, data); err != nil {
			b.Fatal(err)
		}
		for _, p := range peers {
			if _, err := io.ReadFull(p.Conn, frame); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/recipients, "ns/recipient")
}

// BenchmarkOpen is a client's whole way in and out again: connect, handshake,
// close.
func BenchmarkOpen(b *testing.B) {
	n := start(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		p := n.connect()
		p.say(request("/"))
		p.wantStatus(101)
		p.Close()
	}
}
