package trace

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
)

// Context names a span to its children, also to those in other processes (W3C
// Trace Context). The zero Context names none.
type Context struct {
	Trace   [16]byte
	Span    [8]byte
	Sampled bool
	State   string // of others, passed on as it came (section 3.3)
}

// Valid reports whether c names a span.
func (c *Context) Valid() bool { return c.Trace != [16]byte{} && c.Span != [8]byte{} }

// TraceID is the trace that tells of the span, or zero if none does: it is not
// sampled.
func (c *Context) TraceID() [16]byte {
	if !c.Sampled {
		return [16]byte{}
	}
	return c.Trace
}

// mostState is how much of others' state is passed on, in bytes (section 3.3.1.5
// wants 512).
const mostState = 512

// Parse reads the values of the headers traceparent and tracestate. If the
// former is none, the Context is zero; a bad state is left out.
func Parse(parent, state []byte) (c Context) {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(parent) < length || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return Context{}
	}
	var version, flags [1]byte
	for _, field := range [...]struct{ to, from []byte }{
		{version[:], parent[:2]}, {c.Trace[:], parent[3:35]}, {c.Span[:], parent[36:52]}, {flags[:], parent[53:55]},
	} {
		if !decode(field.to, field.from) {
			return Context{}
		}
	}
	// Later versions may have more fields behind.
	known := version[0] == 0 && len(parent) == length
	later := version[0] != 0 && version[0] != 0xff && (len(parent) == length || parent[length] == '-')
	if !c.Valid() || !known && !later {
		return Context{}
	}
	c.Sampled = flags[0]&1 != 0
	if len(state) > 0 && len(state) <= mostState {
		if s, err := trace.ParseTraceState(string(state)); err == nil {
			c.State = s.String()
		}
	}
	return c
}

// decode reads lower-case hexadecimal digits.
func decode(to, from []byte) bool {
	for _, digit := range from {
		if 'A' <= digit && digit <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(to, from)
	return err == nil
}

// AppendHeaders appends the header lines that name c, if it names a span.
func (c *Context) AppendHeaders(p []byte) []byte {
	if !c.Valid() {
		return p
	}
	p = append(p, "traceparent: 00-"...)
	p = hex.AppendEncode(p, c.Trace[:])
	p = append(p, '-')
	p = hex.AppendEncode(p, c.Span[:])
	if c.Sampled {
		p = append(p, "-01\r\n"...)
	} else {
		p = append(p, "-00\r\n"...)
	}
	if c.State != "" {
		p = append(p, "tracestate: "...)
		p = append(p, c.State...)
		p = append(p, "\r\n"...)
	}
	return p
}

// newTraceID returns random bits, which are no secret.
func newTraceID() (id [16]byte) {
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64()|1) // not zero
	return id
}

func newSpanID() (id [8]byte) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}
