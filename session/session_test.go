package session

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
)

func TestCloseHandshakeFromEitherSide(t *testing.T) {
	const ours, theirs = ws.StatusGoingAway, ws.StatusNormalClosure
	start := func(c *Closing) []byte { return c.Start(nil, ours, "bye") }
	left := func(c *Closing) []byte { c.Left(); return nil }
	receive := func(c *Closing) []byte { return c.Receive(nil, theirs) }
	for name, test := range map[string]struct {
		steps []func(*Closing) []byte
		sent  [][]byte
		done  bool
		code  ws.StatusCode
	}{
		"open":                    {code: ws.StatusAbnormalClosure},
		"ours":                    {[]func(*Closing) []byte{start, left}, [][]byte{AppendClose(nil, ours, "bye"), nil}, false, ours},
		"ours unseen":             {[]func(*Closing) []byte{start}, [][]byte{AppendClose(nil, ours, "bye")}, false, ws.StatusAbnormalClosure},
		"theirs":                  {[]func(*Closing) []byte{receive}, [][]byte{AppendClose(nil, theirs, "")}, true, theirs},
		"ours first":              {[]func(*Closing) []byte{start, left, receive}, [][]byte{AppendClose(nil, ours, "bye"), nil, nil}, true, ours},
		"theirs before ours left": {[]func(*Closing) []byte{start, receive, left}, [][]byte{AppendClose(nil, ours, "bye"), nil, nil}, true, theirs},
		"ours twice":              {[]func(*Closing) []byte{start, left, start}, [][]byte{AppendClose(nil, ours, "bye"), nil, nil}, false, ours},
		"theirs then":             {[]func(*Closing) []byte{receive, start}, [][]byte{AppendClose(nil, theirs, ""), nil}, true, theirs},
	} {
		t.Run(name, func(t *testing.T) {
			var c Closing
			for i, step := range test.steps {
				if got := step(&c); !bytes.Equal(got, test.sent[i]) {
					t.Errorf("step %d sends % x, want % x", i, got, test.sent[i])
				}
			}
			if c.Open() != (len(test.steps) == 0) || c.Done() != test.done || c.Code() != test.code {
				t.Errorf("open %v, done %v, code %d, want done %v, code %d", c.Open(), c.Done(), c.Code(), test.done, test.code)
			}
		})
	}
}

// The heartbeat near the wrap-around of the clock, as everywhere else.
func TestHeartbeatAsksOnceAndDropsInTime(t *testing.T) {
	const interval, timeout = 250, 100
	for _, begin := range []Tick{0, 1000, ^Tick(0) - 300} {
		var h Heartbeat
		h.Seen(begin)
		verdict, next := h.Check(begin+10, begin+10, interval, timeout, 5, 1, false)
		if verdict != Alive || next != begin+interval-5 {
			t.Fatalf("%v, next %d, want to be asked again at %d", verdict, next-begin, interval-5)
		}
		verdict, next = h.Check(next, next, interval, timeout, 5, 1, false)
		if verdict != Ask || next != begin+interval-5+timeout {
			t.Fatalf("%v, next %d, want a ping now", verdict, next-begin)
		}
		asked := begin + interval - 5
		h.Asked(asked, 1)
		if verdict, _ = h.Check(next-1, next-1, interval, timeout, 5, 1, false); verdict != Alive {
			t.Fatal("dropped before the answer's time was over")
		}
		if verdict, _ = h.Check(next, next, interval, timeout, 5, 1, false); verdict != Dead {
			t.Fatal("not dropped when the answer's time was over")
		}
	}
}

func TestHeartbeatTakesAnyByteForLife(t *testing.T) {
	var h Heartbeat
	h.Seen(0)
	h.Asked(250, 7)
	h.Seen(250) // in the tick of the ping, so behind it
	verdict, next := h.Check(350, 350, 250, 100, 0, 1, false)
	if verdict != Alive || next != 500 {
		t.Errorf("%v, next %d, want Alive until 500", verdict, next)
	}
}

// Peers that are due within one beat are asked together, and none late.
func TestHeartbeatAsksOnTheBeat(t *testing.T) {
	const interval, beat = 250, 5
	for seen := range Tick(40) {
		var h Heartbeat
		h.Seen(seen)
		verdict, next := h.Check(seen, seen, interval, 100, 7, beat, false)
		if verdict != Alive || next%beat != 0 || next > seen+interval-7 || next+beat <= seen+interval-7 {
			t.Fatalf("seen at %d: %v, next %d", seen, verdict, next)
		}
		if verdict, _ = h.Check(next, next, interval, 100, 7, beat, false); verdict != Ask {
			t.Fatalf("seen at %d: %v on the beat, want a ping", seen, verdict)
		}
	}
}

func TestHeartbeatIsSuspendedWhileInputWaits(t *testing.T) {
	var h Heartbeat
	h.Seen(0)
	h.Asked(250, 7)
	for now := Tick(350); now < 2000; now += 100 {
		if verdict, next := h.Check(now, now, 250, 100, 0, 1, true); verdict != Alive || next != now+100 {
			t.Fatalf("at %d: %v, next %d", now, verdict, next)
		}
	}
	// Input was read again, and there was no answer in it: its time begins now.
	if verdict, next := h.Check(1950, 1950, 250, 100, 0, 1, false); verdict != Alive || next != 2050 {
		t.Errorf("%v, next %d, want Alive until 2050", verdict, next)
	}
	if verdict, _ := h.Check(2050, 2050, 250, 100, 0, 1, false); verdict != Dead {
		t.Error("never dropped")
	}
}

// Of the time for an answer, only that counts in which somebody was there to
// hear it.
func TestHeartbeatWaitsForAnAnswerOnlyWhileSomebodyListens(t *testing.T) {
	const interval, timeout = 250, 100
	for _, begin := range []Tick{1, ^Tick(0) - 300} {
		var h Heartbeat
		h.Seen(begin)
		now, attended := begin+interval, Tick(7)
		h.Asked(attended, 1)
		now, attended = now+10_000, attended+timeout-1
		verdict, next := h.Check(now, attended, interval, timeout, 0, 1, false)
		if verdict != Alive || next != now+1 {
			t.Errorf("%v, next in %d, want Alive for a tick more", verdict, next-now)
		}
		if verdict, _ = h.Check(now+10_000, attended+1, interval, timeout, 0, 1, false); verdict != Dead {
			t.Errorf("%v, want Dead: nothing has come while somebody listened", verdict)
		}
	}
}

func TestPongIsTimedOnce(t *testing.T) {
	var h Heartbeat
	if _, ok := h.Answered(); ok {
		t.Error("a pong nobody asked for was timed")
	}
	h.Asked(250, 7)
	if sent, ok := h.Answered(); !ok || sent != 7 {
		t.Errorf("%d, %v, want 7, true", sent, ok)
	}
	if _, ok := h.Answered(); ok {
		t.Error("a second pong was timed")
	}
}

func TestIdleSessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(struct {
		Reader
		Queue
		Closing
		Heartbeat
	}{}); size > 64 {
		t.Errorf("%d bytes", size)
	}
}
