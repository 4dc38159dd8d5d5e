package session

import "errors"

// ErrQueueBudget says that bytes which the socket did not take found no
// buffer, because the node's Budget is exhausted.
var ErrQueueBudget = errors.New("session: no buffer for unsent bytes")

// Queue holds what the socket of one session did not take yet, in order. The
// zero Queue is empty and owns nothing, and neither does one that has become
// empty again. It belongs to the goroutine of its Pool, which must be the same
// at every call.
type Queue struct {
	last   *piece // nil if empty; last.next is the first: the list is a ring
	unsent uint32 // bytes; the limits of a queue and of a message keep it under 4 GiB
	pieces uint32
}

// piece is a run of bytes that were queued in the same tick: the content of a
// buffer from the Pool, or of a frame that is shared.
type piece struct {
	next   *piece
	shared *Shared // nil: b is a buffer
	b      []byte
	goesOn bool   // what stands in b before frame belongs to a message
	tail   bool   // b is the rest of the frame that begins in the piece before it
	sent   uint32 // how many bytes of b are written already
	frame  uint32 // where in b the first frame begins, or will begin: at its end
	since  Tick
	ttl    Tick // how long it is worth sending, since then; 0: for ever
}

const (
	// pieceSize is what a piece takes, beside a buffer, of the Budget and of the
	// bound of its Queue.
	pieceSize = 64
	// A shared frame that is shorter is copied: a piece of its own would take
	// about as much memory, and a vector of long buffers writes more at once.
	copyBelow = 128
	// A shorter frame with a head is copied, too: it takes two pieces and the
	// smallest buffer otherwise.
	copyHeadedBelow = 1 << minClass
	// The largest buffer of a Queue is the largest that a Pool keeps, so that
	// a long message is given back bit by bit while it is written.
	maxBuffer = 1 << maxClass
)

// Len returns how many bytes wait.
func (q *Queue) Len() int { return int(q.unsent) }

// Weight returns how many bytes wait, and what is kept beside them to know
// where they are: what the bound of a queue is about.
func (q *Queue) Weight() int { return int(q.unsent) + pieceSize*int(q.pieces) }

// Empty reports whether no byte waits.
func (q *Queue) Empty() bool { return q.last == nil }

// Since returns when the byte that must be written next was queued. The Queue
// must not be empty.
func (q *Queue) Since() Tick { return q.last.next.since }

// Append queues a copy of the frames in p behind the first sent bytes of them,
// which were written; none can be while others wait. If there is no buffer for
// it all, it queues nothing and returns ErrQueueBudget.
func (q *Queue) Append(c *Pool, p []byte, sent int, now Tick) error {
	return q.copy(c, p, sent, now, 0, frontier{})
}

// AppendOther is Append for bytes that are no frames, as an HTTP answer: none of
// them is ever cut, or counted as a message.
func (q *Queue) AppendOther(c *Pool, p []byte, sent int, now Tick) error {
	return q.copy(c, p, sent, now, 0, frontier{at: len(p)})
}

// copy is Append with a time to live, of bytes of which next is the first frame.
func (q *Queue) copy(c *Pool, p []byte, sent int, now, ttl Tick, next frontier) error {
	// Bytes of one tick fill up the last buffer before they take the next,
	// which is larger. Those of different ticks have buffers of their own, so
	// that the age of each is known, and so have those that expire at different
	// ticks. No frame that expires is parted: what follows it stays or goes
	// without it.
	room, size := 0, 0
	if l := q.last; l != nil && l.shared == nil && l.since == now && l.ttl == ttl {
		room, size = min(cap(l.b)-len(l.b), len(p)-sent), 2*cap(l.b)
		if ttl != 0 && room < len(p)-sent {
			room = 0
		}
	}
	var more Queue
	for at := sent + room; at < len(p); {
		b := c.Get(min(max(size, len(p)-at), maxBuffer))
		if b == nil {
			more.Reset(c)
			return ErrQueueBudget
		}
		n := min(cap(b), len(p)-at)
		next.pass(p, at)
		if !more.push(c, piece{
			b:      append(b, p[at:at+n]...),
			frame:  uint32(min(next.at-at, n)),
			goesOn: next.message,
			since:  now,
			ttl:    ttl,
		}) {
			c.Put(b)
			more.Reset(c)
			return ErrQueueBudget
		}
		at += n
	}
	if room > 0 {
		q.last.b = append(q.last.b, p[sent:sent+room]...)
		q.unsent += uint32(room)
	}
	q.Join(more)
	return nil
}

// Cut drops every frame of which no byte was written: behind the rest of the
// one under way, if there is one, another may follow. It returns how many
// messages are lost with that.
func (q *Queue) Cut(c *Pool) (messages int) {
	var kept Queue
	for done := false; q.last != nil; {
		p := q.pop()
		end := p.boundary()
		switch {
		case done || end == int(p.sent):
			if !done {
				done = true
				messages += p.messages(int(p.sent))
			} else {
				messages += p.messages(0)
			}
			p.free(c)
			continue
		case end < len(p.b):
			done = true
			messages += p.messages(end)
			p.b = p.b[:end]
		}
		kept.Join(Queue{last: p, unsent: uint32(len(p.b)) - p.sent, pieces: 1})
	}
	*q = kept
	return messages
}

// messages returns how many begin in p.b, not before the offset from.
func (p *piece) messages(from int) (n int) {
	for at := int(p.frame); at < len(p.b); {
		if at >= from && isMessage(p.b[at]) {
			n++
		}
		size, ok := frameSize(p.b[at:])
		if !ok || size <= 0 {
			break // its header goes on in the next piece, or it is none
		}
		at += size
	}
	return n
}

// unfinished returns how many messages are in p, which is the first, that were
// not written to their ends.
func (p *piece) unfinished() int {
	if p.sent < p.frame && p.goesOn {
		return 1 + p.messages(0)
	}
	return Messages(p.b[p.frame:], int(p.sent)-int(p.frame))
}

// DropBegun drops the rest of a frame that was begun, so that the queue begins with
// a whole one: for a socket that has seen nothing of it. It returns how many
// messages are lost with that.
func (q *Queue) DropBegun(c *Pool) (messages int) {
	before := q.Messages()
	for q.last != nil {
		p := q.last.next
		end := p.boundary()
		last := end < len(p.b)
		q.Advance(c, end-int(p.sent))
		if last {
			break
		}
	}
	return before - q.Messages()
}

// Messages returns how many messages wait, the one that was begun among them. It
// looks at them all.
func (q *Queue) Messages() (n int) {
	if q.last == nil {
		return 0
	}
	n = q.last.next.unfinished()
	for p := q.last.next; p != q.last; p = p.next {
		n += p.next.messages(0)
	}
	return n
}

// boundary returns where in p.b the first frame begins of which nothing was
// written; len(p.b) if none does.
func (p *piece) boundary() int {
	at := int(p.frame)
	for at < int(p.sent) {
		size, ok := frameSize(p.b[at:])
		if !ok {
			return len(p.b) // its header goes on in the next piece
		}
		at += size
	}
	return min(at, len(p.b))
}

// frontier is where in some bytes a frame begins, and whether the one before it
// is a message.
type frontier struct {
	at      int
	message bool
}

// pass moves f to the first frame of p, which ends with one, that does not begin
// before the offset at; to len(p) if none does.
func (f *frontier) pass(p []byte, at int) {
	for f.at < at {
		f.message = isMessage(p[f.at])
		size, ok := frameSize(p[f.at:])
		if !ok || size <= 0 || size > len(p)-f.at {
			f.at = len(p) // no frames: an HTTP answer, which is never cut
			return
		}
		f.at += size
	}
}

// AppendShared queues the frames in s behind the first sent bytes of them, and
// retains s until they are written; a short rest is copied. If there is no
// room for it in the budget, it queues nothing and returns ErrQueueBudget. With
// a ttl, Expire drops what is not begun by then.
func (q *Queue) AppendShared(c *Pool, s *Shared, sent int, now, ttl Tick) error {
	p := s.Bytes()
	if len(p)-sent < copyBelow {
		return q.copy(c, p, sent, now, ttl, frontier{})
	}
	var next frontier
	next.pass(p, sent)
	if !q.push(c, piece{
		shared: s,
		b:      p[sent:],
		frame:  uint32(next.at - sent),
		goesOn: next.message,
		since:  now,
		ttl:    ttl,
	}) {
		return ErrQueueBudget
	}
	s.Retain(1)
	return nil
}

// AppendHeaded queues one frame behind the first sent bytes of it: it begins with
// head, its header at least, which nobody else has and which is copied, and its
// rest is s. Otherwise it is AppendShared.
func (q *Queue) AppendHeaded(c *Pool, head []byte, s *Shared, sent int, now, ttl Tick) error {
	rest := s.Bytes()
	if len(head)+len(rest) < copyHeadedBelow {
		var room [copyHeadedBelow]byte
		return q.copy(c, append(append(room[:0], head...), rest...), sent, now, ttl, frontier{})
	}
	private := head[min(sent, len(head)):]
	rest = rest[max(0, sent-len(head)):]
	var more Queue
	if len(private) > 0 {
		b := c.Get(len(private))
		if b == nil {
			return ErrQueueBudget
		}
		begins := piece{b: append(b, private...), since: now, ttl: ttl}
		if sent > 0 {
			begins.frame, begins.goesOn = uint32(len(private)), isMessage(head[0])
		}
		if !more.push(c, begins) {
			c.Put(b)
			return ErrQueueBudget
		}
	}
	if len(rest) > 0 {
		if !more.push(c, piece{
			shared: s,
			b:      rest,
			frame:  uint32(len(rest)),
			goesOn: isMessage(head[0]),
			tail:   true,
			since:  now,
			ttl:    ttl,
		}) {
			more.Reset(c)
			return ErrQueueBudget
		}
		s.Retain(1)
	}
	q.Join(more)
	return nil
}

// expireAhead is how many pieces Expire looks at: what one write can take.
const expireAhead = 64

// Expire drops frames whose time to live is over and of which no byte was
// written, among those that are to be written next. It returns how many
// messages that were.
func (q *Queue) Expire(c *Pool, now Tick) (messages int) {
	if q.last == nil {
		return 0
	}
	previous := q.last
	parted := false // the rest of a frame that was dropped is still there
	for i, last := 0, q.last; q.last != nil && (i < expireAhead || parted && previous.next.tail); i++ {
		p := previous.next
		end := p == last
		begun := len(p.b) // behind what stays
		switch {
		case p.tail && parted:
			begun = 0
		case p.ttl != 0 && !now.Before(p.since+p.ttl):
			begun = p.boundary()
			messages += p.messages(begun)
		}
		parted = begun < len(p.b)
		q.unsent -= uint32(len(p.b) - begun)
		p.b = p.b[:begun]
		if begun > int(p.sent) {
			previous = p
		} else {
			q.pieces--
			switch {
			case p == previous:
				q.last = nil
			default:
				previous.next = p.next
				if p == q.last {
					q.last = previous
				}
			}
			p.free(c)
		}
		if end {
			break
		}
	}
	return messages
}

// Buffers appends to dst what is to be written next, in order, until the
// capacity of dst is used up. The bytes are valid until the next call of
// another method.
func (q *Queue) Buffers(dst [][]byte) [][]byte {
	if q.last == nil {
		return dst
	}
	for p := q.last.next; len(dst) < cap(dst); p = p.next {
		dst = append(dst, p.b[p.sent:])
		if p == q.last {
			break
		}
	}
	return dst
}

// Advance takes away the first n bytes, which were written, and gives back
// what held them. n must not exceed Len.
func (q *Queue) Advance(c *Pool, n int) {
	q.unsent -= uint32(n)
	for n > 0 {
		first := q.last.next
		left := len(first.b) - int(first.sent)
		if n < left {
			first.sent += uint32(n)
			return
		}
		n -= left
		q.pop().free(c)
	}
}

// Reset empties the Queue. It returns how many messages were in it, the one
// that was begun among them; of bytes that are no frames that means nothing.
func (q *Queue) Reset(c *Pool) (messages int) {
	if q.last != nil {
		p := q.pop()
		messages = p.unfinished()
		p.free(c)
	}
	for q.last != nil {
		p := q.pop()
		messages += p.messages(0)
		p.free(c)
	}
	q.unsent = 0
	return messages
}

// push adds a piece at the end, and reports whether there was room for it in the
// budget.
func (q *Queue) push(c *Pool, what piece) bool {
	if !c.charge(pieceSize) {
		return false
	}
	p := c.pieces.get()
	*p = what
	p.next = p
	q.Join(Queue{last: p, unsent: uint32(len(p.b)), pieces: 1})
	return true
}

// Join adds all of r, which must not be used any more, at the end.
func (q *Queue) Join(r Queue) {
	if r.last == nil {
		return
	}
	if q.last != nil {
		q.last.next, r.last.next = r.last.next, q.last.next
	}
	q.last = r.last
	q.unsent += r.unsent
	q.pieces += r.pieces
}

// pop takes the first piece out. It leaves unsent as it is.
func (q *Queue) pop() *piece {
	first := q.last.next
	q.pieces--
	if first == q.last {
		q.last = nil
	} else {
		q.last.next = first.next
	}
	first.next = first
	return first
}

// free gives back what p holds, and p.
func (p *piece) free(c *Pool) {
	if p.shared != nil {
		p.shared.Release()
	} else {
		c.Put(p.b)
	}
	c.budget.Give(pieceSize)
	c.pieces.put(p)
}

// pieces keeps pieces that are not used, so that a session whose socket is
// often full makes no garbage.
type pieces struct {
	free *piece
	kept int
}

// maxPieces bounds what is kept to 64 KiB.
const maxPieces = 1024

func (l *pieces) get() *piece {
	p := l.free
	if p == nil {
		return new(piece)
	}
	l.free = p.next
	l.kept--
	return p
}

func (l *pieces) put(p *piece) {
	*p = piece{}
	if l.kept == maxPieces {
		return
	}
	p.next, l.free = l.free, p
	l.kept++
}
