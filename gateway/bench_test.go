package gateway

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
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

// BenchmarkEchoBesidePushes is BenchmarkEcho while pushes to a group of 100,000
// follow each other without a pause: they run in slices, and a socket waits for
// one of them at most. Their filter means nobody, so that the slices are full of
// members.
func BenchmarkEchoBesidePushes(b *testing.B) {
	for _, members := range []int{0, syntheticMembers} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			n := start(b, func(cfg *config.Config) { cfg.Loops = 1 })
			p := n.dial()
			h := n.settings.Load().hubs.Named("default")
			nobody := mustFilter(b, "userId eq 'nobody'")
			var crowd []*client
			n.loops[0].do(func(l *loop) {
				crowd = l.synthetic(h, members)
			})
			defer n.loops[0].do(func(l *loop) { l.disband(crowd) })
			pushing, stopped := context.WithCancel(b.Context())
			var pusher sync.WaitGroup
			pusher.Go(func() {
				for pushing.Err() == nil && members > 0 {
					n.Do(pushing, delivery.Target{Hub: "default", Kind: delivery.Group, Name: "crowd", Filter: nobody}, delivery.Send{Op: ws.OpBinary, Data: make([]byte, 128)})
				}
			})
			message := session.AppendMasked(nil, ws.OpBinary, make([]byte, 128), testMask)
			answer := make([]byte, session.HeaderSize(128)+128)
			var times []time.Duration
			for b.Loop() {
				began := time.Now()
				p.Write(message)
				if _, err := io.ReadFull(p.Conn, answer); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(began))
			}
			stopped()
			pusher.Wait()
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
		})
	}
}
