package main

import (
	"github.com/gobwas/ws"

	"sluice/session"
)

// holding keeps the connections for a time and answers the server's pings, which are what it counts.
type holding struct {
	end  int64
	over bool
}

func (t *holding) due(_ *loop, now int64) (int64, error) {
	t.over = now >= t.end
	return t.end, nil
}

func (t *holding) received(l *loop, _ *conn, in session.Input, now int64) {
	if in.Kind == session.Ping {
		l.tally.Done++
		l.tally.Last = now
	}
}

func (t *holding) opened(*loop, *conn, int64) {}
func (t *holding) closed(*loop, *conn)        {}
func (t *holding) done() bool                 { return t.over }
func (t *holding) pending() int               { return 0 }

// awaiting waits for one pushed message on every connection. If it has something to say, one of them
// says it first.
type awaiting struct {
	say     string
	size    int // of the pushed message
	begun   bool
	waiting int
}

func (t *awaiting) due(l *loop, now int64) (int64, error) {
	if t.begun {
		return never, nil
	}
	t.begun = true
	t.waiting = len(l.open)
	for _, c := range l.open {
		c.due = append(c.due[:0], now)
	}
	if t.say != "" && len(l.open) > 0 {
		l.tally.Sent = l.now()
		l.send(l.open[0], frame(ws.OpText, []byte(t.say)))
	}
	return never, nil
}

func (t *awaiting) received(l *loop, c *conn, in session.Input, now int64) {
	if in.Kind != session.Message {
		return
	}
	if len(c.due) == 0 || len(in.Payload) != t.size {
		l.tally.fail("a message that was not pushed", 1)
		return
	}
	c.due = c.due[:0]
	t.waiting--
	l.tally.Done++
	l.tally.Last = now
}

func (t *awaiting) closed(_ *loop, c *conn) {
	t.waiting -= len(c.due)
	c.due = nil
}

func (t *awaiting) opened(*loop, *conn, int64) {}
func (t *awaiting) done() bool                 { return t.begun && t.waiting == 0 }
func (t *awaiting) pending() int               { return t.waiting }
