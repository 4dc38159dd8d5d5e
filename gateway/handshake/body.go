package handshake

// Body follows the body of one request through the octets received, so that
// its end is known to whoever hands the connection to another reader. The zero
// Body is that of a request without one.
type Body struct {
	left    int64 // octets until the end, or of the chunk at hand
	state   chunkState
	digits  int // of a chunk's size so far
	trimmed int // octets of extensions and trailers so far, which mean nothing here
}

// maxTrimmed bounds the extensions and trailers of one body, in octets.
const maxTrimmed = 2 << 10

// chunkState is what the next octet of a chunked body belongs to (RFC 9112
// §7.1).
type chunkState uint8

const (
	notChunked chunkState = iota
	chunkSize
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart
	trailerName
	trailerValue
	trailerLF
	chunkedLF // of the empty line that ends the body
	chunkedEnd
)

// Body returns the body of a parsed request, at its beginning.
func (h *Head) Body() Body {
	if h.seen&transferEncodingField != 0 {
		return Body{state: chunkSize}
	}
	return Body{left: h.length}
}

// Next follows the body through p. The first n octets belong to it; whether
// they end it says done, and n is less than the length of p only then. The
// error is [ErrChunk]; the octets before n are good.
func (b *Body) Next(p []byte) (n int, done bool, err error) {
	if b.state == notChunked {
		n = int(min(b.left, int64(len(p))))
		b.left -= int64(n)
		return n, b.left == 0, nil
	}
	for n < len(p) && b.state != chunkedEnd {
		if b.state == chunkData {
			k := int(min(b.left, int64(len(p)-n)))
			n += k
			if b.left -= int64(k); b.left == 0 {
				b.state = chunkDataCR
			}
			continue
		}
		if !b.octet(p[n]) {
			return n, false, ErrChunk
		}
		n++
	}
	return n, b.state == chunkedEnd, nil
}

// octet takes an octet that is not data, and reports whether it may be there.
func (b *Body) octet(c byte) bool {
	switch b.state {
	case chunkSize:
		return b.sizeOctet(c)
	case chunkExtension, trailerValue:
		if c == '\r' {
			b.state++ // to the LF of either
			return true
		}
		return (c >= ' ' && c != 0x7f || c == '\t') && b.trim()
	case chunkSizeLF:
		b.state = chunkData
		if b.left == 0 {
			b.state = trailerStart
		}
		return c == '\n'
	case chunkDataCR:
		b.state = chunkDataLF
		return c == '\r'
	case chunkDataLF:
		b.state, b.digits = chunkSize, 0
		return c == '\n'
	case trailerStart:
		if c == '\r' {
			b.state = chunkedLF
			return true
		}
		b.state = trailerName
		return octets[c]&tokenOctet != 0 && b.trim()
	case trailerName:
		if c == ':' {
			b.state = trailerValue
			return true
		}
		return octets[c]&tokenOctet != 0 && b.trim()
	case trailerLF:
		b.state = trailerStart
		return c == '\n'
	}
	b.state = chunkedEnd // from chunkedLF
	return c == '\n'
}

// sizeOctet takes an octet of the size of a chunk, or the one behind it. A size
// of 16 digits would not fit; blanks behind it some readers cut off, and others
// do not.
func (b *Body) sizeOctet(c byte) bool {
	switch {
	case isHex(c):
		if b.digits++; b.digits > 15 {
			return false
		}
		b.left = b.left<<4 | int64(unhex(c))
		return true
	case b.digits == 0:
		return false
	case c == ';':
		b.state = chunkExtension
		return b.trim()
	}
	b.state = chunkSizeLF
	return c == '\r'
}

// trim counts an octet that means nothing here.
func (b *Body) trim() bool {
	b.trimmed++
	return b.trimmed <= maxTrimmed
}

// unhex is the value of a hexadecimal digit.
func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
