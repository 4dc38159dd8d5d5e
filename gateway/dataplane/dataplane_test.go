package dataplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/dataplane/dataplanetest"
	"sluice/gateway/delivery"
)

// newNode has three sessions: two of ann, one of which is in the group red, and
// one of nobody, which is in red and "a/b".
func newNode() *dataplanetest.Node {
	n := new(dataplanetest.Node)
	n.Open("chat", "c1", "ann", "red")
	n.Open("chat", "c2", "ann")
	n.Open("chat", "c3", "", "red", "a/b")
	n.Open("other", "o1", "ann", "red")
	return n
}

// newHandler serves the hubs chat and other to whoever shows the key.
func newHandler(n delivery.Node) http.Handler { return Handler(newOptions(n)) }

func newOptions(n delivery.Node) Options {
	return Options{
		Node: n,
		Hubs: func(name string) bool { return name == "chat" || name == "other" },
		Authorize: func(r *http.Request, _ string) error {
			if r.Header.Get("Authorization") != "Bearer key" {
				return errors.New("no key was shown")
			}
			return nil
		},
		Token: func(hub string, c TokenRequest) (string, error) {
			if hub == "other" {
				return "", errors.New("the hub has no key")
			}
			return fmt.Sprintf("%s %+v", hub, c), nil
		},
		MaxBody: 64,
	}
}

// ask sends a request with the key; header is "Name: value" pairs.
func ask(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://gateway.example"+target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer key")
	for _, field := range header {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// code returns the code of an error, "" if the body is none.
func code(w *httptest.ResponseRecorder) string {
	var body struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(w.Body.Bytes(), &body) != nil || body.Error.Message == "" {
		return ""
	}
	return body.Error.Code
}

const (
	plain  = "Content-Type: text/plain"
	object = "Content-Type: application/json"
	octets = "Content-Type: application/octet-stream"
)

func TestEveryRouteAsksTheNodeForWhatItSays(t *testing.T) {
	filter, err := delivery.ParseFilter("'x' in groups")
	if err != nil {
		t.Fatal(err)
	}
	all := delivery.Target{Hub: "chat"}
	group := delivery.Target{Hub: "chat", Kind: delivery.Group, Name: "red"}
	ann := delivery.Target{Hub: "chat", Kind: delivery.User, Name: "ann"}
	c1 := delivery.Target{Hub: "chat", Kind: delivery.Connection, Name: "c1"}
	gone := delivery.Target{Hub: "chat", Kind: delivery.Connection, Name: "c9"}
	some := delivery.Target{Hub: "chat", Excluded: []string{"c1", "c2"}, Filter: filter}
	slash := delivery.Target{Hub: "chat", Kind: delivery.Group, Name: "a/b"}
	text := func(s string) delivery.Send { return delivery.Send{Op: ws.OpText, Data: []byte(s)} }
	permission := delivery.Permission{Verb: delivery.SendToGroup, Group: "red"}

	cases := []struct {
		request string // without /api/hubs/chat
		body    string
		media   string
		status  int
		target  delivery.Target
		action  delivery.Action
		matched string
	}{
		{"POST /:send?api-version=2024-12-01", "hi", plain, 202, all, text("hi"), "3"},
		{"POST /%3Asend", "", "Content-Type: text/plain; charset=UTF-8", 202, all, text(""), "3"},
		{"POST /:send", "hi", "Content-Type: Text/Plain;Charset=\"UTF8\"", 202, all, text("hi"), "3"},
		{"POST /:send", "\ufeff{\"a\":1}", "Content-Type: application/json; charset=utf8", 202, all, text(`{"a":1}`), "3"},
		{"POST /:send", `{"a":1}`, object, 202, all, text(`{"a":1}`), "3"},
		{"POST /:send", "\xff\x00", octets, 202, all, delivery.Send{Op: ws.OpBinary, Data: []byte("\xff\x00")}, "3"},
		{"POST /:send?messageTtlSeconds=300", "hi", plain, 202, all, delivery.Send{Op: ws.OpText, Data: []byte("hi"), TTL: 300 * time.Second}, "3"},
		{"POST /:send?excluded=c1&excluded=c2&filter=%27x%27+in%20groups", "hi", plain, 202, some, text("hi"), "0"},
		{"POST /groups/red/:send", "hi", plain, 202, group, text("hi"), "2"},
		{"POST /groups/a%2Fb/:send", "hi", plain, 202, slash, text("hi"), "1"},
		{"POST /users/ann/:send", "hi", plain, 202, ann, text("hi"), "2"},
		{"POST /connections/c1/:send", "hi", plain, 202, c1, text("hi"), "1"},
		{"POST /connections/c9/:send", "hi", plain, 202, gone, text("hi"), "0"},

		{"POST /:closeConnections?reason=bye", "", "", 204, all, delivery.Close{Reason: "bye"}, "3"},
		{"POST /:closeConnections?excluded=c1&excluded=c2&filter='x'+in+groups", "", "", 204, some, delivery.Close{}, "0"},
		{"POST /groups/red/:closeConnections", "", "", 204, group, delivery.Close{}, "2"},
		{"POST /users/ann/:closeConnections", "", "", 204, ann, delivery.Close{}, "2"},
		{"DELETE /connections/c1?reason=" + strings.Repeat("é", 70), "", "", 204, c1, delivery.Close{Reason: strings.Repeat("é", 61)}, "1"},
		{"DELETE /connections/c9", "", "", 204, gone, delivery.Close{}, "0"},

		{"HEAD /groups/red", "", "", 200, group, delivery.Find{}, ""},
		{"HEAD /users/ann", "", "", 200, ann, delivery.Find{}, ""},
		{"HEAD /connections/c1", "", "", 200, c1, delivery.Find{}, ""},
		{"HEAD /connections/c9", "", "", 404, gone, delivery.Find{}, ""},

		{"PUT /groups/new/connections/c1", "", "", 200, c1, delivery.Join{Groups: []string{"new"}}, "1"},
		{"PUT /groups/new/connections/c9", "", "", 404, gone, delivery.Join{Groups: []string{"new"}}, "0"},
		{"DELETE /groups/red/connections/c1", "", "", 204, c1, delivery.Leave{Groups: []string{"red"}}, "1"},
		{"DELETE /groups/red/connections/c9", "", "", 204, gone, delivery.Leave{Groups: []string{"red"}}, "0"},
		{"DELETE /connections/c1/groups", "", "", 204, c1, delivery.Leave{}, "1"},
		{"PUT /users/ann/groups/a%20%2F", "", "", 200, ann, delivery.Join{Groups: []string{"a /"}}, "2"},
		{"DELETE /users/ann/groups/red", "", "", 204, ann, delivery.Leave{Groups: []string{"red"}}, "2"},
		{"DELETE /users/ann/groups", "", "", 204, ann, delivery.Leave{}, "2"},
		{"POST /:addToGroups", `{"groups":["x","y"]}`, object, 200, all, delivery.Join{Groups: []string{"x", "y"}}, "3"},
		{"POST /:addToGroups", `{"groups":["x"],"filter":"'x' in groups"}`, object, 200, delivery.Target{Hub: "chat", Filter: filter}, delivery.Join{Groups: []string{"x"}}, "0"},
		{"POST /:removeFromGroups", `{"groups":["red"],"filter":null}`, object, 200, all, delivery.Leave{Groups: []string{"red"}}, "3"},

		{"PUT /permissions/sendToGroup/connections/c1?targetName=red", "", "", 200, c1, delivery.Grant{Permission: permission}, "1"},
		{"PUT /permissions/joinLeaveGroup/connections/c1", "", "", 200, c1, delivery.Grant{Permission: delivery.Permission{Verb: delivery.JoinLeaveGroup}}, "1"},
		{"PUT /permissions/sendToGroup/connections/c9?targetName=red", "", "", 404, gone, delivery.Grant{Permission: permission}, "0"},
		{"HEAD /permissions/sendToGroup/connections/c1?targetName=red", "", "", 404, c1, delivery.Find{Permission: &permission}, ""},
		{"DELETE /permissions/sendToGroup/connections/c1?targetName=red", "", "", 204, c1, delivery.Revoke{Permission: permission}, "1"},
	}
	for _, c := range cases {
		n := newNode()
		method, path, _ := strings.Cut(c.request, " ")
		w := ask(newHandler(n), method, "/api/hubs/chat"+path, c.body, c.media)
		if w.Code != c.status || w.Code < 300 && w.Body.Len() > 0 {
			t.Errorf("%s: %d %s, want %d without a body", c.request, w.Code, w.Body, c.status)
			continue
		}
		target, action := n.Last()
		if !sameTarget(target, c.target) || !reflect.DeepEqual(action, c.action) {
			t.Errorf("%s: the node is asked for %+v of %+v, want %+v of %+v", c.request, action, target, c.action, c.target)
		}
		if got := w.Header().Get("Sluice-Matched"); got != c.matched {
			t.Errorf("%s: matched %q, want %q", c.request, got, c.matched)
		}
	}
}

// sameTarget compares filters by what they were made of.
func sameTarget(a, b delivery.Target) bool {
	if (a.Filter == nil) != (b.Filter == nil) || a.Filter != nil && a.Filter.String() != b.Filter.String() {
		return false
	}
	a.Filter, b.Filter = nil, nil
	return reflect.DeepEqual(a, b)
}

func TestAPermissionIsThereWhileItIsGranted(t *testing.T) {
	h := newHandler(newNode())
	path := "/api/hubs/chat/permissions/sendToGroup/connections/c1?targetName=red"
	for _, step := range []struct {
		method string
		status int
	}{{"HEAD", 404}, {"PUT", 200}, {"HEAD", 200}, {"DELETE", 204}, {"HEAD", 404}} {
		if w := ask(h, step.method, path, ""); w.Code != step.status {
			t.Fatalf("%s: %d, want %d", step.method, w.Code, step.status)
		}
	}
}

func TestATokenIsMadeOfTheParameters(t *testing.T) {
	h := newHandler(newNode())
	cases := []struct{ query, want string }{
		{"", "chat {User: Roles:[] Groups:[] TTL:1h0m0s}"},
		{"?userId=ann&role=a&role=b&group=x&group=y&minutesToExpire=5&clientType=default", "chat {User:ann Roles:[a b] Groups:[x y] TTL:5m0s}"},
	}
	for _, c := range cases {
		w := ask(h, "POST", "/api/hubs/chat/:generateToken"+c.query, "")
		var got struct{ Token string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.Token != c.want {
			t.Errorf("%q: %d %s, want %s", c.query, w.Code, w.Body, c.want)
		}
	}
}

func TestWhatIsWrongIsAnsweredInJSON(t *testing.T) {
	long := strings.Repeat("x", 1025)
	cases := []struct {
		request, body, media string
		status               int
		code                 string
	}{
		{"GET /api/hubs/chat", "", "", 404, "NotFound"},
		{"GET /", "", "", 404, "NotFound"},
		{"POST /api/hubs/chat/groups//:send", "hi", plain, 400, "BadRequest"},
		{"POST /api/hubs/chat/:send/", "hi", plain, 404, "NotFound"},
		{"POST //api/hubs/chat/:send", "hi", plain, 404, "NotFound"},
		{"POST /api/hubs/nowhere/:send", "hi", plain, 404, "HubNotFound"},
		{"HEAD /api/hubs/nowhere/groups/red", "", "", 404, ""},
		{"GET /api/hubs/chat/:send", "", "", 405, "MethodNotAllowed"},
		{"PATCH /api/hubs/chat/connections/c1", "", "", 405, "MethodNotAllowed"},
		{"POST /api/openapi.json", "", "", 405, "MethodNotAllowed"},

		{"POST /api/hubs/chat/users/%2E%2E/:send", "hi", plain, 400, "BadRequest"},
		{"POST /api/hubs/chat/users/../:send", "hi", plain, 400, "BadRequest"},
		{"POST /api/hubs/chat/groups/%2E/:send", "hi", plain, 400, "BadRequest"},
		{"PUT /api/hubs/chat/users/ann/groups/..", "", "", 400, "BadRequest"},
		{"PUT /api/hubs/chat/permissions/sendToGroup/connections/c?targetName=..", "", "", 400, "BadRequest"},
		{"POST /api/hubs/chat/:generateToken?userId=..", "", "", 400, "BadRequest"},
		{"POST /api/hubs/chat/:generateToken?group=.", "", "", 400, "BadRequest"},
		{"POST /api/hubs/chat/:addToGroups", `{"groups":["a",".."]}`, "Content-Type: application/json", 400, "BadRequest"},
		{"POST /api/hubs/chat/:send", "hi", "", 415, "UnsupportedMediaType"},
		{"POST /api/hubs/chat/:send", "hi", "Content-Type: application/x-www-form-urlencoded", 415, "UnsupportedMediaType"},
		{"POST /api/hubs/chat/:send", "hi", "Content-Type: text/plain; charset=latin1", 415, "UnsupportedMediaType"},
		{"POST /api/hubs/chat/:addToGroups", "{}", plain, 415, "UnsupportedMediaType"},
		{"POST /api/hubs/chat/:send", strings.Repeat("x", 65), plain, 413, "PayloadTooLarge"},
		{"POST /api/hubs/chat/:send", "\xff", plain, 400, "BadRequest"},
		{"POST /api/hubs/chat/:send", "\"\xff\"", object, 400, "BadRequest"},
		{"POST /api/hubs/chat/:send", "{", object, 400, "BadRequest"},
		{"POST /api/hubs/chat/:send", "", object, 400, "BadRequest"},
		{"POST /api/hubs/chat/:send?messageTtlSeconds=301", "hi", plain, 400, "BadRequest"},
		{"POST /api/hubs/chat/:send?messageTtlSeconds=-1", "hi", plain, 400, "BadRequest"},
		{"POST /api/hubs/chat/:send?messageTtlSeconds=x", "hi", plain, 400, "BadRequest"},
		{"POST /api/hubs/chat/:send?filter=userId", "hi", plain, 400, "InvalidFilter"},
		{"POST /api/hubs/chat/:send?filter=%zz", "hi", plain, 400, "BadRequest"},
		{"POST /api/hubs/chat/groups/" + long + "/:send", "hi", plain, 400, "BadRequest"},
		{"POST /api/hubs/chat/groups/%ff/:send", "hi", plain, 400, "BadRequest"},
		{"PUT /api/hubs/chat/users/ann/groups/" + long, "", "", 400, "BadRequest"},
		{"DELETE /api/hubs/chat/connections/c1?reason=%ff", "", "", 400, "BadRequest"},

		{"POST /api/hubs/chat/:addToGroups", `{"groups":[]}`, object, 400, "BadRequest"},
		{"POST /api/hubs/chat/:removeFromGroups", `{}`, object, 400, "BadRequest"},
		{"POST /api/hubs/chat/:addToGroups", `{"groups":[""]}`, object, 400, "BadRequest"},
		{"POST /api/hubs/chat/:addToGroups", `{"groups":["x"]} x`, object, 400, "BadRequest"},
		{"POST /api/hubs/chat/:addToGroups", `{"groups":["x"],"filter":"x"}`, object, 400, "InvalidFilter"},
		{"POST /api/hubs/chat/:addToGroups", `{"groups":["` + strings.Repeat("x", maxObject) + `"]}`, object, 413, "PayloadTooLarge"},
		{"PUT /api/hubs/chat/groups/x/connections/c9", "", "", 404, "ConnectionNotFound"},
		{"PUT /api/hubs/chat/permissions/other/connections/c1", "", "", 400, "BadRequest"},
		{"HEAD /api/hubs/chat/permissions/other/connections/c1", "", "", 400, "BadRequest"},
		{"DELETE /api/hubs/chat/permissions/other/connections/c1", "", "", 400, "BadRequest"},
		{"PUT /api/hubs/chat/permissions/sendToGroup/connections/c1?targetName=" + long, "", "", 400, "BadRequest"},

		{"GET /api/hubs/chat/connections?maxpagesize=0", "", "", 400, "BadRequest"},
		{"GET /api/hubs/chat/connections?maxpagesize=201", "", "", 400, "BadRequest"},
		{"GET /api/hubs/chat/connections?top=0", "", "", 400, "BadRequest"},
		{"GET /api/hubs/chat/connections?continuationToken=x", "", "", 400, "BadRequest"},
		{"GET /api/hubs/chat/connections?continuationToken=AAAAAAA%0A", "", "", 400, "BadRequest"},
		{"GET /api/hubs/chat/connections?continuationToken=AAAAAAAA%0A", "", "", 400, "BadRequest"},
		{"POST /api/hubs/chat/:generateToken?minutesToExpire=0", "", "", 400, "BadRequest"},
		{"POST /api/hubs/chat/:generateToken?minutesToExpire=99999999", "", "", 400, "BadRequest"},
		{"POST /api/hubs/chat/:generateToken?clientType=MQTT", "", "", 400, "BadRequest"},
		{"POST /api/hubs/chat/:generateToken?group=" + long, "", "", 400, "BadRequest"},
		{"POST /api/hubs/chat/:generateToken?userId=%ff", "", "", 400, "BadRequest"},
		{"POST /api/hubs/other/:generateToken", "", "", 409, "NoToken"},
	}
	for _, c := range cases {
		n := newNode()
		method, path, _ := strings.Cut(c.request, " ")
		w := ask(newHandler(n), method, path, c.body, c.media)
		name := fmt.Sprintf("%.70s %.20q", c.request, c.body)
		if w.Code != c.status || method != "HEAD" && code(w) != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, c.status, c.code)
		}
		if method != "HEAD" && w.Header().Get("X-Ms-Error-Code") != c.code {
			t.Errorf("%s: the header says %q", name, w.Header().Get("X-Ms-Error-Code"))
		}
		if ids := n.Present(); len(ids) != 4 || len(n.Messages("c1")) > 0 || len(n.GroupsOf("c1")) != 1 {
			t.Errorf("%s: something was done nevertheless", name)
		}
	}
}

func TestTheHeadersThatBelongToAStatusAreThere(t *testing.T) {
	h := newHandler(newNode())
	if w := ask(h, "POST", "/api/hubs/chat/:send", "hi", plain, "Authorization: Bearer other"); w.Code != 401 || w.Header().Get("WWW-Authenticate") != `Bearer realm="sluice"` || code(w) != "Unauthorized" {
		t.Errorf("without the key: %d %v", w.Code, w.Header())
	}
	if w := ask(h, "POST", "/api/hubs/nowhere/:send", "hi", plain, "Authorization: Bearer other"); w.Code != 401 {
		t.Errorf("without the key, of an unknown hub: %d", w.Code)
	}
	if w := ask(h, "POST", "/api/hubs/chat/connections/c1", ""); w.Header().Get("Allow") != "DELETE, HEAD" {
		t.Errorf("Allow: %q", w.Header().Get("Allow"))
	}
	if w := ask(h, "PUT", "/api/hubs/chat/connections", ""); w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow: %q", w.Header().Get("Allow"))
	}
	if w := ask(h, "POST", "/api/hubs/chat/:send", "hi", plain, "Content-Encoding: gzip"); w.Code != 415 {
		t.Errorf("a compressed body: %d", w.Code)
	}
}

func TestWhatTheNodeCannotDoIsSaid(t *testing.T) {
	cases := []struct {
		name    string
		change  func(*dataplanetest.Node)
		request string
		status  int
		code    string
		header  string // "Name: value" that must be there
	}{
		{"full", func(n *dataplanetest.Node) { n.Err = delivery.ErrFull }, "POST /:send", 429, "TooManyRequests", "Retry-After: 1"},
		{"the hub went", func(n *dataplanetest.Node) { n.Err = delivery.ErrNoHub }, "GET /connections", 404, "HubNotFound", ""},
		{"failed", func(n *dataplanetest.Node) { n.Err = errors.New("secret") }, "POST /:send", 500, "InternalError", ""},
		{"groups of one", func(n *dataplanetest.Node) { n.MaxGroups = 1 }, "PUT /groups/x/connections/c1", 409, "TooManyGroups", "Sluice-Dropped: 1"},
		{"groups of some", func(n *dataplanetest.Node) { n.MaxGroups = 1 }, "PUT /users/ann/groups/x", 409, "TooManyGroups", "Sluice-Queued: 1"},
		{"pending send", func(n *dataplanetest.Node) { n.SetPending(2) }, "POST /:send", 202, "", "Sluice-Pending: 2"},
		{"pending join", func(n *dataplanetest.Node) { n.SetPending(2) }, "PUT /groups/x/connections/c9", 503, "Busy", "Retry-After: 1"},
		{"pending find", func(n *dataplanetest.Node) { n.SetPending(2) }, "HEAD /connections/c9", 503, "Busy", "Retry-After: 1"},
		{"pending, but found", func(n *dataplanetest.Node) { n.SetPending(2) }, "HEAD /connections/c1", 200, "", ""},
	}
	for _, c := range cases {
		n := newNode()
		c.change(n)
		method, path, _ := strings.Cut(c.request, " ")
		w := ask(newHandler(n), method, "/api/hubs/chat"+path, "hi", plain)
		if w.Code != c.status || w.Header().Get("X-Ms-Error-Code") != c.code || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s, want %d %s", c.name, w.Code, w.Body, c.status, c.code)
		}
		if name, value, ok := strings.Cut(c.header, ": "); ok && w.Header().Get(name) != value {
			t.Errorf("%s: %s is %q", c.name, name, w.Header().Get(name))
		}
	}
}

// endless is a body without an end that counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestABodyIsNotReadBeyondItsBound(t *testing.T) {
	for _, c := range []struct {
		path, media string
		bound       int
	}{
		{"/api/hubs/chat/:send", "text/plain", 64},
		{"/api/hubs/chat/:addToGroups", "application/json", maxObject},
	} {
		body := new(endless)
		r := httptest.NewRequest("POST", c.path, io.NopCloser(body))
		r.ContentLength = -1
		r.Header.Set("Authorization", "Bearer key")
		r.Header.Set("Content-Type", c.media)
		w := httptest.NewRecorder()
		newHandler(newNode()).ServeHTTP(w, r)
		if w.Code != 413 || body.read > c.bound+1 {
			t.Errorf("%s: %d after %d bytes", c.path, w.Code, body.read)
		}
	}
}

func TestABodyThatBreaksOffIsNotSent(t *testing.T) {
	n := newNode()
	r := httptest.NewRequest("POST", "/api/hubs/chat/:send", io.MultiReader(strings.NewReader("half"), broken{}))
	r.Header.Set("Authorization", "Bearer key")
	r.Header.Set("Content-Type", "text/plain")
	w := httptest.NewRecorder()
	newHandler(n).ServeHTTP(w, r)
	if w.Code != 400 || len(n.Messages("c1")) > 0 {
		t.Errorf("%d, and %d messages", w.Code, len(n.Messages("c1")))
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
