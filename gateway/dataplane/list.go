package dataplane

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"sluice/gateway/delivery"
)

// maxPage is how many sessions a page has at most, and without being asked.
const maxPage = 200

// page is a part of a list as it is answered.
type page struct {
	Value    []delivery.Entry `json:"value"`
	NextLink string           `json:"nextLink,omitempty"`
}

// list answers a page of the sessions, with a link to the next one.
func (a *api) list(r *request, _ http.Header) (any, error) {
	size, err := r.number("maxpagesize", maxPage, 1, maxPage)
	if err != nil {
		return nil, err
	}
	top, err := r.number("top", math.MaxInt32, 1, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	from, err := parseCursor(r.query.Get("continuationToken"))
	if err != nil {
		return nil, err
	}
	found, err := a.Node.List(r.Context(), r.target, from, min(size, top))
	if err != nil {
		return nil, err
	}
	p := page{Value: found.Entries}
	if p.Value == nil {
		p.Value = []delivery.Entry{} // not null
	}
	if left := top - len(found.Entries); found.Next != nil && left > 0 {
		p.NextLink = a.next(r, *found.Next, left)
	}
	return p, nil
}

// next returns the link to the page from a cursor on, when so many sessions are
// left of those that were asked for.
func (a *api) next(r *request, from delivery.Cursor, left int) string {
	base := ""
	if a.Endpoint != nil {
		base = a.Endpoint()
	}
	if base == "" {
		u := url.URL{Scheme: "http", Host: r.Host}
		if r.TLS != nil {
			u.Scheme = "https"
		}
		base = u.String()
	}
	if r.query.Has("top") {
		r.query.Set("top", strconv.Itoa(left))
	}
	r.query.Set("continuationToken", formatCursor(from))
	return base + r.URL.EscapedPath() + "?" + r.query.Encode()
}

// A cursor is a continuation token as the base64url of its loop (2 bytes) and
// slot (4). It is no secret: whoever may list from the beginning may list from
// anywhere.
func formatCursor(c delivery.Cursor) string {
	b := binary.BigEndian.AppendUint16(nil, c.Loop)
	b = binary.BigEndian.AppendUint32(b, c.Slot)
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor reads what formatCursor wrote; "" is the beginning.
func parseCursor(s string) (c delivery.Cursor, err error) {
	if s == "" {
		return c, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 6 || len(s) != 8 { // the decoder ignores line ends
		return c, badRequest("continuationToken is none that was given out here")
	}
	return delivery.Cursor{Loop: binary.BigEndian.Uint16(b), Slot: binary.BigEndian.Uint32(b[2:])}, nil
}
