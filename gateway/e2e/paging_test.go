package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

// apiKey opens the data plane.
const apiKey = "e2e-api-key-0123456789"

// rest asks the data plane and returns status and body.
func rest(ctx context.Context, g *gatewaytest.Command, method, path, contentType, body string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, gatewaytest.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+g.Address+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+apiKey)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// members reads all pages of a group, and returns how often each user is on
// them. No connection may be on two.
func members(ctx context.Context, g *gatewaytest.Command, group string, size int) (map[string]int, error) {
	users, connections := map[string]int{}, map[string]bool{}
	path := fmt.Sprintf("/api/hubs/default/groups/%s/connections?api-version=2024-12-01&maxpagesize=%d", group, size)
	for path != "" {
		status, body, err := rest(ctx, g, http.MethodGet, path, "", "")
		if err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("%s: %d %s: %w", path, status, body, err)
		}
		var page struct {
			Value    []struct{ ConnectionID, UserID string }
			NextLink string
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, fmt.Errorf("%s: %w", body, err)
		}
		if len(page.Value) > size {
			return nil, fmt.Errorf("%d on a page of %d", len(page.Value), size)
		}
		for _, entry := range page.Value {
			if connections[entry.ConnectionID] {
				return nil, fmt.Errorf("connection %s of %s is on two pages", entry.ConnectionID, entry.UserID)
			}
			connections[entry.ConnectionID] = true
			users[entry.UserID]++
		}
		next, err := url.Parse(page.NextLink)
		if err != nil {
			return nil, err
		}
		path = next.RequestURI()
		if page.NextLink == "" {
			path = ""
		}
	}
	return users, nil
}

// TestPagesHaveEveryMemberThatStaysOnceWhileOthersComeAndGo reads the pages of
// a group over all loops, while clients join and leave it, connect and go.
func TestPagesHaveEveryMemberThatStaysOnceWhileOthersComeAndGo(t *testing.T) {
	gatewaytest.EachLoopCount(t, testPaging)
}

func testPaging(t *testing.T, loops int) {
	t.Parallel() // it mostly waits
	const stayers, movers, guests = 60, 40, 2
	backend := serveHooks(t, func(w http.ResponseWriter, _ *http.Request, e event) {
		if e.name != "connect" {
			reply(w, e)
			return
		}
		var connect struct{ Query map[string][]string }
		if err := json.Unmarshal([]byte(e.body), &connect); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"userId": connect.Query["user"][0], "groups": connect.Query["group"]})
	})
	g := gatewaytest.Launch(t, fmt.Sprintf("loops: %d\napi_keys: [%s]\nhubs: {default: {paths: [/], upstream: {url: 'http://%s/'}}}\n", loops, apiKey, backend.address))
	enter := func(ctx context.Context, user, query string) (*websocket.Conn, error) {
		conn, _, err := websocket.Dial(ctx, g.URL()+"?user="+user+query, nil)
		return conn, err
	}
	for i := range stayers + movers { // mixed, so that their slots are
		query := ""
		if i%5 < 3 {
			query = "&group=room"
		}
		conn, err := enter(t.Context(), fmt.Sprint("user", i), query)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
	}
	stays := func(i int) bool { return i%5 < 3 }

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for n := range guests {
		random := rand.New(rand.NewPCG(uint64(n), 1))
		wg.Go(func() { // joins and leaves
			for ctx.Err() == nil {
				i := random.IntN(stayers + movers)
				if stays(i) {
					continue
				}
				method := []string{http.MethodPut, http.MethodDelete}[random.IntN(2)]
				if status, body, err := rest(ctx, g, method, fmt.Sprintf("/api/hubs/default/users/user%d/groups/room", i), "", ""); err == nil && status >= 300 {
					t.Errorf("%s: %d %s", method, status, body)
				}
			}
		})
		wg.Go(func() { // comes and goes
			for ctx.Err() == nil {
				if conn, err := enter(ctx, "guest", "&group=room"); err == nil {
					conn.CloseNow()
				}
			}
		})
	}
	rounds := 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); rounds++ {
		users, err := members(t.Context(), g, "room", 1+rounds%23)
		if err != nil {
			t.Error(err)
			break
		}
		for i := range stayers + movers {
			n := users[fmt.Sprint("user", i)]
			if stays(i) && n != 1 || n > 1 {
				t.Errorf("round %d: user%d is on the pages %d times", rounds, i, n)
			}
		}
	}
	stop()
	wg.Wait()
	t.Logf("%d times through the pages", rounds)
}
