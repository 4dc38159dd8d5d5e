package gateway

import (
	"net/http"
	"strings"
	"testing"

	"sluice/gateway/config"
)

// healthOf is a request whose head has that many bytes.
func healthOf(bytes int) string {
	const begin, end = "GET /api/health HTTP/1.1\r\nHost: sluice.test\r\nA: ", "\r\n\r\n"
	return begin + strings.Repeat("x", bytes-len(begin)-len(end)) + end
}

// The server behind the parser takes heads of any length that limits.head may
// allow, so that each head has to be held to it before, as the first one is.
func TestEveryHeadOnAKeptConnectionIsHeldToItsLimit(t *testing.T) {
	for _, limit := range []int{4 << 10, 8 << 10, 64 << 10} {
		limited := func(cfg *config.Config) { cfg.Limits.Head = config.Size(limit) }
		n := start(t, limited)
		for _, before := range []int{0, 1, 3} {
			p := n.connect()
			for range before {
				p.say(healthOf(limit))
				p.wantBody(http.StatusOK, "ok\n")
			}
			p.say(healthOf(limit + 1))
			p.wantStatus(http.StatusRequestHeaderFieldsTooLarge)
			p.wantAnswerEnd()

			// One that does not end is refused as soon as it is too long.
			p = n.connect()
			for range before {
				p.say(healthCheck)
				p.wantBody(http.StatusOK, "ok\n")
			}
			p.say(healthOf(limit + 8)[:limit])
			p.wantStatus(http.StatusRequestHeaderFieldsTooLarge)
			p.wantAnswerEnd()

			// So is one that came together with those before it.
			p = n.connect()
			p.say(strings.Repeat(healthOf(limit), before) + healthOf(limit+1))
			for range before {
				p.wantBody(http.StatusOK, "ok\n")
			}
			p.wantStatus(http.StatusRequestHeaderFieldsTooLarge)
			p.wantAnswerEnd()
		}
	}
}

func TestLoweredLimitOfHeadsHoldsOnKeptConnections(t *testing.T) {
	n := start(t, nil)
	p, q := n.connect(), n.connect()
	for _, p := range []*peer{p, q} {
		p.say(healthOf(8 << 10))
		p.wantBody(http.StatusOK, "ok\n")
	}
	if err := n.Reload(reloaded(func(cfg *config.Config) { cfg.Limits.Head = 2 << 10 })); err != nil {
		t.Fatal(err)
	}
	p.say(healthOf(2<<10 + 1))
	p.wantStatus(http.StatusRequestHeaderFieldsTooLarge)
	q.say(healthOf(2 << 10))
	q.wantBody(http.StatusOK, "ok\n")
}
