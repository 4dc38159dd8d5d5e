package session

import (
	"math/bits"
	"slices"
)

// A code is one symbol as a [codes] table knows it: how many bits it takes,
// what it means, and what follows it. 0 is no symbol.
//
//	bits 0 to 3    length of the code
//	bits 4 to 7    extra bits after the code; of a link, those that index the other part
//	bits 8 to 10   kind
//	bits 16 to 31  the literal, the base of a length or a distance, or where the other part begins
type code uint32

const (
	codeLiteral code = 1 << 8
	codeMatch   code = 2 << 8 // a length or a distance
	codeEnd     code = 3 << 8 // of the block
	codeLink    code = 4 << 8 // longer than the index of the table
	codeKind    code = 7 << 8
)

func (c code) kind() code  { return c & codeKind }
func (c code) size() uint  { return uint(c & 15) }
func (c code) extra() uint { return uint(c >> 4 & 15) }
func (c code) value() int  { return int(c >> 16) }

const (
	maxCode      = 15 // bits of a code
	endOfBlock   = 256
	maxLiterals  = 286 // and lengths
	maxDistances = 30
	maxMatch     = 258
	lengthCodes  = 19
)

// codes is a Huffman code for decoding: a table indexed by the next bits of the
// stream. A code that is longer than the index has a link to another part.
type codes struct {
	table []code
	index uint // bits
}

// find returns the code that a stream goes on with.
func (c *codes) find(stream uint64) code {
	e := c.table[stream&(1<<c.index-1)]
	if e.kind() == codeLink {
		e = c.table[e.value()+int(stream>>c.index&(1<<e.extra()-1))]
	}
	return e
}

// build makes c the canonical code (RFC 1951 §3.2.2) with codes of these
// lengths, 0 for none, for symbols of these meanings. It is false if there is
// no such code: it must be complete, unless it is one bit for one symbol, or
// nothing at all.
func (c *codes) build(index uint, lengths []uint8, meanings []code) bool {
	var count, first [maxCode + 2]int
	for _, n := range lengths {
		count[n]++
	}
	unused := len(lengths) - count[0]
	longest, free := uint(0), 1
	count[0] = 0
	for n := 1; n <= maxCode; n++ {
		first[n+1] = first[n] + count[n]
		if free = free<<1 - count[n]; free < 0 {
			return false
		}
		if count[n] > 0 {
			longest = uint(n)
		}
	}
	if free > 0 && unused > 0 && (longest > 1 || unused > 1) {
		return false
	}
	var symbols [maxLiterals + 2]uint16 // in the order of their codes
	for symbol, n := range lengths {
		if n > 0 {
			symbols[first[n]] = uint16(symbol)
			first[n]++
		}
	}
	c.index = index
	c.table = c.table[:0]
	c.extend(1 << index)
	next, size := uint16(0), uint(0)
	for _, symbol := range symbols[:unused] {
		n := uint(lengths[symbol])
		next <<= n - size
		size = n
		c.enter(uint(bits.Reverse16(next)>>(16-n)), n, meanings[symbol], &count)
		count[n]--
		next++
	}
	return true
}

// enter gives a code of n bits, the first of them lowest, its meaning. left is
// how many codes of each length have not been entered.
func (c *codes) enter(bits, n uint, meaning code, left *[maxCode + 2]int) {
	if meaning != 0 {
		meaning |= code(n)
	}
	if n <= c.index {
		fill(c.table[:1<<c.index], bits, n, meaning)
		return
	}
	prefix := bits & (1<<c.index - 1)
	if c.table[prefix] == 0 {
		// The codes that begin so come next, shorter ones first. The part
		// has room for the longest of them.
		extra := n - c.index
		for room := 1 << extra; c.index+extra < maxCode; extra++ {
			if room -= left[c.index+extra]; room <= 0 {
				break
			}
			room <<= 1
		}
		c.table[prefix] = code(len(c.table))<<16 | codeLink | code(extra)<<4
		c.extend(1 << extra)
	}
	link := c.table[prefix]
	fill(c.table[link.value():link.value()+1<<link.extra()], bits>>c.index, n-c.index, meaning)
}

// extend adds n entries to the table.
func (c *codes) extend(n int) {
	end := len(c.table)
	c.table = slices.Grow(c.table, n)[:end+n]
	clear(c.table[end:])
}

// fill sets what has these n low bits as its index.
func fill(part []code, bits, n uint, c code) {
	for i := bits; i < uint(len(part)); i += 1 << n {
		part[i] = c
	}
}

// What the symbols of DEFLATE mean (RFC 1951 §3.2.5 and §3.2.7). The last two
// of either sort have codes among the fixed ones and must not occur.
var (
	literalMeanings  = meaningsOfLiterals()
	distanceMeanings = meaningsOfDistances()
	lengthMeanings   = meaningsOfLengths()
)

func meaningsOfLiterals() (m [maxLiterals + 2]code) {
	for i := range endOfBlock {
		m[i] = codeLiteral | code(i)<<16
	}
	m[endOfBlock] = codeEnd
	base := 3
	for i := endOfBlock + 1; i < maxLiterals-1; i++ {
		extra := max(0, (i-261)/4)
		m[i] = codeMatch | code(base)<<16 | code(extra)<<4
		base += 1 << extra
	}
	m[maxLiterals-1] = codeMatch | maxMatch<<16
	return m
}

func meaningsOfDistances() (m [maxDistances + 2]code) {
	base := 1
	for i := range maxDistances {
		extra := max(0, i/2-1)
		m[i] = codeMatch | code(base)<<16 | code(extra)<<4
		base += 1 << extra
	}
	return m
}

// meaningsOfLengths is what the code means that lengths of codes are sent in:
// a length, or how often to repeat one.
func meaningsOfLengths() (m [lengthCodes]code) {
	for i := range m {
		m[i] = codeLiteral | code(i)<<16
	}
	m[16] |= 2 << 4
	m[17] |= 3 << 4
	m[18] |= 7 << 4
	return m
}

// lengthOrder is the order in which the lengths of that code are sent.
var lengthOrder = [lengthCodes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
