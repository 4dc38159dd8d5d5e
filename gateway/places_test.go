package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
	"sluice/session"
)

// bouncer is an upstream that lets everybody in, after a while, and counts
// whom it has let in and not been told the end of.
type bouncer struct {
	mu       sync.Mutex
	inside   map[session.Ref]bool
	most     int
	accepted map[string]bool // by the query's id
	wait     func()
	working  sync.WaitGroup
}

func (b *bouncer) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Connect | upstream.Disconnected}
}

func (b *bouncer) Send(ev *upstream.Event, late upstream.Sink) (upstream.Reply, bool) {
	if ev.Type == upstream.Disconnected {
		b.mu.Lock()
		delete(b.inside, ev.From)
		b.mu.Unlock()
		return upstream.Reply{}, true
	}
	from, id := ev.From, ev.Request.Query["id"][0]
	b.working.Go(func() {
		b.wait()
		b.mu.Lock()
		b.inside[from], b.accepted[id] = true, true
		b.most = max(b.most, len(b.inside))
		b.mu.Unlock()
		late.Reply(from, upstream.Reply{Verdict: &upstream.Verdict{User: "ann"}})
	})
	return upstream.Reply{}, false
}

func (b *bouncer) Close(context.Context) int {
	b.working.Wait()
	return 0
}

// The upstream accepts no more clients than there are places, and whom it
// accepts gets in, while clients come and go in every way.
func TestUpstreamAcceptsNoMoreClientsThanThereArePlaces(t *testing.T) {
	const places, visitors, visits = 3, 12, 40
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		b := &bouncer{
			inside: make(map[session.Ref]bool), accepted: make(map[string]bool),
			wait: func() { time.Sleep(time.Millisecond) }, // for the others to come meanwhile
		}
		n := start(t, func(cfg *config.Config) {
			withUpstream(cfg)
			cfg.Loops = loops
			cfg.Limits.Connections = places
		}, b)
		var clients sync.WaitGroup
		var mu sync.Mutex
		var entered, refused int
		for v := range visitors {
			clients.Go(func() {
				for i := range visits {
					id := fmt.Sprint(v, "-", i)
					status := n.visit(t, "/?id="+id, (v+i)%4 == 0, i%2 == 0)
					b.mu.Lock()
					if status == http.StatusServiceUnavailable && b.accepted[id] {
						t.Errorf("client %s was refused after the upstream had accepted it", id)
					}
					b.mu.Unlock()
					mu.Lock()
					switch status {
					case http.StatusSwitchingProtocols:
						entered++
					case http.StatusServiceUnavailable:
						refused++
					}
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		n.settled()
		if b.most > places || len(b.inside) != 0 {
			t.Errorf("the upstream had let in %d at a time, of %d places; %d are left", b.most, places, len(b.inside))
		}
		if b.most < places || entered == 0 || refused == 0 {
			t.Errorf("%d at a time, %d entered, %d refused: nothing was tested", b.most, entered, refused)
		}
	})
}

// visit comes and goes, before an answer if the visitor is impatient, and with
// a reset if it is rude. It returns the status, if there was one.
func (n *node) visit(t *testing.T, path string, impatient, rude bool) (status int) {
	p := n.connect()
	defer p.Close()
	if rude {
		defer p.reset()
	}
	p.say(request(path))
	if impatient {
		return 0
	}
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		t.Errorf("no answer: %v", err)
		return 0
	}
	return resp.StatusCode
}

// Each way to end before there is a session gives the place back.
func TestPlaceIsGivenBackWhenNoSessionComesOfIt(t *testing.T) {
	groups := strings.Split(strings.Repeat("g ", 3)+"a b c", " ")
	for _, c := range []struct {
		name string
		end  func(*peer, lateEvent)
	}{
		{"refused", func(p *peer, ev lateEvent) {
			ev.accept(upstream.Verdict{Status: 403})
			p.wantStatus(403)
		}},
		{"not answered", func(p *peer, ev lateEvent) {
			ev.accept(upstream.Verdict{Status: 503})
			p.wantStatus(503)
		}},
		{"accepted into too many groups", func(p *peer, ev lateEvent) {
			ev.accept(upstream.Verdict{User: "ann", Given: join(groups...)})
			p.wantStatus(403)
		}},
		{"gone, then accepted", func(p *peer, ev lateEvent) {
			p.reset()
			ev.accept(upstream.Verdict{User: "ann"})
		}},
		{"gone, then refused", func(p *peer, ev lateEvent) {
			p.reset()
			ev.accept(upstream.Verdict{Status: 403})
		}},
		{"accepted and gone", func(p *peer, ev lateEvent) {
			ev.accept(upstream.Verdict{User: "ann"})
			p.wantStatus(101)
			p.reset()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			late := newLate(upstream.Connect)
			n := start(t, func(cfg *config.Config) {
				withUpstream(cfg)
				cfg.Limits.Connections = 1
				cfg.Limits.Groups = 3
			}, late)
			p := n.connect()
			p.say(request("/"))
			ev := late.next(t, upstream.Connect)
			for range 3 { // the place is taken
				q := n.connect()
				q.say(request("/"))
				q.wantBusy()
				q.Close()
			}
			c.end(p, ev)
			p.Close()
			n.settled()
			q := n.connect()
			q.say(request("/"))
			late.next(t, upstream.Connect).accept(upstream.Verdict{User: "bob"})
			q.wantStatus(101)
		})
	}
}

// A place is taken before the token is looked at where that takes time.
func TestTokenThatIsVerifiedHoldsAPlace(t *testing.T) {
	i := newIssuer(t)
	n := start(t, func(cfg *config.Config) {
		cfg.Limits.Connections = 1
		cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) {
			h.Issuers = map[string]config.Issuer{"corp": {Issuer: "https://corp.example", JWKS: i.url}}
		})
	})
	p := n.connect()
	p.say(request("/?access_token=" + i.token(t, "ann")))
	n.awaits("the token is verified", func(c *client) bool { return c.State() == engine.Asking })
	q := n.connect()
	q.say(request("/?access_token=" + i.token(t, "bob")))
	q.wantBusy()
	q.Close()
	i.release()
	p.wantStatus(http.StatusSwitchingProtocols)
	p.Close()
	n.settled()
}

// What a token alone makes too much the upstream is not asked about.
func TestTokenWithTooManyGroupsIsRefusedBeforeTheUpstreamIsAsked(t *testing.T) {
	late := newLate(upstream.Connect)
	n := start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		cfg.Keys = []string{accessKey}
		cfg.Limits.Groups = 2
	}, late)
	p := n.connect()
	p.say(request("/?access_token=" + n.tokenFor(auth.ClientClaims{User: "ann", Groups: []string{"a", "b", "c"}})))
	p.wantStatus(http.StatusForbidden)
	p.Close()
	q := n.connect()
	q.say(request("/?access_token=" + n.tokenFor(auth.ClientClaims{User: "ann", Groups: []string{"a", "b", "a", "b"}})))
	late.next(t, upstream.Connect).accept(upstream.Verdict{})
	q.wantStatus(http.StatusSwitchingProtocols)
	q.Close()
	n.settled()
	if len(late.events) > 0 {
		t.Error("the upstream was asked for the first")
	}
	if got := n.metric("sluice_limit_reached_total", "limit=groups"); got != 1 {
		t.Errorf("counted %v times", got)
	}
}
