package dataplane

import (
	"net/http"
	"unicode/utf8"

	"sluice/gateway/delivery"
	"sluice/gateway/name"
)

// maxReason is how long the reason in a Close frame may be (RFC 6455 §5.5), in
// bytes: 125 without the code.
const maxReason = 123

// close closes sessions. A reason that is too long for a frame is cut: the
// sessions are to end rather than to keep the whole reason.
func (a *api) close(r *request, h http.Header) (any, error) {
	reason := r.query.Get("reason")
	if !utf8.ValidString(reason) {
		return nil, badRequest("reason is not UTF-8")
	}
	if end := maxReason; len(reason) > end {
		for !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	_, err := a.do(r, h, delivery.Close{Reason: reason})
	return nil, err
}

// exists finds out whether there is any session.
func (a *api) exists(r *request, _ http.Header) (any, error) {
	return nil, a.find(r, delivery.Find{}, &problem{status: http.StatusNotFound, code: "NotFound", message: "there is no such session"})
}

// granted finds out whether a connection has a permission.
func (a *api) granted(r *request, _ http.Header) (any, error) {
	permission, err := r.permission()
	if err != nil {
		return nil, err
	}
	return nil, a.find(r, delivery.Find{Permission: &permission}, &problem{status: http.StatusNotFound, code: "NotFound", message: "there is no such connection with that permission"})
}

// find returns none if there is none, and an error if nobody knows.
func (a *api) find(r *request, what delivery.Find, none error) error {
	result, err := a.Node.Do(r.Context(), r.target, what)
	switch {
	case err != nil || result.Queued > 0:
		return err
	case result.Pending > 0:
		return errUnsure
	}
	return none
}

// grant gives a connection a permission.
func (a *api) grant(r *request, h http.Header) (any, error) {
	permission, err := r.permission()
	if err != nil {
		return nil, err
	}
	return nil, a.one(r, h, delivery.Grant{Permission: permission})
}

// revoke takes it away, if the connection is there.
func (a *api) revoke(r *request, h http.Header) (any, error) {
	permission, err := r.permission()
	if err != nil {
		return nil, err
	}
	_, err = a.do(r, h, delivery.Revoke{Permission: permission})
	return nil, err
}

// permission reads which one is meant. Without a target name it is that for
// every group.
func (r *request) permission() (p delivery.Permission, err error) {
	switch verb := r.PathValue("permission"); verb {
	case "joinLeaveGroup":
		p.Verb = delivery.JoinLeaveGroup
	case "sendToGroup":
		p.Verb = delivery.SendToGroup
	default:
		return p, badRequest("there is no permission %q, but joinLeaveGroup and sendToGroup", verb)
	}
	p.Group = r.query.Get("targetName")
	if p.Group != "" {
		if err := name.Check(p.Group); err != nil {
			return p, badRequest("targetName %v", err)
		}
	}
	return p, nil
}
