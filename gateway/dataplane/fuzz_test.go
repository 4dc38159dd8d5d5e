package dataplane

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Whatever is asked for, the answer is one of those that the route has, and an
// error is JSON that says why.
func FuzzHandler(f *testing.F) {
	f.Add("POST", "/api/hubs/chat/:send", "messageTtlSeconds=1", "text/plain", "hi")
	f.Add("POST", "/api/hubs/chat/groups/a%2Fb/:send", "filter=userId+eq+null&excluded=c1", "application/json", `{"a":1}`)
	f.Add("POST", "/api/hubs/chat/:addToGroups", "", "application/json", `{"groups":["x"],"filter":"true"}`)
	f.Add("GET", "/api/hubs/chat/connections", "maxpagesize=1&top=2&continuationToken=AAAAAAAB", "", "")
	f.Add("HEAD", "/api/hubs/chat/groups/red/connections", "", "", "")
	f.Add("PUT", "/api/hubs/chat/permissions/sendToGroup/connections/c1", "targetName=x", "", "")
	f.Add("DELETE", "/api/hubs/chat/users/%zz/groups", "", "", "")
	f.Add("POST", "/api/hubs/chat/:generateToken", "userId=ann&minutesToExpire=1", "", "")
	f.Add("OPTIONS", "/api/hubs/../x//", "%", "", "")
	always := []int{400, 401, 404, 405, 429, 500, 503}
	f.Fuzz(func(t *testing.T, method, path, query, media, body string) {
		u, err := url.Parse(path)
		if err != nil || method == "" {
			return
		}
		u.RawQuery = query
		r := &http.Request{Method: method, URL: u, Host: "gateway.example", Header: http.Header{
			"Authorization": {"Bearer key"}, "Content-Type": {media},
		}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
		w := httptest.NewRecorder()
		newHandler(newNode()).ServeHTTP(w, r)

		known := always
		if route, err := lookup(routes(), r); err == nil {
			known = append(slices.Clone(always), route.statuses...)
		} else if u.Path == "/api/openapi.json" {
			known = append(slices.Clone(always), 200)
		}
		if !slices.Contains(known, w.Code) || w.Code == 500 {
			t.Errorf("%s %s answers %d", method, path, w.Code)
		}
		if w.Code >= 400 && code(w) == "" {
			t.Errorf("%s %s: %d %s says nothing", method, path, w.Code, w.Body)
		}
		if w.Code < 400 && w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: %s is not JSON", method, path, w.Body)
		}
	})
}
