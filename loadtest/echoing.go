package main

import (
	"bytes"

	"github.com/gobwas/ws"

	"sluice/session"
)

// echoing sends messages, or pings, and takes their answers: each connection its next as soon as the
// last is answered (a closed loop), or all of them by a common plan (an open one).
type echoing struct {
	conns   []*conn
	op      ws.OpCode
	payload []byte
	frame   []byte
	open    bool
	pace    pace
	end     int64
	begun   bool
	over    bool
	at      int // whose turn it is in an open loop
	waiting int
}

func newEchoing(conns []*conn, op ws.OpCode, size int, rate float64, start, end int64) *echoing {
	payload := bytes.Repeat([]byte{'e'}, size)
	return &echoing{
		conns:   conns,
		op:      op,
		payload: payload,
		frame:   frame(op, payload),
		open:    rate > 0,
		pace:    newPace(start, rate),
		end:     end,
	}
}

func (t *echoing) due(l *loop, now int64) (int64, error) {
	if !t.open {
		if !t.begun { // even if the time is over already, on a busy machine
			t.begun = true
			for _, c := range t.conns {
				t.send(l, c, l.now())
			}
		}
		if now >= t.end {
			t.over = true
			return never, nil
		}
		return t.end, nil
	}
	// What was due before the end is sent, however late it is: a generator that
	// left it out would have had no pause of its own, nor the server one.
	for {
		planned := t.pace.next(now)
		if planned >= t.end && now >= t.end {
			t.over = true
			return never, nil
		}
		if planned > now || planned >= t.end {
			return min(planned, t.end), nil
		}
		t.pace.taken()
		c := t.conns[t.at%len(t.conns)]
		t.at++
		l.tally.Lag.record(l.now() - planned)
		t.send(l, c, planned)
	}
}

// send sends one message that is, or should have been, sent at the given time.
func (t *echoing) send(l *loop, c *conn, at int64) {
	if c.fd < 0 {
		l.tally.fail("not sent, the connection was gone", 1)
		return
	}
	t.waiting++
	c.due = append(c.due, at)
	l.send(c, t.frame)
}

func (t *echoing) opened(*loop, *conn, int64) {}

func (t *echoing) received(l *loop, c *conn, in session.Input, now int64) {
	if in.Kind == session.Ping {
		return
	}
	if len(c.due) == 0 || !t.answers(in) {
		l.tally.fail("an answer to nothing that was sent", 1)
		return
	}
	since := c.due[0]
	c.due = c.due[:copy(c.due, c.due[1:])]
	t.waiting--
	l.tally.complete(since, now)
	if !t.open && now < t.end {
		t.send(l, c, now)
	}
}

func (t *echoing) answers(in session.Input) bool {
	if t.op == ws.OpPing {
		return in.Kind == session.Pong && bytes.Equal(in.Payload, t.payload)
	}
	return in.Kind == session.Message && in.Op == t.op && bytes.Equal(in.Payload, t.payload)
}

func (t *echoing) closed(_ *loop, c *conn) {
	t.waiting -= len(c.due)
	c.due = nil
}

func (t *echoing) done() bool   { return t.over && t.waiting == 0 }
func (t *echoing) pending() int { return t.waiting }
