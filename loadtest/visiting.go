package main

import (
	"bytes"

	"github.com/gobwas/ws"

	"sluice/session"
)

// visiting lets clients come, say something, hear the echo, and leave with a closing handshake: by a
// plan, or so many at a time.
type visiting struct {
	payload  []byte
	hello    []byte
	goodbye  []byte
	pace     pace
	parallel int // visitors at a time when there is no plan
	end      int64
	over     bool
	inside   int
}

func newVisiting(size, parallel int, rate float64, start, end int64) *visiting {
	payload := bytes.Repeat([]byte{'v'}, size)
	return &visiting{
		payload:  payload,
		hello:    frame(ws.OpText, payload),
		goodbye:  frame(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, "")),
		pace:     newPace(start, rate),
		parallel: parallel,
		end:      end,
	}
}

func (t *visiting) due(l *loop, now int64) (int64, error) {
	for {
		planned := t.pace.next(now)
		// By a plan, whoever was due before the end comes, however late it is.
		if planned >= t.end && now >= t.end {
			t.over = true
			return never, nil
		}
		if t.pace.interval == 0 && t.inside >= t.parallel {
			return t.end, nil
		}
		if planned > now || planned >= t.end {
			return min(planned, t.end), nil
		}
		t.pace.taken()
		t.inside++
		if t.pace.interval > 0 {
			l.tally.Lag.record(now - planned)
		}
		// The visit counts from when it should have begun.
		if err := l.dial(planned); err != nil {
			return 0, err
		}
		now = l.now()
	}
}

func (t *visiting) opened(l *loop, c *conn, _ int64) { l.send(c, t.hello) }

func (t *visiting) received(l *loop, c *conn, in session.Input, now int64) {
	switch in.Kind {
	case session.Message:
		if !bytes.Equal(in.Payload, t.payload) {
			l.tally.fail("an answer to nothing that was sent", 1)
		}
		c.closing = true
		l.send(c, t.goodbye)
	case session.Close:
		t.inside--
		l.tally.complete(c.began, now)
	}
}

func (t *visiting) closed(*loop, *conn) { t.inside-- }
func (t *visiting) done() bool          { return t.over && t.inside == 0 }
func (t *visiting) pending() int        { return t.inside }
