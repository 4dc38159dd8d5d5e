package gateway

import (
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"sluice/gateway/upstream"
	"sluice/session"
)

// letter is a piece of work that another goroutine hands to a loop: a reply to
// one session, or one of what follows. All but a reply may take a while: it is
// read again later then, with everything behind it waiting.
type letter struct {
	to     session.Ref
	reply  upstream.Reply
	errand *errand          // an order to carry out
	freed  *mailbox         // which has room again, for replies that wait for some
	run    func(*loop) bool // anything else; it returns false to be called again
}

// isReply reports whether it is nothing else.
func (lt *letter) isReply() bool { return lt.errand == nil && lt.freed == nil && lt.run == nil }

// mailbox is how a loop is reached from outside. Its lock is held for an
// append or a swap, never while a letter is read.
type mailbox struct {
	mu     sync.Mutex
	in     []letter
	closed bool
	bytes  atomic.Int64 // of pushes in it and in out; read without the lock

	waiters []*loop     // that hold clients until there is room
	wanted  atomic.Bool // there are some; read without the lock

	out  []letter // the loop's own: what it is working off
	next int
}

// letterSize is what a push takes of that beside its payload.
const letterSize = int(unsafe.Sizeof(letter{}))

// room is whether a mailbox has some.
type room uint8

const (
	taken room = iota
	full       // for now
	ended      // the loop has stopped
)

// take takes size of the bytes that a mailbox may hold, for a letter that is to
// come. Who does not post it after all says that it is delivered.
func (m *mailbox) take(size int, most int64) room {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return ended
	case size > 0 && m.bytes.Load()+int64(size) > most:
		return full
	}
	m.bytes.Add(int64(size))
	return taken
}

// post hands lt to the loop. It never blocks. It is false when the loop has
// stopped.
func (l *loop) post(lt letter) bool {
	m := &l.mail
	m.mu.Lock()
	defer m.mu.Unlock() // after Wake: once the mailbox is closed, nobody touches the waker
	if m.closed {
		return false
	}
	m.in = append(m.in, lt)
	l.Wake()
	return true
}

// Reply implements [upstream.Sink].
func (l *loop) Reply(to session.Ref, r upstream.Reply) {
	l.post(letter{to: to, reply: r})
}

// swap takes what has come in since. It is false if there is nothing.
func (m *mailbox) swap() bool {
	clear(m.out)
	m.out, m.next = m.out[:0], 0
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.in) == 0 {
		if cap(m.out) > 4096 {
			m.out = nil // a burst is over
		}
		return false
	}
	m.in, m.out = m.out, m.in
	return true
}

// delivered says that a push of that size has left the mailbox. It wakes who
// waits for room.
func (m *mailbox) delivered(size int) {
	m.bytes.Add(-int64(size))
	if !m.wanted.Load() {
		return
	}
	m.mu.Lock()
	waiters := m.waiters
	m.waiters = nil
	m.wanted.Store(false)
	m.mu.Unlock()
	for _, l := range waiters {
		l.post(letter{freed: m})
	}
}

// await has waiter told once when something has left the mailbox. It reports
// whether there is room for size bytes already: what has left before may have
// told nobody.
func (m *mailbox) await(waiter *loop, size int, most int64) (now bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false // the node ends, and the waiter with it
	}
	if !slices.Contains(m.waiters, waiter) {
		m.waiters = append(m.waiters, waiter)
	}
	m.wanted.Store(true)
	return m.bytes.Load()+int64(size) <= most
}

// close refuses further letters.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
}

// inSlices has f called on the loop until it returns true. Each time is a
// letter of its own: sockets, ticks and other mail have their turn in between.
func (l *loop) inSlices(f func(*loop) bool) bool {
	return l.post(letter{run: func(l *loop) bool {
		if !f(l) {
			l.inSlices(f)
		}
		return true
	}})
}
