package dataplane

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/gateway/dataplane/dataplanetest"
	"sluice/gateway/delivery"

	"pgregory.net/rapid"
)

// pages follows the links from a URL on, and returns what is on each page.
func pages(t rapid.TB, h http.Handler, url string) (all [][]delivery.Entry) {
	for range 1000 {
		w := ask(h, "GET", strings.TrimPrefix(url, "http://gateway.example"), "")
		var p page
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", url, w.Code, w.Body)
		}
		all = append(all, p.Value)
		if p.NextLink == "" {
			return all
		}
		url = p.NextLink
	}
	t.Fatalf("the list from %s does not end", url)
	return nil
}

func TestAListHasEverySessionOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := new(dataplanetest.Node)
		count := rapid.IntRange(0, 30).Draw(t, "sessions")
		var want []string
		for i := range count {
			id := fmt.Sprint("c", i)
			if rapid.Bool().Draw(t, "member") {
				n.Open("chat", id, "", "a/b")
				want = append(want, id)
			} else {
				n.Open("chat", id, "")
			}
		}
		size := rapid.IntRange(1, 10).Draw(t, "maxpagesize")
		url := fmt.Sprintf("/api/hubs/chat/groups/a%%2Fb/connections?api-version=x&maxpagesize=%d", size)
		if top := rapid.IntRange(0, 30).Draw(t, "top"); top > 0 {
			url += fmt.Sprint("&top=", top)
			want = want[:min(top, len(want))]
		}
		var got []string
		for _, page := range pages(t, newHandler(n), url) {
			if len(page) > size {
				t.Fatalf("%d sessions on a page of %d", len(page), size)
			}
			for _, e := range page {
				got = append(got, e.ConnectionID)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestAListIsAnswered(t *testing.T) {
	h := newHandler(newNode())
	cases := []struct{ request, want string }{
		{"GET /api/hubs/chat/connections", `{"value":[{"connectionId":"c1","userId":"ann"},{"connectionId":"c2","userId":"ann"},{"connectionId":"c3"}]}`},
		{"GET /api/hubs/chat/connections?filter=userId+eq+null", `{"value":[{"connectionId":"c3"}]}`},
		{"GET /api/hubs/chat/groups/red/connections", `{"value":[{"connectionId":"c1","userId":"ann"},{"connectionId":"c3"}]}`},
		{"GET /api/hubs/chat/groups/none/connections", `{"value":[]}`},
		{"GET /api/hubs/chat/connections?maxpagesize=1&api-version=7", `{"value":[{"connectionId":"c1","userId":"ann"}],"nextLink":"http://gateway.example/api/hubs/chat/connections?api-version=7&continuationToken=AAAAAAAB&maxpagesize=1"}`},
		{"GET /api/hubs/chat/connections?maxpagesize=1&top=1", `{"value":[{"connectionId":"c1","userId":"ann"}]}`},
		{"GET /api/hubs/chat/connections?maxpagesize=1&top=2", `{"value":[{"connectionId":"c1","userId":"ann"}],"nextLink":"http://gateway.example/api/hubs/chat/connections?continuationToken=AAAAAAAB&maxpagesize=1&top=1"}`},
	}
	for _, c := range cases {
		method, path, _ := strings.Cut(c.request, " ")
		w := ask(h, method, path, "")
		if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != c.want {
			t.Errorf("%s: %d %s, want %s", c.request, w.Code, got, c.want)
		}
	}
}

func TestALinkBeginsWithTheEndpointOrWithWhatTheRequestCameBy(t *testing.T) {
	link := func(o Options, secure bool) string {
		r := httptest.NewRequest("GET", "/api/hubs/chat/connections?maxpagesize=1", nil)
		r.Host = "[::1]:8080"
		r.Header.Set("Authorization", "Bearer key")
		if secure {
			r.TLS = new(tls.ConnectionState)
		}
		w := httptest.NewRecorder()
		Handler(o).ServeHTTP(w, r)
		var p page
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		before, _, _ := strings.Cut(p.NextLink, "/api/")
		return before
	}
	o := newOptions(newNode())
	if got := link(o, false); got != "http://[::1]:8080" {
		t.Errorf("plain: %s", got)
	}
	if got := link(o, true); got != "https://[::1]:8080" {
		t.Errorf("with TLS: %s", got)
	}
	o.Endpoint = func() string { return "https://ws.example.com" }
	if got := link(o, false); got != "https://ws.example.com" {
		t.Errorf("with an endpoint: %s", got)
	}
}

func TestACursorIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := delivery.Cursor{Loop: rapid.Uint16().Draw(t, "loop"), Slot: rapid.Uint32().Draw(t, "slot")}
		if got, err := parseCursor(formatCursor(c)); err != nil || got != c {
			t.Fatalf("%v became %v, %v", c, got, err)
		}
	})
}
