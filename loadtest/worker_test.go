package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"pgregory.net/rapid"
)

func TestSharesOfAnOrderAddUpToIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "workers")
		o := order{
			Conns:    rapid.IntRange(0, 20000).Draw(t, "conns"),
			Active:   rapid.IntRange(0, 20000).Draw(t, "active"),
			Parallel: rapid.IntRange(0, 100).Draw(t, "parallel"),
			Rate:     float64(rapid.IntRange(0, 1_000_000).Draw(t, "rate")),
			Say:      "hello",
		}
		var sum order
		said := 0
		for i := range n {
			part := o.share(i, n)
			sum.Conns += part.Conns
			sum.Active += part.Active
			sum.Rate += part.Rate
			if (part.Parallel == 0) != (o.Parallel == 0) {
				t.Fatalf("%d at a time became %d", o.Parallel, part.Parallel)
			}
			if part.Say != "" {
				said++
			}
		}
		if sum.Conns != o.Conns || sum.Active != o.Active || said != 1 {
			t.Fatalf("%+v in %d parts became %+v, said %d times", o, n, sum, said)
		}
		if diff := sum.Rate - o.Rate; diff > 1e-6*o.Rate || diff < -1e-6*o.Rate {
			t.Fatalf("rate %v became %v", o.Rate, sum.Rate)
		}
	})
}

// serveOne upgrades one connection and hands it to serve, which the test waits for at its end.
func serveOne(t *testing.T, serve func(net.Conn)) target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := ws.Upgrade(c); err == nil {
			serve(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	tg, err := newTarget("ws://"+l.Addr().String()+"/", nil, 2)
	if err != nil {
		t.Fatal(err)
	}
	return tg
}

func connected(t *testing.T, tg target) *loop {
	t.Helper()
	l, err := newLoop(tg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	sum, err := l.do(t.Context(), order{Do: doConnect, Conns: 1})
	if err != nil || sum.Done != 1 {
		t.Fatalf("%+v, %v", sum, err)
	}
	return l
}

// A generator that waited for the server before it sent again would hide the server's pauses. The pause here lasts until
// everything has been sent: what is counted is messages, and a slow machine has as many.
func TestOpenLoopCountsTheServersPauseForEveryMessageThatFellIntoIt(t *testing.T) {
	const (
		rate    = 500
		planned = 200
		whole   = planned * time.Second / rate
		before  = 20 // messages that are answered at once
	)
	l := connected(t, serveOne(t, func(c net.Conn) {
		var waiting [][]byte
		for n := 1; ; n++ {
			b, op, err := wsutil.ReadClientData(c)
			if err != nil {
				return
			}
			if waiting = append(waiting, b); n > before && n < planned {
				continue
			}
			for _, b := range waiting {
				if wsutil.WriteServerMessage(c, op, b) != nil {
					return
				}
			}
			waiting = nil
		}
	}))
	sum, err := l.do(t.Context(), order{Do: doEcho, Active: 1, Rate: rate, Size: 8, For: whole})
	if err != nil {
		t.Fatal(err)
	}
	if len(sum.Errors) > 0 || sum.Done != planned {
		t.Fatalf("%d messages, %v; planned were %d", sum.Done, sum.Errors, planned)
	}
	late := int64(0)
	for _, bar := range sum.Latency.h.Distribution() {
		if bar.To >= int64(whole/2) {
			late += bar.Count
		}
	}
	// Nothing is sent before it is due, so the pause ends with the last one's due time at the soonest, and what was due in
	// the first half has waited for the other.
	if late < planned/2-before {
		t.Errorf("%d messages waited for half of the time; due in its first half were %d", late, planned/2-before)
	}
}

// A loop that wakes up after the end, as on a busy machine, has the whole plan to catch up with.
func TestOpenLoopLeavesNothingOutThatWasDueBeforeItsEnd(t *testing.T) {
	l := &loop{tally: newTally()}
	const second = int64(time.Second)
	job := newEchoing([]*conn{{fd: -1}}, ws.OpText, 8, 50, 0, second)
	for _, step := range []struct{ now, sent int64 }{{0, 1}, {second / 2, 26}, {5 * second, 50}, {6 * second, 50}} {
		if _, err := job.due(l, step.now); err != nil {
			t.Fatal(err)
		}
		if got := l.tally.Errors["not sent, the connection was gone"]; got != step.sent {
			t.Errorf("at %d ms: %d messages, want %d", step.now/1e6, got, step.sent)
		}
	}
	if !job.done() {
		t.Error("the job is not over")
	}
}

func TestServersCloseIsReported(t *testing.T) {
	l := connected(t, serveOne(t, func(c net.Conn) {
		wsutil.ReadClientData(c)
		c.Write(ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1013, "full"))))
	}))
	sum, err := l.do(t.Context(), order{Do: doEcho, Active: 1, Size: 8, For: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Done != 0 || sum.Errors["closed by the server: 1013 full"] != 1 || len(l.open) != 0 {
		t.Errorf("%d done, %v, %d open", sum.Done, sum.Errors, len(l.open))
	}
}

func TestEndOfStreamIsReported(t *testing.T) {
	l := connected(t, serveOne(t, func(c net.Conn) { wsutil.ReadClientData(c) }))
	sum, err := l.do(t.Context(), order{Do: doEcho, Active: 1, Size: 8, For: 50 * time.Millisecond})
	if err != nil || sum.Errors["unexpected EOF"] != 1 {
		t.Errorf("%v, %v", sum.Errors, err)
	}
}

func TestWrongAnswerIsReported(t *testing.T) {
	l := connected(t, serveOne(t, func(c net.Conn) {
		for {
			if _, _, err := wsutil.ReadClientData(c); err != nil || wsutil.WriteServerText(c, []byte("no echo")) != nil {
				return
			}
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	sum, err := l.do(ctx, order{Do: doEcho, Active: 1, Size: 8, For: 50 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) { // the true answer is still waited for
		t.Errorf("error %v", err)
	}
	if sum.Done != 0 || sum.Errors["an answer to nothing that was sent"] != 1 {
		t.Errorf("%d done, %v", sum.Done, sum.Errors)
	}
}

func TestPingIsAnsweredWithItsPayload(t *testing.T) {
	holding, answer := make(chan struct{}), make(chan string, 1)
	l := connected(t, serveOne(t, func(c net.Conn) {
		<-holding
		c.Write(ws.MustCompileFrame(ws.NewPingFrame([]byte("hello"))))
		defer close(answer)
		h, err := ws.ReadHeader(c)
		if err != nil || h.OpCode != ws.OpPong || h.Length > 125 {
			return
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(c, payload); err != nil {
			return
		}
		ws.Cipher(payload, h.Mask, 0)
		answer <- string(payload)
	}))
	close(holding)
	sum, err := l.do(t.Context(), order{Do: doHold, For: 100 * time.Millisecond})
	if err != nil || sum.Done != 1 {
		t.Errorf("%d pings, %v", sum.Done, err)
	}
	if got := <-answer; got != "hello" {
		t.Errorf("the pong says %q", got)
	}
}

func TestHandshakesAnswerMayComeByteByByte(t *testing.T) {
	tg, err := newTarget("ws://127.0.0.1:1/", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	answer := "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + tg.accept + "\r\n\r\n"
	var c conn
	for i := range len(answer) {
		rest, done, err := c.upgraded([]byte(answer[i:i+1]), tg.accept)
		if err != nil || done != (i == len(answer)-1) || len(rest) > 0 {
			t.Fatalf("byte %d: %q, %v, %v", i, rest, done, err)
		}
	}
	rest, done, err := new(conn).upgraded([]byte(answer+"\x81\x00"), tg.accept)
	if err != nil || !done || string(rest) != "\x81\x00" {
		t.Errorf("%q, %v, %v; want the frame that came behind", rest, done, err)
	}
}

func TestBadHandshakesAreRefused(t *testing.T) {
	for _, tt := range []struct{ answer, want string }{
		{"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n\r\n", "handshake refused: HTTP/1.1 429 Too Many Requests"},
		{"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n", "wrong Sec-WebSocket-Accept"},
		{strings.Repeat("x", maxHead+1), "endless head"},
	} {
		_, _, err := new(conn).upgraded([]byte(tt.answer), "accept")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}
