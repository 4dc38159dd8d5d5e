package transporttest

import (
	"bytes"
	"hash/crc32"
	"io"
	"testing"
	"unsafe"

	"sluice/gateway/engine/transport"
)

// checked holds each call of a transport, and of whoever uses it, to the contract.
type checked struct {
	transport.Transport
	t       testing.TB
	sealing func() bool // whether it is time to seal; nil: always
	up      bool
	over    bool
	end     error // of Open
	closed  *int  // how many of them were
	gone    bool
}

func (c *checked) Close() {
	c.live("Close")
	c.gone = true
	*c.closed++
	c.Transport.Close()
}

func (c *checked) live(call string) {
	c.t.Helper()
	if c.gone {
		c.t.Errorf("%s after Close", call)
	}
}

func (c *checked) Open(in, out []byte) (transport.Opened, error) {
	c.t.Helper()
	c.live("Open")
	if len(in) == 0 {
		c.t.Error("Open of nothing")
	}
	if c.end != nil {
		c.t.Errorf("Open after it has returned %v", c.end)
	}
	before := bytes.Clone(out)
	o, err := c.Transport.Open(in, out)
	if !bytes.HasPrefix(o.Out, before) {
		c.t.Error("Open has changed what was to be sent before")
	}
	if c.over && len(o.Out) > len(before) {
		c.t.Error("something was provoked after End")
	}
	switch {
	case o.Taken < 0 || o.Taken > len(in):
		c.t.Errorf("Open took %d bytes of %d", o.Taken, len(in))
	case !within(o.Plain, in[:o.Taken]):
		c.t.Error("Open does not open in place")
	case o.Taken == 0 && err == nil && len(in) >= transport.MaxSealed:
		c.t.Errorf("Open asks for more than %d bytes", len(in))
	case len(o.Plain) > 0 && !o.Up:
		c.t.Error("something was opened before the transport is up")
	case c.up && !o.Up:
		c.t.Error("the transport was up before")
	case c.up && err == transport.ErrWorking:
		c.t.Error("it works beside the loop, and is up")
	}
	c.up = o.Up
	if err != nil && err != transport.ErrWorking {
		c.end = err
	}
	return o, err
}

func (c *checked) Seal(out []byte, pieces [][]byte) ([]byte, int) {
	c.t.Helper()
	c.live("Seal")
	if !c.up || c.over {
		c.t.Errorf("Seal while up is %t, and over %t", c.up, c.over)
	}
	if c.sealing != nil && !c.sealing() {
		c.t.Error("Seal while sealed bytes wait")
	}
	before, were, size := bytes.Clone(out), digest(pieces), length(pieces)
	record, n := c.Transport.Seal(out, pieces)
	if !bytes.HasPrefix(record, before) {
		c.t.Error("Seal has changed what stands before its record")
	}
	if digest(pieces) != were {
		c.t.Error("Seal has changed the bytes of the stream")
	}
	if n <= 0 || n > min(size, transport.MaxRecord) {
		c.t.Errorf("Seal took %d bytes of %d", n, size)
	}
	if more := len(record) - len(before) - n; more > transport.MaxOverhead {
		c.t.Errorf("Seal added %d bytes", more)
	}
	return record, n
}

func (c *checked) End(out []byte) []byte {
	c.t.Helper()
	c.live("End")
	if c.over {
		c.t.Error("a second End")
	}
	c.over = true
	ended := c.Transport.End(out)
	if !bytes.HasPrefix(ended, out) {
		c.t.Error("End has changed what stands before its farewell")
	}
	return ended
}

// within reports whether p is a part of whole.
func within(p, whole []byte) bool {
	if len(p) == 0 {
		return true
	}
	first, begin := uintptr(unsafe.Pointer(&p[0])), uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	return first >= begin && first+uintptr(len(p)) <= begin+uintptr(len(whole))
}

func length(pieces [][]byte) (n int) {
	for _, p := range pieces {
		n += len(p)
	}
	return n
}

func digest(pieces [][]byte) uint32 {
	h := crc32.NewIEEE()
	for _, p := range pieces {
		h.Write(p)
		io.WriteString(h, "|")
	}
	return h.Sum32()
}
