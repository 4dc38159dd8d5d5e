package gateway

import "time"

// readMail runs in the loop when its doorbell has rung.
func (l *loop) readMail() {
	m := &l.mail
	if m.next == len(m.out) && !m.swap() {
		return // until there is a letter, the loop may not be whole
	}
	start := l.Uptime()
	for i := 0; ; i++ {
		if m.next == len(m.out) && !m.swap() {
			return
		}
		lt := &m.out[m.next]
		if (!lt.isReply() || i&15 == 15) && !l.over && i > 0 && l.Uptime()-start > slice {
			l.Wake() // the rest after the sockets
			return
		}
		if lt.isReply() {
			l.deliver(lt)
		} else {
			for !l.work(lt) {
				if !l.over {
					l.Wake()
					return
				}
			}
		}
		*lt = letter{}
		m.next++
	}
}

// slice is how long mail may keep a loop from its sockets.
const slice = time.Millisecond

// work does what a letter says that is no reply, and is false if that takes longer
// than a slice. A panic in it is counted and logged; the letter is done with.
func (l *loop) work(lt *letter) (done bool) {
	done = true
	defer func() {
		if v := recover(); v != nil {
			l.Panicked(v)
		}
	}()
	switch {
	case lt.errand != nil:
		return lt.errand.run(l)
	case lt.freed != nil:
		return l.publishWithheld(lt.freed)
	}
	return lt.run(l)
}

// deliver reads a letter to one session.
func (l *loop) deliver(lt *letter) {
	c := l.find(lt.to)
	if c == nil {
		return
	}
	defer l.Guard(c.Stream)
	l.answered(c, lt.reply)
}
