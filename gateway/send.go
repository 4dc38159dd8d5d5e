package gateway

import (
	"github.com/gobwas/ws"

	"sluice/metrics"
	"sluice/netpoll"
	"sluice/session"
)

// write appends a message to the frames for c that the next flush sends.
func (l *loop) write(c *client, op ws.OpCode, data []byte) {
	l.metrics.Sent(c.hub.metrics, len(data))
	if c.windowBits != 0 {
		l.out = l.deflate.AppendFrame(l.out, op, data, int(c.windowBits))
		return
	}
	l.out = session.AppendFrame(l.out, op, data)
}

// flush sends the frames in l.out, and queues what the socket does not take.
func (l *loop) flush(c *client) {
	p := l.out
	if len(p) == 0 {
		return
	}
	l.out = p[:0]
	if sent, ok := l.send(c, p); !ok {
		err := c.Queue.Append(l.context.Pool, p, sent, l.now)
		if err != nil && !c.writing { // a frame may be under way, and must go on
			l.context.Pool.Reserved(func() { err = c.Queue.Append(l.context.Pool, p, sent, l.now) })
		}
		l.queued(c, p, sent, err)
	}
}

// sendShared sends c a frame that many get, and queues what the socket does
// not take, for a time if that is not zero. Nobody has a copy of it.
func (l *loop) sendShared(c *client, f *session.Shared, ttl session.Tick) {
	if sent, ok := l.send(c, f.Bytes()); !ok {
		err := c.Queue.AppendShared(l.context.Pool, f, sent, l.now, ttl)
		if err != nil && !c.writing {
			l.context.Pool.Reserved(func() { err = c.Queue.AppendShared(l.context.Pool, f, sent, l.now, ttl) })
		}
		l.queued(c, f.Bytes(), sent, err)
	}
}

// send writes frames to the socket, unless others wait already. With ok false
// what is behind the first sent bytes has to be queued.
func (l *loop) send(c *client, p []byte) (sent int, ok bool) {
	switch {
	case !c.conn.Open():
		return 0, true
	case !c.writing:
		n, err := l.sys.Write(c.conn, p)
		if err != nil && err != netpoll.ErrWouldBlock {
			l.lose(c, metrics.DropGone, p, 0)
			l.drop(c, lost(err))
			return 0, true
		}
		l.metrics.SentBytes(c.counts(), n)
		if n < len(p) {
			return n, false
		}
		if c.state != open {
			c.Closing.Left()
		}
		return n, true
	case c.Queue.Weight()+len(p) > l.g.settings.Load().queue && c.state == open:
		l.lose(c, metrics.DropSlowConsumer, p, 0)
		l.slow(c, metrics.ReasonSlowConsumerBytes)
		return 0, true
	}
	return 0, false
}

// dropped counts n messages that were counted as sent and will not leave.
func (l *loop) dropped(c *client, why metrics.Drop, n int) {
	if n > 0 && c.upgraded {
		l.metrics.Dropped(c.hub.metrics, why, n)
	}
}

// lose counts the messages among the frames in p that the first sent bytes
// do not bring to their end. It must be called while p is whole: the last words
// that follow may overwrite it.
func (l *loop) lose(c *client, why metrics.Drop, p []byte, sent int) {
	if c.upgraded {
		l.dropped(c, why, session.Messages(p, sent))
	}
}

// lostAs is how messages are counted that the end of a session for reason has
// kept from leaving.
func lostAs(reason metrics.Reason) metrics.Drop {
	switch reason {
	case metrics.ReasonSlowConsumerBytes, metrics.ReasonSlowConsumerAge:
		return metrics.DropSlowConsumer
	case metrics.ReasonMemory:
		return metrics.DropMemory
	case metrics.ReasonShutdown:
		return metrics.DropShutdown
	}
	return metrics.DropGone
}

// queued makes c wait for its socket, after what is behind the first sent bytes
// of p was queued for it; err is of the queue, which takes all or nothing.
func (l *loop) queued(c *client, p []byte, sent int, err error) {
	if err != nil {
		l.lose(c, metrics.DropMemory, p, sent)
		if c.writing && c.state == open {
			l.slow(c, metrics.ReasonMemory)
		} else { // no room even for the rest of a frame
			l.drop(c, metrics.ReasonMemory)
		}
		return
	}
	l.weigh(c)
	if c.writing {
		return
	}
	c.writing = true
	l.stalled[c] = struct{}{}
	if c.registered {
		l.sys.Mod(c.conn.FD(), c.interest())
	}
	if c.state == open {
		l.wheel.Hasten(&c.timer, l.now+l.g.settings.Load().queueAge)
	}
}

// weigh brings the metric of what is queued up to date with c.
func (l *loop) weigh(c *client) {
	l.metrics.Gauge(metrics.SendQueueBytes, int64(c.Queue.Len())-int64(c.weight))
	c.weight = uint32(c.Queue.Len())
}

// drainQueue writes what is queued, when the socket takes bytes again.
func (l *loop) drainQueue(c *client) {
	for {
		l.dropped(c, metrics.DropExpired, c.Queue.Expire(l.context.Pool, l.now))
		if c.Queue.Empty() {
			break
		}
		n, err := l.sys.Writev(c.conn, c.Queue.Buffers(l.pieces[:0]))
		if err != nil {
			if err != netpoll.ErrWouldBlock {
				l.drop(c, lost(err))
			}
			return
		}
		l.metrics.SentBytes(c.counts(), n)
		c.Queue.Advance(l.context.Pool, n)
		l.weigh(c)
	}
	l.weigh(c)
	c.writing = false
	delete(l.stalled, c)
	l.sys.Mod(c.conn.FD(), c.interest())
	c.Closing.Left()
	if c.state == leaving {
		l.depart(c)
		return
	}
	l.resume(c)
}

// slow ends a session that does not read what it is sent. Of the queue only
// the rest of the frame that was begun is kept, so that the Close frame can
// follow: the client finds it if it ever reads again.
func (l *loop) slow(c *client, reason metrics.Reason) {
	l.metrics.SlowConsumer(c.hub.metrics)
	l.dropped(c, lostAs(reason), c.Queue.Cut(l.context.Pool))
	l.weigh(c)
	l.fail(c, tryAgainLater, reason, "too slow")
}
