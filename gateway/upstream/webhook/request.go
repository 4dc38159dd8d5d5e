package webhook

import "io"

// request is a request on its way. It can be written more than once.
type request struct {
	head []byte // its own memory
	body []byte // somebody else's
}

// joinLimit is the longest body that is copied behind the head, so that both
// leave with one write.
const joinLimit = 8 << 10

// writeTo writes the request.
func (r *request) writeTo(w io.Writer) error {
	if len(r.body) <= joinLimit {
		r.head, r.body = append(r.head, r.body...), nil
	}
	if _, err := w.Write(r.head); err != nil || len(r.body) == 0 {
		return err
	}
	_, err := w.Write(r.body)
	return err
}
