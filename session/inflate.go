package session

import "encoding/binary"

const (
	// flushTail ends a flushed DEFLATE stream. It is not sent (RFC 7692
	// §7.2.1).
	flushTail = "\x00\x00\xff\xff"

	// A block with codes of its own costs a microsecond, however little is in
	// it. A message may have freeBlocks of them, and one more for each
	// blockOutput bytes that it inflates to. No encoder gains by more, even one
	// that flushes after each record: describing the codes takes more than they
	// save on so few bytes.
	freeBlocks  = 128
	blockOutput = 64
)

// Inflater decompresses messages (RFC 7692 §7.2.2), none of which depends on
// another. It belongs to one loop.
//
// Package flate inflates streams through a window of its own, and does not
// tell what a byte cost. Here all of the message is in memory, so that what is
// inflated is the window, and the work is bounded by what comes of it.
type Inflater struct {
	src  []byte
	pos  int    // in src: what is not in bits yet
	bits uint64 // the next of the stream, the first lowest
	n    uint   // how many of them are there

	pool  *Pool
	buf   []byte // lent by pool
	out   []byte // buf up to its capacity or the limit
	at    int    // how much of out is inflated
	limit int

	blocks              int // with codes of their own, of this message
	lengths             [maxLiterals + maxDistances]uint8
	literals, distances codes
	fixed               [2]codes // the same for literals and distances, for all messages
}

// NewInflater returns an Inflater. Its tables are made for the first message.
func NewInflater() *Inflater { return new(Inflater) }

// Inflate returns the message that is compressed in src in a buffer of p,
// which is the caller's to Put. The error is ErrInflate if src is not valid,
// ErrMessageTooBig if the message is longer than limit, ErrBlocks if it takes
// more work than its length is worth, or ErrBudget.
//
// The buffer grows with what is inflated, up to limit.
func (f *Inflater) Inflate(p *Pool, src []byte, limit int) ([]byte, error) {
	buf := p.Get(min(2*len(src), limit))
	if buf == nil {
		return nil, ErrBudget
	}
	f.src, f.pos, f.bits, f.n = src, 0, 0, 0
	f.pool, f.at, f.limit, f.blocks = p, 0, limit, 0
	f.use(buf)
	err := f.message()
	buf = f.buf
	f.src, f.pool, f.buf, f.out = nil, nil, nil, nil
	if err != nil {
		p.Put(buf)
		return nil, err
	}
	return buf[:f.at], nil
}

// message reads blocks up to the end of the message: where an empty stored
// block has the lengths that were not sent, or after a last block.
func (f *Inflater) message() error {
	for {
		header, ok := f.take(3)
		if !ok {
			return ErrInflate
		}
		var err error
		switch header >> 1 {
		case 0:
			if f.align(); f.pos == len(f.src) {
				return nil
			}
			err = f.stored()
		case 1:
			f.fix()
			err = f.block(&f.fixed[0], &f.fixed[1])
		case 2:
			if f.blocks++; f.blocks > freeBlocks+f.at/blockOutput {
				return ErrBlocks
			}
			if !f.readCodes() {
				return ErrInflate
			}
			err = f.block(&f.literals, &f.distances)
		default:
			err = ErrInflate
		}
		if err != nil {
			return err
		}
		if last := header&1 == 1; last {
			// It ends at a byte. Another block may follow (RFC 7692 §7.2.1).
			if f.align(); f.pos == len(f.src) {
				return nil
			}
		}
	}
}

// refill makes n at least 56, unless src ends before.
func (f *Inflater) refill() {
	if f.pos+8 <= len(f.src) {
		// The bits of a byte that is not whole in there come again: the same.
		f.bits |= binary.LittleEndian.Uint64(f.src[f.pos:]) << f.n
		whole := (63 - f.n) / 8
		f.pos += int(whole)
		f.n += 8 * whole
		return
	}
	for f.n <= 56 && f.pos < len(f.src) {
		f.bits |= uint64(f.src[f.pos]) << f.n
		f.pos++
		f.n += 8
	}
}

// take returns the next bits, at most 16. It is false if the stream ends
// before.
func (f *Inflater) take(count uint) (v uint, ok bool) {
	if f.n < count {
		if f.refill(); f.n < count {
			return 0, false
		}
	}
	v = uint(f.bits & (1<<count - 1))
	f.bits >>= count
	f.n -= count
	return v, true
}

// align goes on at the next whole byte, and unreads those in bits.
func (f *Inflater) align() {
	f.pos -= int(f.n / 8)
	f.bits, f.n = 0, 0
}

// stored copies a block that is not compressed.
func (f *Inflater) stored() error {
	rest := f.src[f.pos:]
	if len(rest) < 4 {
		return ErrInflate
	}
	n := int(binary.LittleEndian.Uint16(rest))
	if rest = rest[4:]; binary.LittleEndian.Uint16(f.src[f.pos+2:]) != ^uint16(n) || n > len(rest) {
		return ErrInflate
	}
	if err := f.grow(n); err != nil {
		return err
	}
	f.at += copy(f.out[f.at:], rest[:n])
	f.pos += 4 + n
	return nil
}

// grow makes room for n more bytes. There may be twice as many at once as
// there were: memory follows what has been inflated.
func (f *Inflater) grow(n int) error {
	need := f.at + n
	if need <= len(f.out) {
		return nil
	}
	if need > f.limit {
		return ErrMessageTooBig
	}
	buf := f.pool.Grow(f.buf[:f.at], max(need, min(2*cap(f.buf), f.limit)))
	if buf == nil {
		return ErrBudget
	}
	f.use(buf)
	return nil
}

// use makes buf what is inflated into.
func (f *Inflater) use(buf []byte) {
	f.buf = buf
	f.out = buf[:min(cap(buf), f.limit)]
}
