package dataplane

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"sluice/gateway/delivery"
)

// send sends the body as a message.
func (a *api) send(r *request, h http.Header) (any, error) {
	ttl, err := r.number("messageTtlSeconds", 0, 0, 300)
	if err != nil {
		return nil, err
	}
	message, err := a.message(r)
	if err != nil {
		return nil, err
	}
	message.TTL = time.Duration(ttl) * time.Second
	_, err = a.do(r, h, message)
	return nil, err
}

// message makes a message of the body: binary of bytes, and text, which must be
// UTF-8 (RFC 6455 §5.6), of text and JSON.
func (a *api) message(r *request) (delivery.Send, error) {
	message := delivery.Send{Op: ws.OpText}
	media, err := r.mediaType()
	if err != nil {
		return message, err
	}
	isJSON := media == "application/json"
	switch media {
	case "text/plain", "application/json":
	case "application/octet-stream":
		message.Op = ws.OpBinary
	default:
		return message, unsupported("Content-Type is %s, want text/plain, application/json or application/octet-stream", media)
	}
	if message.Data, err = r.body(a.MaxBody); err != nil {
		return message, err
	}
	if isJSON {
		message.Data = withoutMark(message.Data)
	}
	switch {
	case message.Op == ws.OpText && !utf8.Valid(message.Data):
		return message, badRequest("the body is not UTF-8, as a text has to be; application/octet-stream takes any bytes")
	case isJSON && !json.Valid(message.Data):
		return message, badRequest("the body is not JSON")
	}
	return message, nil
}

// do does what is asked for to the target, and counts in the header of the
// answer the sessions it was done to.
func (a *api) do(r *request, h http.Header, action delivery.Action) (delivery.Result, error) {
	result, err := a.Node.Do(r.Context(), r.target, action)
	h.Set("Sluice-Matched", strconv.Itoa(result.Matched))
	h.Set("Sluice-Queued", strconv.Itoa(result.Queued))
	h.Set("Sluice-Dropped", strconv.Itoa(result.Dropped))
	if result.Pending > 0 {
		h.Set("Sluice-Pending", strconv.Itoa(result.Pending))
	}
	return result, err
}

// one does what is asked for to the target, a connection that has to be there.
func (a *api) one(r *request, h http.Header, action delivery.Action) error {
	result, err := a.do(r, h, action)
	switch {
	case err != nil || result.Matched > 0:
		return err
	case result.Pending > 0:
		return errUnsure
	}
	return missing(r.target.Name)
}
