package session

// Codes are looked up by their first bits; most are not longer than that.
const (
	literalIndex  = 9
	distanceIndex = 7
	lengthIndex   = 7
)

// block inflates a block up to its end.
func (f *Inflater) block(literals, distances *codes) error {
	for {
		if f.n < 48 { // what a match takes at most
			f.refill()
		}
		e := literals.find(f.bits)
		if e == 0 || e.size() > f.n {
			return ErrInflate
		}
		f.bits >>= e.size()
		f.n -= e.size()
		switch e.kind() {
		case codeLiteral:
			if f.at == len(f.out) {
				if err := f.grow(1); err != nil {
					return err
				}
			}
			f.out[f.at] = byte(e.value())
			f.at++
		case codeMatch:
			if err := f.match(e, distances); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// match repeats what was inflated before: as many bytes as e says, from as far
// back as the stream goes on to say.
func (f *Inflater) match(e code, distances *codes) error {
	d := distances.find(f.bits >> e.extra())
	taken := e.extra() + d.size() + d.extra()
	if d == 0 || taken > f.n {
		return ErrInflate
	}
	length := e.value() + int(f.bits&(1<<e.extra()-1))
	distance := d.value() + int(f.bits>>(e.extra()+d.size())&(1<<d.extra()-1))
	f.bits >>= taken
	f.n -= taken
	if distance > f.at {
		return ErrInflate
	}
	if err := f.grow(length); err != nil {
		return err
	}
	from, end := f.at-distance, f.at+length
	for f.at < end { // what has just been repeated is repeated again
		f.at += copy(f.out[f.at:end], f.out[from:f.at])
	}
	return nil
}

// readCodes reads the codes of a block that brings its own (RFC 1951 §3.2.7).
func (f *Inflater) readCodes() bool {
	counts, ok := f.take(14)
	literals, distances := int(counts&31)+257, int(counts>>5&31)+1
	if !ok || literals > maxLiterals || distances > maxDistances {
		return false
	}
	var lengths [lengthCodes]uint8
	for _, symbol := range lengthOrder[:counts>>10+4] {
		n, ok := f.take(3)
		if !ok {
			return false
		}
		lengths[symbol] = uint8(n)
	}
	return f.literals.build(lengthIndex, lengths[:], lengthMeanings[:]) &&
		f.readLengths(f.lengths[:literals+distances]) &&
		f.literals.build(literalIndex, f.lengths[:literals], literalMeanings[:]) &&
		f.distances.build(distanceIndex, f.lengths[literals:literals+distances], distanceMeanings[:])
}

// readLengths reads the lengths of codes, in the code that is in literals for
// that while.
func (f *Inflater) readLengths(lengths []uint8) bool {
	for at := 0; at < len(lengths); {
		if f.n < maxCode {
			f.refill()
		}
		e := f.literals.find(f.bits)
		if e == 0 || e.size()+e.extra() > f.n {
			return false
		}
		more := int(f.bits >> e.size() & (1<<e.extra() - 1))
		f.bits >>= e.size() + e.extra()
		f.n -= e.size() + e.extra()

		value, times := uint8(e.value()), 1
		switch value {
		case 16:
			if at == 0 {
				return false
			}
			value, times = lengths[at-1], 3+more
		case 17:
			value, times = 0, 3+more
		case 18:
			value, times = 0, 11+more
		}
		if times > len(lengths)-at {
			return false
		}
		for range times {
			lengths[at] = value
			at++
		}
	}
	return true
}

// fix makes the fixed codes (RFC 1951 §3.2.6), if there are none yet.
func (f *Inflater) fix() {
	if f.fixed[0].table != nil {
		return
	}
	var lengths [maxLiterals + 2]uint8
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
	f.fixed[0].build(literalIndex, lengths[:], literalMeanings[:])
	for i := range maxDistances + 2 {
		lengths[i] = 5
	}
	f.fixed[1].build(distanceIndex, lengths[:maxDistances+2], distanceMeanings[:])
}
