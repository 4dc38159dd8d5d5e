package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/metrics"
)

// hangingIssuer is one whose key set has been had, and cannot be had again.
type hangingIssuer struct {
	*issuer
	hangs  atomic.Bool
	others *issuer // one that answers
}

// hung starts a node with access keys and two issuers, the first of which hangs.
func hung(t *testing.T, loops, pending int) (*node, *hangingIssuer) {
	i := &hangingIssuer{issuer: newIssuer(t), others: newIssuer(t)}
	i.others.release()
	front := i.url
	i.url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if i.hangs.Load() {
			<-r.Context().Done()
			return
		}
		resp, err := http.Get(front)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		io.Copy(w, resp.Body)
	})
	i.release()
	n := start(t, func(cfg *config.Config) { i.configure(cfg, loops, pending, "EdDSA") })
	n.dialAs("/", "Authorization: Bearer "+i.token(t, "ann")).Close()
	i.hangs.Store(true)
	return n, i
}

func (i *hangingIssuer) configure(cfg *config.Config, loops, pending int, algorithms ...string) {
	withKey(cfg)
	cfg.Loops = loops
	cfg.Limits.PendingHandshakes = pending
	cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) {
		h.Issuers = map[string]config.Issuer{
			"corp":   {Issuer: "https://corp.example", JWKS: i.url, Algorithms: algorithms},
			"others": {Issuer: "https://others.example", JWKS: i.others.url},
		}
	})
}

// refetch has the key set fetched again, which hangs: the settings are new, and
// the keys are still known.
func (i *hangingIssuer) refetch(n *node, loops, pending int, algorithms ...string) {
	n.t.Helper()
	cfg := config.Default()
	cfg.Hubs = map[string]config.Hub{"default": n.settings.Load().hubs.Named("default").now.Load().config}
	i.configure(cfg, loops, pending, algorithms...)
	if err := n.Reload(cfg); err != nil {
		n.t.Fatal(err)
	}
}

// signed is a token with any issuer and kid.
func (i *issuer) signed(t *testing.T, iss, kid string) string {
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"iss": iss, "sub": "ann", "exp": time.Now().Add(time.Hour).Unix()})
	token.Header["kid"] = kid
	text, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// asking counts the handshakes that wait.
func (n *node) asking() int {
	count := 0
	n.each(func(c *client) {
		if c.State() == engine.Asking {
			count++
		}
	})
	return count
}

func TestTokensOfKnownKeysDoNotWaitBehindUnknownOnes(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		t.Parallel() // it mostly waits
		n, i := hung(t, loops, 4096)
		const unknown = 300 // more than are verified beside the loops at a time
		var waiting []*peer
		// A machine that is too slow to bring them all within one fetch gets another chance.
		for attempt := 0; ; attempt++ {
			i.refetch(n, loops, 4096, "EdDSA", []string{"RS256", "ES256"}[attempt%2])
			for k := range unknown {
				p := n.connect()
				p.say(request("/", "Authorization: Bearer "+i.signed(t, "https://corp.example", fmt.Sprint("unknown-", k))))
				waiting = append(waiting, p)
			}
			if attempt == 9 {
				t.Fatal("they never waited together")
			}
			until := time.Now().Add(3 * time.Second)
			for n.asking() < unknown && time.Now().Before(until) {
				time.Sleep(time.Millisecond)
			}
			if n.asking() >= unknown {
				break
			}
		}
		for range 20 {
			for name, token := range map[string]string{
				"known":          i.token(t, "ann"),
				"another issuer": i.others.signed(t, "https://others.example", "1"),
				"access key":     n.tokenFor(auth.ClientClaims{User: "ann"}),
			} {
				p := n.connect()
				p.say(request("/", "Authorization: Bearer "+token))
				if resp, err := http.ReadResponse(p.r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
					t.Errorf("%s: %v, %v", name, resp, err)
				}
				p.Close()
			}
		}
		for _, p := range waiting {
			p.wantNoKeySet()
			p.Close()
		}
		n.settled()
		if got := n.metric("sluice_handshakes_total", "result=overloaded"); got != 0 {
			t.Errorf("%v are counted as overloaded", got)
		}
		if got, want := n.metric("sluice_handshakes_total", "result=key_set"), float64(len(waiting)); got != want {
			t.Errorf("%v are counted, want %v", got, want)
		}
		if got, want := n.metric("sluice_auth_failures_total", "reason=keys"), float64(len(waiting)); got != want {
			t.Errorf("%v failures are counted, want %v", got, want)
		}
	})
}

// wantNoKeySet wants the answer that is true: it can be had later, perhaps.
func (p *peer) wantNoKeySet() {
	p.t.Helper()
	resp := p.wantStatus(http.StatusServiceUnavailable)
	body, _ := io.ReadAll(resp.Body)
	if string(body) != errNoKeySet.Reason || resp.Header.Get("Retry-After") == "" {
		p.t.Errorf("%q, Retry-After %q", body, resp.Header.Get("Retry-After"))
	}
}

// Of those who wait for a key set there is a bound, and those who do not are
// served while it is reached.
func TestThoseWhoWaitForAKeySetAreBounded(t *testing.T) {
	const pending = 8 // an eighth of them may wait
	n, i := hung(t, 1, pending)
	i.refetch(n, 1, pending, "EdDSA", "RS256")
	unknown := request("/", "Authorization: Bearer "+i.signed(t, "https://corp.example", "unknown"))
	first := n.connect()
	first.say(unknown)
	eventually(t, "the first waits", func() bool { return n.asking() == 1 })
	second := n.connect()
	second.say(unknown)
	second.wantNoKeySet()
	if got := n.metric("sluice_limit_reached_total", "limit="+metrics.LimitKeySets.String()); got != 1 {
		t.Errorf("the bound was reached %v times", got)
	}
	n.dialAs("/", "Authorization: Bearer "+i.token(t, "ann")).Close()
	first.wantNoKeySet()
	first.Close()
	second.Close()
	n.settled()
}

// A client that does not wait for the key set leaves nothing behind.
func TestAClientThatWaitsForAKeySetMayGo(t *testing.T) {
	n, i := hung(t, 1, 4096)
	i.refetch(n, 1, 4096, "EdDSA", "RS256")
	p := n.connect()
	p.say(request("/", "Authorization: Bearer "+i.signed(t, "https://corp.example", "unknown")) + strings.Repeat("x", 100))
	eventually(t, "it waits", func() bool { return n.asking() == 1 })
	p.Close()
	n.settled()
}
