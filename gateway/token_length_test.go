package gateway

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway/auth"
	"sluice/gateway/config"
)

// A token is as long as the head that it comes in may be, and what is too long
// is the head.
func TestATokenMayBeAsLongAsTheHead(t *testing.T) {
	for name, c := range map[string]struct {
		head                config.Size
		loops, long, status int
	}{
		"by default":             {8 * config.KiB, 1, 6_000, http.StatusSwitchingProtocols},
		"too long by default":    {8 * config.KiB, 1, 9_000, http.StatusRequestHeaderFieldsTooLarge},
		"as configured":          {32 * config.KiB, 4, 30_000, http.StatusSwitchingProtocols},
		"too long as configured": {32 * config.KiB, 4, 33_000, http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, func(cfg *config.Config) {
				withKey(cfg)
				cfg.Loops = c.loops
				cfg.Limits.Head = c.head
			})
			token := n.tokenFor(auth.ClientClaims{User: "ann"})
			for pad := 0; len(token) < c.long; pad += 128 {
				token = n.tokenFor(auth.ClientClaims{User: "ann", Roles: []string{strings.Repeat("x", pad)}})
			}
			for i, head := range []string{request("/", "Authorization: Bearer "+token), request("/?access_token=" + token)} {
				p := n.connect()
				p.say(head)
				status := c.status
				if i == 1 && status == http.StatusRequestHeaderFieldsTooLarge {
					status = http.StatusRequestURITooLong // it is in the target
				}
				if p.wantStatus(status); status == http.StatusSwitchingProtocols {
					p.send(text("hello"))
					p.want(ws.OpText, "hello")
				}
				p.Close()
			}
			n.settled()
		})
	}
}

// The token of a push that excludes two hundred connections names each of them,
// as its URL does.
func TestAPushMayExcludeManyIfTheHeadMayBeLong(t *testing.T) {
	for head, want := range map[config.Size]int{
		8 * config.KiB:  http.StatusRequestHeaderFieldsTooLarge,
		32 * config.KiB: http.StatusAccepted,
	} {
		n := start(t, func(cfg *config.Config) {
			withKey(cfg)
			cfg.Limits.Head = head
		})
		target := "/api/hubs/default/:send?excluded=" + strings.Repeat("0123456789abcdefghijklmnopqr&excluded=", 199) + "x"
		token, err := auth.NewKeys([]string{accessKey}).DataPlaneToken("http://sluice.test"+target, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := n.connect()
		p.say("POST " + target + " HTTP/1.1\r\nHost: sluice.test\r\nAuthorization: Bearer " + token +
			"\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
		resp, err := http.ReadResponse(bufio.NewReader(p.Conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != want {
			t.Errorf("limits.head %v: %s, %s", head, resp.Status, body)
		}
		p.Close()
		n.settled()
	}
}
