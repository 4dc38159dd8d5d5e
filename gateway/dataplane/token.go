package dataplane

import (
	"net/http"
	"strings"
	"time"
)

// maxMinutes is how long a token may last: ten years.
const maxMinutes = 10 * 365 * 24 * 60

// token answers a token for a client.
func (a *api) token(r *request, _ http.Header) (any, error) {
	minutes, err := r.number("minutesToExpire", 60, 1, maxMinutes)
	if err != nil {
		return nil, err
	}
	if c := r.query.Get("clientType"); c != "" && !strings.EqualFold(c, "default") {
		return nil, badRequest("clientType is %q; Default is the only one here", c)
	}
	for _, group := range r.query["group"] {
		if !isName(group) {
			return nil, badRequest("a group is not UTF-8 of 1 to %d bytes", maxName)
		}
	}
	if user := r.query.Get("userId"); user != "" && !isName(user) {
		return nil, badRequest("userId is not UTF-8 of at most %d bytes", maxName)
	}
	token, err := a.Token(r.target.Hub, TokenRequest{
		User:   r.query.Get("userId"),
		Roles:  r.query["role"],
		Groups: r.query["group"],
		TTL:    time.Duration(minutes) * time.Minute,
	})
	if err != nil {
		return nil, &problem{status: http.StatusConflict, code: "NoToken", message: err.Error()}
	}
	return struct {
		Token string `json:"token"`
	}{token}, nil
}
