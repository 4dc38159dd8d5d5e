package handshake

import (
	"errors"
	"maps"
	"net/http"
	"slices"
)

// AsksForWebSocket says of a request's header what Head.Upgrade says of a
// parsed head. Whoever sends requests from net/http back here for what they
// ask must not judge it by other rules: such a request would go to and fro.
func AsksForWebSocket(header http.Header) bool {
	for _, value := range header["Upgrade"] {
		if hasElement([]byte(value), "websocket") {
			return true
		}
	}
	return false
}

// AppendRequest appends the head of a request that net/http has read, such
// that an upgrade which comes second on a kept-alive connection can go the way
// of all others, through Parse and Check. Names come sorted and in their
// canonical form, values in their order. It is an error if the request cannot
// be written as an HTTP/1 head.
func AppendRequest(dst []byte, r *http.Request) ([]byte, error) {
	if r.ProtoMajor != 1 || r.ProtoMinor < 0 || r.ProtoMinor > 9 {
		return dst, errors.New("write the request head: not an HTTP/1 request")
	}
	target := r.RequestURI
	if target == "" {
		target = r.URL.RequestURI()
	}
	if hasSpaceOrControl(r.Method) || hasSpaceOrControl(target) {
		return dst, errors.New("write the request head: malformed method or target")
	}
	out := append(dst, r.Method...)
	out = append(out, ' ')
	out = append(out, target...)
	out = append(out, " HTTP/1."...)
	out = append(out, '0'+byte(r.ProtoMinor), '\r', '\n')

	var err error
	if r.Host != "" {
		if out, err = appendField(out, "Host", r.Host); err != nil {
			return dst, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			if out, err = appendField(out, name, value); err != nil {
				return dst, err
			}
		}
	}
	// net/http takes this one out of the header.
	for _, coding := range r.TransferEncoding {
		if out, err = appendField(out, "Transfer-Encoding", coding); err != nil {
			return dst, err
		}
	}
	return append(out, "\r\n"...), nil
}

func appendField(dst []byte, name, value string) ([]byte, error) {
	start := len(dst)
	dst = append(dst, name...)
	if !isToken(dst[start:]) {
		return nil, errors.New("write the request head: malformed field name")
	}
	dst = append(dst, ": "...)
	start = len(dst)
	dst = append(dst, value...)
	if !validValue(dst[start:]) {
		return nil, errors.New("write the request head: malformed field value")
	}
	return append(dst, "\r\n"...), nil
}

func hasSpaceOrControl(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c == 0x7f {
			return true
		}
	}
	return false
}
