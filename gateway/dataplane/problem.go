package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sluice/gateway/delivery"
)

// problem is an error that whoever asked is told.
type problem struct {
	status  int
	code    string // for programs
	message string // for people
	// name and value are a header that belongs to the status, if it has one.
	name, value string
}

func (p *problem) Error() string { return p.message }

var errNoRoute = &problem{status: http.StatusNotFound, code: "NotFound", message: "there is nothing at this path; /api/openapi.json describes what there is"}

func badRequest(format string, args ...any) *problem {
	return &problem{status: http.StatusBadRequest, code: "BadRequest", message: fmt.Sprintf(format, args...)}
}

// missing is said of a connection that is not there.
func missing(connection string) *problem {
	return &problem{status: http.StatusNotFound, code: "ConnectionNotFound", message: fmt.Sprintf("there is no connection %q in this hub", connection)}
}

// errUnsure is said when not every loop has answered, and the others did not know.
var errUnsure = &problem{http.StatusServiceUnavailable, "Busy", "the node is too busy to tell: ask again", "Retry-After", "1"}

// errBuffers is said when the budget is used up.
var errBuffers = &problem{http.StatusServiceUnavailable, "ServiceUnavailable", "buffers almost used up", "Retry-After", "5"}

// errSlow is said of a body that has not come in time.
var errSlow = &problem{status: http.StatusRequestTimeout, code: "RequestTimeout", message: "the body did not come in time"}

func unauthorized(err error) *problem {
	return &problem{http.StatusUnauthorized, "Unauthorized", err.Error(), "WWW-Authenticate", `Bearer realm="sluice"`}
}

func notAllowed(method string, allowed []string) *problem {
	list := strings.Join(allowed, ", ")
	return &problem{http.StatusMethodNotAllowed, "MethodNotAllowed", fmt.Sprintf("this path takes %s, not %s", list, method), "Allow", list}
}

func unsupported(format string, args ...any) *problem {
	return &problem{status: http.StatusUnsupportedMediaType, code: "UnsupportedMediaType", message: fmt.Sprintf(format, args...)}
}

// problemOf returns what is said of err, nil if it says nothing but that the
// node is at fault.
func problemOf(err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, delivery.ErrNoHub):
		return &problem{status: http.StatusNotFound, code: "HubNotFound", message: delivery.ErrNoHub.Error()}
	case errors.Is(err, delivery.ErrFull):
		return &problem{http.StatusTooManyRequests, "TooManyRequests", err.Error(), "Retry-After", "1"}
	case errors.Is(err, delivery.ErrTooManyGroups):
		return &problem{status: http.StatusConflict, code: "TooManyGroups", message: err.Error()}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errUnsure
	}
	return nil
}

// refuse answers with what is wrong. The code is in a header, too, where an
// answer to HEAD can have it.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p == nil {
		a.Log.Error("data plane request failed", "method", r.Method, "path", r.URL.Path, "err", err)
		p = &problem{status: http.StatusInternalServerError, code: "InternalError", message: "the node has failed; its log says why"}
	}
	if p.name != "" {
		w.Header().Set(p.name, p.value)
	}
	w.Header().Set("X-Ms-Error-Code", p.code)
	type detail struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	write(w, p.status, encode(struct {
		Error detail `json:"error"`
	}{detail{p.code, p.message}}))
}
