package dataplane

import (
	"net/http"

	"sluice/gateway/delivery"
	"sluice/gateway/name"
)

// join makes the target a member of the group in the path. A connection has to
// be there; a user's sessions are those that there are.
func (a *api) join(r *request, h http.Header) (any, error) {
	action := delivery.Join{Groups: []string{r.group}}
	if r.target.Kind == delivery.Connection {
		return nil, a.one(r, h, action)
	}
	_, err := a.do(r, h, action)
	return nil, err
}

// leave ends the target's membership in the group in the path, or in all of
// them if the path names none.
func (a *api) leave(r *request, h http.Header) (any, error) {
	var action delivery.Leave
	if r.group != "" {
		action.Groups = []string{r.group}
	}
	_, err := a.do(r, h, action)
	return nil, err
}

// joinMany makes the sessions that a filter finds members of groups.
func (a *api) joinMany(r *request, h http.Header) (any, error) {
	groups, err := r.groups()
	if err != nil {
		return nil, err
	}
	_, err = a.do(r, h, delivery.Join{Groups: groups})
	return nil, err
}

// leaveMany ends the membership in groups of the sessions that a filter finds.
func (a *api) leaveMany(r *request, h http.Header) (any, error) {
	groups, err := r.groups()
	if err != nil {
		return nil, err
	}
	_, err = a.do(r, h, delivery.Leave{Groups: groups})
	return nil, err
}

// groups reads which groups the body names, and puts its filter into the target.
// There has to be a group: to the node, no groups at all can mean every one.
func (r *request) groups() ([]string, error) {
	var body struct {
		Groups []string `json:"groups"`
		Filter string   `json:"filter"`
	}
	if err := r.object(&body); err != nil {
		return nil, err
	}
	if len(body.Groups) == 0 {
		return nil, badRequest("groups in the body names no group")
	}
	for _, group := range body.Groups {
		if err := name.Check(group); err != nil {
			return nil, badRequest("a name in groups %v", err)
		}
	}
	var err error
	r.target.Filter, err = parseFilter(body.Filter)
	return body.Groups, err
}
