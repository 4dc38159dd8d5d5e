package webhook

import (
	"strconv"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/upstream"
	"sluice/session"
)

// head writes the heads of a hub's requests. It does so on bytes, because the
// names of the headers are to be what the contract says, letter by letter.
type head struct {
	hub     string
	target  target
	common  string // header lines that every request has
	id      func(session.Ref) string
	signers *signers
	repeats bool // events may be repeated that were executed
	now     func() time.Time
}

// timeFormat is RFC 3339 in UTC, with microseconds.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// event makes r the request that delivers c.
func (h *head) event(r *request, c *upstream.Call) (err error) {
	if r.body, err = bodyOf(c); err != nil {
		return err
	}
	name, kind := nameOf(c)
	connection := h.id(c.From)

	p := append(r.head[:0], "POST "...)
	p = h.target.append(p, name)
	p = append(p, " HTTP/1.1\r\n"...)
	p = append(p, h.common...)
	p = appendField(p, "Content-Type: ", contentType(c))
	p = append(p, "Content-Length: "...)
	p = strconv.AppendInt(p, int64(len(r.body)), 10)
	p = append(p, "\r\nce-specversion: 1.0\r\nce-type: azure.webpubsub."...)
	p = append(p, kind...)
	p = append(p, name...)
	p = append(p, "\r\nce-source: /hubs/"...)
	p = append(p, h.hub...)
	p = append(p, "/client/"...)
	p = append(p, connection...)
	p = append(p, "\r\nce-id: "...)
	p = appendEncoded(p, c.ID)
	p = append(p, "\r\nce-time: "...)
	p = c.At.UTC().AppendFormat(p, timeFormat)
	p = append(p, "\r\n"...)
	p = appendField(p, "ce-hub: ", h.hub)
	p = appendField(p, "ce-connectionId: ", connection)
	p = appendField(p, "ce-eventName: ", name)
	if c.User != "" {
		p = append(p, "ce-userId: "...)
		p = appendEncoded(p, c.User)
		p = append(p, "\r\n"...)
	}
	if c.Subprotocol != "" {
		p = append(p, "ce-subprotocol: "...)
		p = appendEncoded(p, c.Subprotocol)
		p = append(p, "\r\n"...)
	}
	if c.State != "" && validState(c.State) {
		p = appendField(p, "ce-connectionState: ", c.State)
	}
	if h.repeats {
		p = append(p, "Idempotency-Key: "...)
		p = appendEncoded(p, c.ID)
		p = append(p, "\r\n"...)
	}
	p = c.Trace.AppendHeaders(p)
	p = h.signers.append(p, connection, c.ID, h.now().Unix(), r.body)
	r.head = append(p, "\r\n"...)
	return nil
}

// question makes r the request that asks for consent.
func (h *head) question(r *request) {
	p := append(r.head[:0], "OPTIONS "...)
	p = h.target.append(p, "validate")
	p = append(p, " HTTP/1.1\r\n"...)
	p = append(p, h.common...)
	r.head, r.body = append(p, "\r\n"...), nil
}

// nameOf returns what an event is called, and what stands before that in its
// ce-type.
func nameOf(c *upstream.Call) (name, kind string) {
	switch c.Type {
	case upstream.Connect:
		return "connect", "sys."
	case upstream.Connected:
		return "connected", "sys."
	case upstream.Disconnected:
		return "disconnected", "sys."
	}
	return c.Name, "user."
}

func contentType(c *upstream.Call) string {
	switch {
	case c.Type != upstream.Message:
		return "application/json; charset=utf-8"
	case c.Op == ws.OpBinary:
		return "application/octet-stream"
	}
	return "text/plain"
}

// appendField appends a header line whose value is known to be one.
func appendField(p []byte, name, value string) []byte {
	p = append(p, name...)
	p = append(p, value...)
	return append(p, "\r\n"...)
}

// appendEncoded appends a value as it is, if it can stand in a header: visible
// ASCII, with blanks within. Percent-encoded is every other byte, and a percent
// sign that two hexadecimal digits follow, so that different values stay
// different and reading %XX as a byte, and nothing else, gives the value back.
// CloudEvents (HTTP binding, section 3.1.3.2) encodes every blank, quote and
// percent sign. SDKs do not decode: they are to see as much as possible as it is.
func appendEncoded(p []byte, value string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(value) {
		c := value[i]
		switch within := i > 0 && i < len(value)-1; {
		case c == '%' && i+2 < len(value) && isHex(value[i+1]) && isHex(value[i+2]),
			c == ' ' && !within, c < ' ', c >= 0x7f:
			p = append(p, '%', digits[c>>4], digits[c&15])
		default:
			p = append(p, c)
		}
	}
	return p
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
