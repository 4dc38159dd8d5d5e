package session

import "github.com/gobwas/ws"

// Outline walks through the frames of a stream and leaves the bytes as they
// are: it tells what is there before anybody takes it. It checks headers and
// Close frames, and neither the data nor any limit.
type Outline struct {
	Messages int           // that have come to their end
	Closed   bool          // a Close frame came, behind which nothing means anything
	Code     ws.StatusCode // its code, 1005 if it had none
	Err      error         // an [*Error], behind which nothing means anything either

	reader Reader
	at     partial
}

// Outline returns one that goes on where r stands.
func (r *Reader) Outline() *Outline {
	o := &Outline{reader: *r}
	if r.Partial() {
		o.at = *r.partial
		o.at.buf = nil // not ours
	}
	o.reader.partial = &o.at
	return o
}

// Ended reports whether nothing that follows means anything.
func (o *Outline) Ended() bool { return o.Closed || o.Err != nil }

// Read takes the next bytes of the stream.
func (o *Outline) Read(p []byte) {
	for len(p) > 0 && !o.Ended() {
		if o.at.left == 0 {
			p = p[o.header(p):]
			if o.Err != nil || o.at.headLen > 0 {
				return
			}
		}
		chunk := p[:min(len(p), o.at.left)]
		p = p[len(chunk):]
		if f := &o.at.frame; f.op.IsControl() {
			done := f.length - o.at.left
			n := copy(o.at.control[done:], chunk)
			f.unmask(o.at.control[done:done+n], done)
		}
		if o.at.left -= len(chunk); o.at.left == 0 {
			o.end()
		}
	}
}

// header reads a frame's header, or the part of it that is there, and returns
// how much of p that is.
func (o *Outline) header(p []byte) (taken int) {
	kept := int(o.at.headLen)
	n := copy(o.at.head[kept:], p)
	h, size, err := o.reader.parseHeader(o.at.head[:kept+n])
	switch {
	case err != nil:
		o.Err = err
		return n
	case size == 0:
		o.at.headLen = uint8(kept + n)
		return n
	}
	o.at.headLen, o.at.frame, o.at.left = 0, h, h.length
	if !h.op.IsControl() {
		o.at.open = true
	}
	return size - kept
}

// end is the end of a frame.
func (o *Outline) end() {
	f := &o.at.frame
	switch {
	case f.op == ws.OpClose:
		if o.Code, _, o.Err = ParseClose(o.at.control[:f.length]); o.Err == nil {
			o.Closed = true
		}
	case !f.op.IsControl() && f.fin:
		o.at.open = false
		o.Messages++
	}
}
