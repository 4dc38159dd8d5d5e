package dataplane

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"sluice/gateway/delivery"
	"sluice/gateway/name"
)

// maxObject is how many bytes a body may have that is an object of the API.
const maxObject = 256 << 10

// request is a request that may be served: its hub is there, whoever sent it
// may act on it, and what its path and query name is in the target.
type request struct {
	*http.Request
	query  url.Values
	target delivery.Target
	group  string // that the path names besides the target, or ""

	budget  Budget
	charged int // to the budget
}

// newRequest reads the path and the query of r.
func newRequest(r *http.Request, route *route) (*request, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query is not well encoded")
	}
	for _, part := range []string{"group", "userId", "connectionId"} {
		if strings.Contains(route.path, "{"+part+"}") {
			if err := name.Check(r.PathValue(part)); err != nil {
				return nil, badRequest("%s in the path %v", part, err)
			}
		}
	}
	q := &request{Request: r, query: query, target: delivery.Target{Hub: r.PathValue("hub"), Kind: route.kind}}
	switch route.kind {
	case delivery.Group:
		q.target.Name = r.PathValue("group")
	case delivery.User:
		q.target.Name = r.PathValue("userId")
	case delivery.Connection:
		q.target.Name = r.PathValue("connectionId")
	}
	if route.kind != delivery.Group {
		q.group = r.PathValue("group")
	}
	if slices.Contains(route.query, "excluded") {
		q.target.Excluded = query["excluded"]
	}
	if slices.Contains(route.query, "filter") {
		q.target.Filter, err = parseFilter(query.Get("filter"))
	}
	return q, err
}

// isAmbiguous reports whether a hub's name, decoded, could be taken for another
// path or end early somewhere: clients are refused at such a one, too.
func isAmbiguous(hub string) bool {
	return strings.ContainsFunc(hub, func(c rune) bool { return c == '/' || c < 0x20 || c == 0x7f })
}

// parseFilter reads a filter; an empty one is none.
func parseFilter(s string) (*delivery.Filter, error) {
	if s == "" {
		return nil, nil
	}
	f, err := delivery.ParseFilter(s)
	if err != nil {
		return nil, &problem{status: http.StatusBadRequest, code: "InvalidFilter", message: err.Error()}
	}
	return f, nil
}

// number reads a parameter from least to most, which is absent if it is not
// there or empty.
func (r *request) number(name string, absent, least, most int) (int, error) {
	s := r.query.Get(name)
	if s == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, badRequest("%s is not a number from %d to %d", name, least, most)
	}
	return n, nil
}

// mediaType returns what the body is. Bytes that are compressed, or texts that
// are not UTF-8, are of no known type.
func (r *request) mediaType() (string, error) {
	if c := r.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return "", unsupported("Content-Encoding %q is not known here: send the body as it is", c)
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "", unsupported("there is no Content-Type, or none that can be read")
	}
	if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") && !strings.EqualFold(c, "utf8") && !strings.EqualFold(c, "us-ascii") {
		return "", unsupported("charset %q is not known here: send UTF-8", c)
	}
	return media, nil
}

// body reads the body, which may have limit bytes.
func (r *request) body(limit int64) ([]byte, error) {
	large := &problem{status: http.StatusRequestEntityTooLarge, code: "PayloadTooLarge", message: "the body may have " + strconv.FormatInt(limit, 10) + " bytes"}
	if r.ContentLength > limit {
		return nil, large
	}
	data, err := r.readAll(io.LimitReader(r.Body, limit+1))
	switch {
	case errors.Is(err, errBuffers):
		return nil, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlow
	case err != nil:
		return nil, badRequest("the body broke off")
	case int64(len(data)) > limit:
		return nil, large
	}
	return data, nil
}

// firstRead is the room that is made before anything has come.
const firstRead = 4 << 10

// readAll is io.ReadAll, but what it reads into is charged, and grows with what
// has come, whatever is announced: at most to the double of that.
func (r *request) readAll(from io.Reader) ([]byte, error) {
	size := firstRead
	if n := r.ContentLength; n >= 0 && n < firstRead {
		size = int(n) + 1 // the last read finds the end
	}
	if !r.charge(size) {
		return nil, errBuffers
	}
	data := make([]byte, 0, size)
	for {
		n, err := from.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case err == io.EOF:
			return data, nil
		case err != nil:
			return data, err
		case len(data) < cap(data):
			continue
		}
		size := 2 * cap(data)
		if n := r.ContentLength; n >= int64(len(data)) && n < int64(size) {
			size = int(n) + 1
		}
		if !r.charge(size) {
			return data, errBuffers
		}
		data = append(make([]byte, 0, size), data...)
		r.budget.Give(r.charged - size)
		r.charged = size
	}
}

// charge charges n bytes until release.
func (r *request) charge(n int) bool {
	if !r.budget.Take(n) {
		return false
	}
	r.charged += n
	return true
}

// release gives back what the request was charged.
func (r *request) release() {
	r.budget.Give(r.charged)
	r.charged = 0
}

// object reads a body of JSON into v.
func (r *request) object(v any) error {
	media, err := r.mediaType()
	if err != nil {
		return err
	}
	if media != "application/json" {
		return unsupported("Content-Type is %s, want application/json", media)
	}
	data, err := r.body(maxObject)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(withoutMark(data), v); err != nil {
		return badRequest("the body: %v", err)
	}
	return nil
}

// withoutMark returns JSON without the byte order mark that some editors and
// serialisers put before it (RFC 8259, section 8.1, lets readers ignore one).
func withoutMark(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\ufeff")) }
