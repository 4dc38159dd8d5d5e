package transporttest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"sluice/gateway/engine/transport"
	"sluice/netpoll"
)

func (b *bench) comesUp() {
	b.server.set(func() { b.server.in.most = 1 })
	c := b.dialed()
	want := b.text(3000)
	go c.Write(want)
	b.wantRead(want)
}

func (b *bench) carries() {
	c := b.dialed()
	there, back := b.text(300_000), b.text(300_000)
	cuts := b.random.Perm(40_000)
	go func() {
		for p := there; len(p) > 0; cuts = cuts[1:] {
			n := min(cuts[0]+1, len(p))
			c.Write(p[:n])
			p = p[n:]
		}
	}()
	hear := heard(c)
	b.server.set(func() { b.server.out.room = 10_000 })
	b.say(back)
	b.wantRead(there)
	b.leave()
	if p, err := hear(b); !bytes.Equal(p, back) || err != nil {
		b.Errorf("the client has heard %d bytes, %v; want the %d that were sent", len(p), err, len(back))
	}
}

func (b *bench) waitsForNoMore() {
	for _, first := range []string{"", "\x00", "\xff", "GET / HTTP/1.1\r\n", "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc", "\x01\x40\x00"} {
		line := transport.NewLine(b.checked(b.Maker.New(b.wake)))
		b.server.set(func() { b.server.in.bytes = append([]byte(first), b.text(2*transport.MaxSealed)...) })
		var err error
		for turn := 0; err == nil && turn < 1000; turn++ {
			if _, _, _, err = line.Read(&b.io, netpoll.Conn{}, b.buf, 1<<10, b.now); line.Working() {
				<-b.woken
				line.Woken()
			}
		}
		if !line.Failed() || err == netpoll.ErrWouldBlock {
			b.Errorf("behind %q: %v, want a failure", first, err)
		}
		if w := line.Weight(); w > 64<<10 {
			b.Errorf("behind %q: %d bytes are kept", first, w)
		}
		line.Close(&b.io)
	}
}

func (b *bench) badRecord() {
	c := b.dialed()
	hear := heard(c)
	b.turn()
	good := b.text(1000)
	c.Write(good)
	b.server.set(func() { b.server.in.bytes[len(b.server.in.bytes)/2] ^= 1 })
	b.until("the bad record is found", func() bool { return b.err != nil })
	if !b.line.Failed() || len(b.got) > 0 {
		b.Errorf("%v, and %d bytes were opened; want a failure", b.err, len(b.got))
	}
	if n, err := b.line.SendBytes(&b.io, netpoll.Conn{}, nil, good, b.now); n != len(good) || err != nil {
		b.Errorf("sent behind it: %d of %d, %v; want it thrown away", n, len(good), err)
	}
	b.leave()
	if p, err := hear(b); len(p) > 0 || !b.Accused(err) {
		b.Errorf("the client has heard %d bytes, %v; want what was wrong", len(p), err)
	}
}

func (b *bench) refuses() {
	if n, err := b.line.SendBytes(&b.io, netpoll.Conn{}, nil, []byte("HTTP/1.1 503 Busy\r\n\r\n"), b.now); n != 21 || err != nil {
		b.Errorf("%d bytes were taken, %v; want them thrown away", n, err)
	}
	if n := len(b.server.out.bytes); n > 0 {
		b.Errorf("%d bytes were sent before the transport is up", n)
	}
	b.leave()
	if _, err := b.Dial(b.client); !b.Refused(err) {
		b.Errorf("the client is told: %v", err)
	}
}

func (b *bench) refusesAtOnce() {
	b.server.Write(b.Maker.Refusal())
	b.server.CloseWrite()
	if _, err := b.Dial(b.client); !b.Refused(err) {
		b.Errorf("the client is told: %v", err)
	}
}

func (b *bench) farewell() {
	c := b.dialed()
	b.server.set(func() { b.server.out.room = len(b.server.out.bytes) + 100 })
	want := b.text(5000)
	if n, err := b.line.SendBytes(&b.io, netpoll.Conn{}, nil, want, b.now); n != len(want) || err != nil {
		b.Fatalf("%d of %d bytes, %v", n, len(want), err)
	}
	waited := b.line.Waiting()
	if err := b.line.Farewell(&b.io, netpoll.Conn{}, b.now); err != nil || !b.line.Over() {
		b.Fatalf("farewell: %v, over %t", err, b.line.Over())
	}
	if waited == 0 || b.line.Waiting() < waited {
		b.Errorf("%d bytes waited before the farewell, and %d with it", waited, b.line.Waiting())
	}
	hear := heard(c)
	b.until("all is sent", func() bool { return b.line.Waiting() == 0 })
	b.server.CloseWrite()
	if p, err := hear(b); !bytes.Equal(p, want) || err != nil {
		b.Errorf("the client has heard %d bytes, %v; want %d and a farewell", len(p), err, len(want))
	}
}

func (b *bench) peersFarewell() {
	c := b.dialed()
	want := b.text(100)
	c.Write(want)
	c.(interface{ CloseWrite() error }).CloseWrite()
	b.until("the end", func() bool { return b.err != nil })
	if b.err != io.EOF || b.line.Failed() || !bytes.Equal(b.got, want) {
		b.Errorf("read %d bytes, and then %v, failed %t", len(b.got), b.err, b.line.Failed())
	}
	hear := heard(c)
	b.say(want)
	b.leave()
	if p, err := hear(b); !bytes.Equal(p, want) || err != nil {
		b.Errorf("the client that has said farewell hears %d bytes, %v; want %d", len(p), err, len(want))
	}
}

func (b *bench) sealsInTime() {
	c := b.dialed()
	b.server.set(func() { b.server.out.room = len(b.server.out.bytes) + 100 })
	want := b.text(100_000)
	n, err := b.line.SendBytes(&b.io, netpoll.Conn{}, nil, want, 7)
	if err != nil || n == 0 || n > transport.MaxRecord {
		b.Fatalf("%d bytes were sealed, %v; want a record", n, err)
	}
	waits := b.line.Waiting()
	if waits < n-100 || b.line.Since() != 7 {
		b.Errorf("%d bytes wait since tick %d; of %d the socket took 100 at tick 7", waits, b.line.Since(), n)
	}
	if w := b.line.Weight(); w < waits || int64(w) != b.budget.Used() {
		b.Errorf("%d bytes wait, the line weighs %d, and the budget is charged %d", waits, w, b.budget.Used())
	}
	if m, err := b.line.Send(&b.io, netpoll.Conn{}, [][]byte{want[n:]}, 8); m != 0 || err != nil {
		b.Errorf("%d more bytes were sealed, %v", m, err)
	}
	hear := heard(c)
	b.say(want[n:])
	b.until("all is sent", func() bool { return b.line.Waiting() == 0 })
	if w := b.line.Weight(); w != 0 {
		b.Errorf("nothing waits, and the line weighs %d", w)
	}
	b.leave()
	if p, err := hear(b); !bytes.Equal(p, want) || err != nil {
		b.Errorf("the client has heard %d bytes, %v; want %d", len(p), err, len(want))
	}
}

func (b *bench) partial() {
	c := b.dialed()
	b.turn()
	if _, partial := b.line.Partial(); partial || b.line.Weight() > 0 {
		b.Fatalf("partial %t, weight %d before anything is sent", partial, b.line.Weight())
	}
	want := b.text(10_000)
	c.Write(want)
	var all []byte
	b.server.set(func() { all, b.server.in.bytes = b.server.in.bytes, nil })
	for at := 0; at < len(all); b.now++ {
		n := min(len(all)-at, 3000)
		b.server.set(func() { b.server.in.bytes = append(b.server.in.bytes, all[at:at+n]...) })
		if at += n; at == len(all) {
			break
		}
		began := b.now
		b.turn()
		since, partial := b.line.Partial()
		switch {
		case !partial || len(b.got) > 0:
			b.Fatalf("of %d bytes %d have come: partial %t, %d bytes opened", len(all), at, partial, len(b.got))
		case at == n && since != began || at > n && since == began:
			b.Errorf("%d bytes have come until tick %d, and the record is said to have begun at %d", at, began, since)
		case b.line.Weight() < at || b.line.Weight() > 4*at || b.budget.Used() != int64(b.line.Weight()):
			b.Errorf("%d bytes have come, the line weighs %d, and the budget is charged %d", at, b.line.Weight(), b.budget.Used())
		}
	}
	b.wantRead(want)
	if _, partial := b.line.Partial(); partial || b.line.Weight() > 0 {
		b.Errorf("partial %t, weight %d after all has come", partial, b.line.Weight())
	}
}

func (b *bench) provokes() {
	if b.Provoke == nil {
		b.Skip("nothing provokes it")
	}
	c := b.dialed()
	b.server.set(func() { b.server.out.room = len(b.server.out.bytes) + 10 })
	want := b.text(1000)
	b.line.SendBytes(&b.io, netpoll.Conn{}, nil, want, 7)
	before := b.line.Waiting()
	if err := b.Provoke(c, want); err != nil {
		b.Fatal(err)
	}
	b.wantRead(want)
	if b.line.Waiting() <= before || b.line.Since() != 7 {
		b.Errorf("%d bytes waited since tick 7, and with what was provoked %d since tick %d", before, b.line.Waiting(), b.line.Since())
	}
	hear := heard(c)
	b.say(want)
	b.leave()
	if p, err := hear(b); !bytes.Equal(p, append(want, want...)) || err != nil {
		b.Errorf("the client has heard %d bytes, %v; want twice %d", len(p), err, len(want))
	}
}

func (b *bench) overHighWater() {
	if b.Provoke == nil {
		b.Skip("nothing provokes it")
	}
	c := b.dialed()
	b.io.HighWater = 0
	b.server.set(func() { b.server.out.room = len(b.server.out.bytes) })
	var want []byte
	for range 20 {
		p := b.text(100)
		want = append(want, p...)
		if err := b.Provoke(c, p); err != nil {
			b.Fatal(err)
		}
	}
	b.until("reading holds", func() bool { return b.line.Holds(&b.io) })
	held, weight := len(b.got), b.line.Weight()
	b.turn()
	if held == len(want) || len(b.got) != held || b.line.Weight() != weight {
		b.Errorf("%d of %d bytes were read before reading held, and %d after", held, len(want), len(b.got))
	}
	if _, partial := b.line.Partial(); partial {
		b.Error("records that may not be opened yet are said to be partial")
	}
	hear := heard(c)
	b.server.set(func() { b.server.out.room = 1 << 20 })
	b.wantRead(want)
	b.leave()
	if _, err := hear(b); err != nil {
		b.Errorf("the client has heard: %v", err)
	}
}

// handOver moves a stream to a Conn and back, with something in every state.
func (b *bench) handOver() {
	c := b.dialed()
	there, back := b.text(60_000), b.text(60_000)
	b.turn()
	for p := there; len(p) > 0; p = p[min(7000, len(p)):] {
		c.Write(p[:min(7000, len(p))])
	}
	var late []byte // on its way
	b.server.set(func() {
		late, b.server.in.bytes = bytes.Clone(b.server.in.bytes[17_000:]), b.server.in.bytes[:17_000]
		b.server.out.room = len(b.server.out.bytes) + 10
	})
	n, err := b.line.SendBytes(&b.io, netpoll.Conn{}, nil, back[:20_000], b.now)
	if err != nil {
		b.Fatal(err)
	}
	b.server.set(func() { b.server.out.room += 7 })
	b.turn()
	s := b.line.State()
	b.line.Leave(&b.io)
	if used := b.budget.Used(); used != 0 || len(s.Sealed) == 0 || len(s.Raw) == 0 || len(b.got) == 0 {
		b.Errorf("%d bytes are charged after the line has gone; %d sealed and %d raw bytes went along, %d were read before",
			used, len(s.Sealed), len(s.Raw), len(b.got))
	}
	b.line = nil

	s.Raw = append(s.Raw, late[:20_000]...) // as if more had been read
	nc := transport.NewConn(b.server, s)
	hear := heard(c)
	b.server.set(func() { b.server.out.room = 1 << 20 })
	if m, err := nc.Write(back[n:30_000]); m != 30_000-n || err != nil {
		b.Fatalf("Write: %d, %v", m, err)
	}
	b.read(nc, 999, 30_000)
	b.server.set(func() { b.server.in.bytes = late[20_000:] })
	b.read(nc, 30_000, 40_000)
	b.read(nc, 10, len(b.got)+10)
	inner, s := nc.Detach()
	if _, err := nc.Read(make([]byte, 1)); err != net.ErrClosed || inner != net.Conn(b.server) {
		b.Errorf("a Conn whose socket was taken out reads: %v", err)
	}
	b.got = append(b.got, s.Plain...)
	b.server.set(func() { s.Raw, b.server.in.bytes = append(s.Raw, b.server.in.bytes...), nil })
	if b.line, err = transport.Resume(&b.io, s, b.now); err != nil {
		b.Fatal(err)
	}
	b.quiet = false
	if _, partial := b.line.Partial(); partial {
		b.Error("records that were not looked at are said to be partial")
	}
	b.wantRead(there)
	b.say(back[30_000:])
	b.leave()
	if p, err := hear(b); !bytes.Equal(p, back) || err != nil {
		b.Errorf("the client has heard %d bytes, %v; want %d", len(p), err, len(back))
	}
}

// read reads of a Conn, at most so many bytes at once, until there are enough.
func (b *bench) read(nc net.Conn, most, enough int) {
	b.Helper()
	for p := make([]byte, most); len(b.got) < enough; {
		m, err := nc.Read(p)
		if b.got = append(b.got, p[:m]...); err != nil {
			b.Fatalf("after %d bytes: %v", len(b.got), err)
		}
	}
}

// connEnd is what a Conn hears of a client that has said farewell, and of one that has not.
func (b *bench) connEnd() {
	c := b.dialed()
	nc := transport.NewConn(b.server, b.line.State())
	b.line.Leave(&b.io)
	b.line = nil
	want := b.text(100)
	c.Write(want)
	b.read(nc, 10, len(want))
	nc.SetReadDeadline(time.Now().Add(-time.Second))
	if n, err := nc.Read(want); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		b.Errorf("%d bytes, %v; want the deadline", n, err)
	}
	nc.SetReadDeadline(time.Time{})
	raw := b.client.out
	c.(interface{ CloseWrite() error }).CloseWrite()
	var farewell []byte
	b.client.set(func() { farewell, raw.bytes, raw.over = raw.bytes, nil, true })
	if n, err := nc.Read(want); n != 0 || err == nil || err == io.EOF {
		b.Errorf("the client was cut off, and %d bytes and %v are read", n, err)
	}
	b.client.set(func() { raw.bytes = farewell })
	for range 2 {
		if n, err := nc.Read(want); n != 0 || err != io.EOF {
			b.Errorf("the client has said farewell, and %d bytes and %v are read", n, err)
		}
	}
	if err := nc.Close(); err != nil {
		b.Error(err)
	}
}

// connCloses is a Conn that somebody reads and somebody writes when it is closed.
func (b *bench) connCloses() {
	b.dialed()
	nc := transport.NewConn(b.server, b.line.State())
	b.line.Leave(&b.io)
	b.line = nil
	b.server.set(func() { b.server.out.room = len(b.server.out.bytes) + 10 })
	ended := make(chan error, 2)
	go func() {
		_, err := nc.Read(make([]byte, 100))
		ended <- err
	}()
	go func() {
		_, err := nc.Write(make([]byte, 100_000))
		ended <- err
	}()
	full := func() (full bool) {
		b.server.set(func() { full = len(b.server.out.bytes) == b.server.out.room })
		return full
	}
	for end := time.Now().Add(patience); !full(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("nothing is written")
		}
	}
	nc.Close()
	for range 2 {
		if err := <-ended; err == nil {
			b.Error("no error after Close")
		}
	}
	nc.Close()
}

func (b *bench) connFarewell() {
	c := b.dialed()
	want := b.text(100)
	nc := transport.NewConn(b.server, b.line.State())
	b.line.Leave(&b.io)
	b.line = nil
	hear := heard(c)
	nc.Write(want)
	if err := nc.Close(); err != nil {
		b.Error(err)
	}
	if _, err := nc.Write(want); err == nil {
		b.Error("a Conn that is closed takes bytes")
	}
	b.line = transport.NewLine(b.checked(b.Maker.New(func() {}))) // for hear, which lets it look
	b.err = io.EOF
	if p, err := hear(b); !bytes.Equal(p, want) || err != nil {
		b.Errorf("the client has heard %d bytes, %v; want %d and a farewell", len(p), err, len(want))
	}
}

func (b *bench) allocatesNothing() {
	b.line.Close(&b.io)
	t := b.Maker.New(b.wake)
	b.line = transport.NewLine(t)
	c := b.dialed()
	b.turn()
	const records = 101
	for range records {
		c.Write(b.text(500))
	}
	in := b.server.in.bytes
	if n := testing.AllocsPerRun(records-1, func() {
		o, err := t.Open(in, nil)
		if err != nil || o.Taken == 0 {
			b.Fatalf("Open: %d taken, %v", o.Taken, err)
		}
		in = in[o.Taken:]
	}); n > float64(b.Allocs) {
		b.Errorf("Open allocates %v times", n)
	}
	out, pieces := make([]byte, 0, transport.MaxSealed), [][]byte{b.text(500), b.text(500)}
	if n := testing.AllocsPerRun(100, func() { t.Seal(out, pieces) }); n > float64(b.Allocs) {
		b.Errorf("Seal allocates %v times", n)
	}
}
