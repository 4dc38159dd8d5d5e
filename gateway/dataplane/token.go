package dataplane

import (
	"net/http"
	"strings"
	"time"

	"sluice/gateway/name"
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
		if err := name.Check(group); err != nil {
			return nil, badRequest("a group %v", err)
		}
	}
	if user := r.query.Get("userId"); user != "" {
		if err := name.Check(user); err != nil {
			return nil, badRequest("userId %v", err)
		}
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
