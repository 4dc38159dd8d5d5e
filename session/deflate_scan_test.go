package session

import "errors"

// scanner decodes DEFLATE (RFC 1951) bit by bit. It exists to see how far a
// stream refers back, which no decoder tells.
type scanner struct {
	src      []byte
	pos      uint // in bits
	out      []byte
	farthest int
}

var errScan = errors.New("not DEFLATE")

// scan decodes src up to its last block.
func scan(src []byte) (s scanner, err error) {
	defer func() {
		if recover() != nil { // an index behind the end of something
			err = errScan
		}
	}()
	s.src = src
	for last := false; !last; {
		last = s.bits(1) == 1
		switch s.bits(2) {
		case 0:
			s.pos = (s.pos + 7) &^ 7
			n := int(s.bits(16))
			if s.bits(16)^0xffff != uint(n) {
				return s, errScan
			}
			for range n {
				s.out = append(s.out, byte(s.bits(8)))
			}
		case 1:
			lengths := make([]int, 288)
			for i := range lengths {
				switch {
				case i < 144, i >= 280:
					lengths[i] = 8
				case i < 256:
					lengths[i] = 9
				default:
					lengths[i] = 7
				}
			}
			distances := make([]int, 30)
			for i := range distances {
				distances[i] = 5
			}
			err = s.block(newHuffman(lengths), newHuffman(distances))
		case 2:
			err = s.block(s.tables())
		default:
			err = errScan
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// bits takes the next n bits, the least significant first.
func (s *scanner) bits(n uint) (v uint) {
	for i := range n {
		v |= uint(s.src[s.pos/8]>>(s.pos%8)&1) << i
		s.pos++
	}
	return v
}

// tables reads the codes of a block with codes of its own.
func (s *scanner) tables() (literals, distances huffman) {
	nliterals, ndistances, nlengths := int(s.bits(5))+257, int(s.bits(5))+1, int(s.bits(4))+4
	lengths := make([]int, 19)
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:nlengths] {
		lengths[i] = int(s.bits(3))
	}
	code := newHuffman(lengths)
	var all []int
	repeat := func(v, n int) {
		for range n {
			all = append(all, v)
		}
	}
	for len(all) < nliterals+ndistances {
		switch symbol := s.symbol(code); symbol {
		case 16:
			repeat(all[len(all)-1], 3+int(s.bits(2)))
		case 17:
			repeat(0, 3+int(s.bits(3)))
		case 18:
			repeat(0, 11+int(s.bits(7)))
		default:
			all = append(all, symbol)
		}
	}
	return newHuffman(all[:nliterals]), newHuffman(all[nliterals:])
}

// block decodes up to the end of the block.
func (s *scanner) block(literals, distances huffman) error {
	for {
		symbol := s.symbol(literals)
		if symbol < 256 {
			s.out = append(s.out, byte(symbol))
			continue
		}
		if symbol == 256 {
			return nil
		}
		base, extra := lengthBase[symbol-257], uint(0)
		if symbol >= 265 && symbol < 285 {
			extra = uint(symbol-261) / 4
		}
		length := base + int(s.bits(extra))

		symbol = s.symbol(distances)
		distance := symbol + 1
		if symbol >= 4 {
			extra = uint(symbol-2) / 2
			distance = 1 + (2+symbol%2)<<extra + int(s.bits(extra))
		}
		if distance > len(s.out) {
			return errScan
		}
		s.farthest = max(s.farthest, distance)
		for range length {
			s.out = append(s.out, s.out[len(s.out)-distance])
		}
	}
}

var lengthBase = [...]int{
	3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31,
	35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
}

// huffman maps the length and value of a code to its symbol.
type huffman map[[2]int]int

// newHuffman makes the canonical code of RFC 1951 §3.2.2.
func newHuffman(lengths []int) huffman {
	code := huffman{}
	next := 0
	for n := 1; n <= 15; n++ {
		for symbol, length := range lengths {
			if length == n {
				code[[2]int{n, next}] = symbol
				next++
			}
		}
		next *= 2
	}
	return code
}

func (s *scanner) symbol(code huffman) int {
	value := 0
	for n := 1; ; n++ {
		value = value<<1 | int(s.bits(1))
		if symbol, ok := code[[2]int{n, value}]; ok {
			return symbol
		}
	}
}
