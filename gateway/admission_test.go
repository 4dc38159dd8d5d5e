package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

const allEvents = upstream.Connect | upstream.Connected | upstream.Message | upstream.Disconnected

// asks starts a node whose upstream decides who may connect.
func asks(t *testing.T, edit func(*config.Config)) (*node, *lateUpstream) {
	late := newLate(allEvents)
	return start(t, func(cfg *config.Config) {
		withUpstream(cfg)
		cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) { h.Anonymous = false })
		if edit != nil {
			edit(cfg)
		}
	}, late), late
}

func changed(h config.Hub, edit func(*config.Hub)) config.Hub {
	edit(&h)
	return h
}

func (ev lateEvent) reply(r upstream.Reply) { ev.sink.Reply(ev.From, r) }

// join is what a verdict gives whose client is to be in groups.
func join(groups ...string) []delivery.Action {
	return []delivery.Action{delivery.Join{Groups: groups}}
}

func (ev lateEvent) accept(v upstream.Verdict) { ev.reply(upstream.Reply{Verdict: &v}) }

// meant is how many sessions a target finds.
func (n *node) meant(t delivery.Target) int {
	n.t.Helper()
	t.Hub = "default"
	r, err := n.Do(n.t.Context(), t, delivery.Find{})
	if err != nil || r.Pending > 0 {
		n.t.Fatalf("%+v, %v", r, err)
	}
	return r.Matched
}

func TestUpstreamSaysWhoAClientIs(t *testing.T) {
	n, late := asks(t, nil)
	p := n.connect()
	p.say(request("/?room=7&access_token=", "Sec-WebSocket-Protocol: chat.v1, chat.v2", "Cookie: a=b", "cookie: c=d"))
	ev := late.next(t, upstream.Connect)
	r := ev.Request
	if r == nil || !slices.Equal(r.Subprotocols, []string{"chat.v1", "chat.v2"}) || r.Claims != nil {
		t.Errorf("request %+v", r)
	} else if !slices.Equal(r.Query["room"], []string{"7"}) || len(r.Query) != 1 || !slices.Equal(r.Headers["Cookie"], []string{"a=b", "c=d"}) {
		t.Errorf("query %v, headers %v", r.Query, r.Headers)
	}
	state := "c3RhdGU="
	ev.reply(upstream.Reply{State: &delivery.State{Value: state}, Verdict: &upstream.Verdict{User: "ann", Given: join("red", "blue", "red"), Subprotocol: "chat.v2"}})
	if got := p.wantStatus(http.StatusSwitchingProtocols).Header.Get("Sec-WebSocket-Protocol"); got != "chat.v2" {
		t.Errorf("subprotocol %q", got)
	}
	connected := late.next(t, upstream.Connected)
	if connected.User != "ann" || connected.State != state || connected.Subprotocol != "chat.v2" || connected.From != ev.From {
		t.Errorf("connected: %+v", connected.Event)
	}
	connected.reply(upstream.Reply{})
	for _, target := range []delivery.Target{
		{Kind: delivery.User, Name: "ann"}, {Kind: delivery.Group, Name: "red"}, {Kind: delivery.Group, Name: "blue"},
		{Kind: delivery.Connection, Name: n.id()},
	} {
		if got := n.meant(target); got != 1 {
			t.Errorf("%d sessions for %+v", got, target)
		}
	}
	p.send(text("hello"))
	message := late.next(t, upstream.Message)
	next := ""
	message.reply(upstream.Reply{Send: delivery.Send{Op: ws.OpText, Data: []byte("hi")}, State: &delivery.State{Value: next}})
	p.want(ws.OpText, "hi")
	p.Close()
	if bye := late.next(t, upstream.Disconnected); bye.User != "ann" || bye.State != "" || bye.Subprotocol != "chat.v2" {
		t.Errorf("disconnected: %+v", bye.Event)
	}
	n.settled()
	for _, name := range []string{"sluice_groups", "sluice_group_memberships"} {
		eventually(t, name+" is 0", func() bool { return n.metric(name) == 0 })
	}
	if got := n.meant(delivery.Target{Kind: delivery.User, Name: "ann"}); got != 0 {
		t.Error("the user is still there")
	}
}

// What a client sends behind its request, before it knows that it may, is
// served when it may.
func TestFramesBehindTheRequestWaitForTheVerdict(t *testing.T) {
	n, late := asks(t, nil)
	p := n.connect()
	long := strings.Repeat("x", 100_000)
	p.say(request("/") + string(text("first")) + string(text(long)))
	late.next(t, upstream.Connect).accept(upstream.Verdict{User: "ann"})
	p.wantStatus(http.StatusSwitchingProtocols)
	late.next(t, upstream.Connected).reply(upstream.Reply{})
	for _, want := range []string{"first", long} {
		ev := late.next(t, upstream.Message)
		if ev.data != want {
			t.Errorf("message of %d bytes, want %d", len(ev.data), len(want))
		}
		ev.answer()
		p.want(ws.OpText, want)
	}
	p.Close()
	late.next(t, upstream.Disconnected)
	n.settled()
}

func TestUpstreamTurnsClientsDown(t *testing.T) {
	for name, c := range map[string]struct {
		verdict upstream.Verdict
		status  int
		text    string
		result  metrics.Result
	}{
		"with a text":    {upstream.Verdict{Status: 403, Text: "banned"}, 403, "banned", metrics.ResultForbidden},
		"without one":    {upstream.Verdict{Status: 402}, 402, "refused by the upstream", metrics.ResultForbidden},
		"unauthorized":   {upstream.Verdict{Status: 401}, 401, "refused by the upstream", metrics.ResultForbidden},
		"out of service": {upstream.Verdict{Status: 503}, 503, "the upstream cannot decide now", metrics.ResultUpstream},
		"out of order":   {upstream.Verdict{Status: 502}, 502, "the upstream has failed", metrics.ResultUpstream},
	} {
		t.Run(name, func(t *testing.T) {
			n, late := asks(t, nil)
			p := n.connect()
			p.say(request("/"))
			late.next(t, upstream.Connect).accept(c.verdict)
			resp := p.wantStatus(c.status)
			body, _ := io.ReadAll(resp.Body)
			if string(body) != c.text {
				t.Errorf("body %q", body)
			}
			if again := resp.Header.Get("Retry-After"); (again != "") != (c.status == 503) {
				t.Errorf("Retry-After %q", again)
			}
			if challenge := resp.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
			p.wantEnd()
			p.Close()
			n.settled()
			n.publish()
			if n.metric("sluice_handshakes_total", "result="+c.result.String()) != 1 {
				t.Errorf("not counted as %s", c.result)
			}
			if len(late.events) > 0 {
				t.Error("the upstream was told of the end of a client that it has refused")
			}
		})
	}
}

// The upstream may have accepted a client although its answer was lost or none:
// it is told of an end, the same client's, once.
func TestAClientThatMayHaveBeenAcceptedIsToldOfAsGone(t *testing.T) {
	for _, loops := range []int{1, 4} {
		for _, status := range []int{502, 503, 403} {
			n, late := asks(t, func(cfg *config.Config) { cfg.Loops = loops })
			p := n.connect()
			p.say(request("/"))
			ev := late.next(t, upstream.Connect)
			ev.accept(upstream.Verdict{Status: status, Doubt: true})
			p.wantStatus(status)
			if bye := late.next(t, upstream.Disconnected); bye.From != ev.From {
				t.Errorf("the end of %v, want that of %v", bye.From, ev.From)
			}
			p.Close()
			n.settled()
			if len(late.events) > 0 {
				t.Error("the upstream is told more")
			}
		}
	}
}

func TestRefusalsCarryWhatTheUpstreamSaysOfTheWayIn(t *testing.T) {
	n, late := asks(t, nil)
	p := n.connect()
	p.say(request("/"))
	late.next(t, upstream.Connect).accept(upstream.Verdict{Status: 401, RetryAfter: "7", Authenticate: []string{`Basic realm="a b"`, "Bearer"}})
	h := p.wantStatus(401).Header
	if h.Get("Retry-After") != "7" || !slices.Equal(h["Www-Authenticate"], []string{`Basic realm="a b"`, "Bearer"}) {
		t.Errorf("headers %v", h)
	}
	p.Close()
	n.settled()
}

// A session that its upstream was never told of is closed before it sends
// anything, and ends as any other.
func TestASessionThatItsUpstreamWasNotToldOfIsClosed(t *testing.T) {
	for code, reason := range map[ws.StatusCode]metrics.Reason{
		ws.StatusInternalServerError: metrics.ReasonUpstreamFailed, session.StatusTryAgainLater: metrics.ReasonUpstreamOverload,
	} {
		n, late := asks(t, nil)
		p := n.connect()
		p.say(request("/") + string(text("held")))
		late.next(t, upstream.Connect).accept(upstream.Verdict{User: "ann"})
		p.wantStatus(http.StatusSwitchingProtocols)
		late.next(t, upstream.Connected).reply(upstream.Reply{Close: delivery.Close{Code: code}, Outcome: metrics.OutcomeFailed})
		p.want(ws.OpClose, body(code, ""))
		p.send(closeFrame(code))
		p.wantEnd()
		p.Close()
		if bye := late.next(t, upstream.Disconnected); bye.User != "ann" || bye.Reason != reason.String() {
			t.Errorf("disconnected: %+v", bye.Event)
		}
		n.settled()
	}
}

// Every client that was accepted has an end, and no other.
func TestClientsThatDoNotWaitForTheVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		verdict upstream.Verdict
		told    bool
	}{
		"accepted": {upstream.Verdict{User: "ann"}, true},
		"in doubt": {upstream.Verdict{Status: 503, Doubt: true, User: "ann"}, true},
		"refused":  {upstream.Verdict{Status: 403}, false},
	} {
		t.Run(name, func(t *testing.T) {
			n, late := asks(t, nil)
			p := n.connect()
			p.say(request("/"))
			ev := late.next(t, upstream.Connect)
			p.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
			p.Close()
			eventually(t, "the client is gone", func() bool {
				return n.metric("sluice_handshakes_total", "result=client_gone") == 1
			})
			ev.accept(c.verdict)
			if c.told {
				if bye := late.next(t, upstream.Disconnected); bye.From != ev.From || bye.User != "ann" {
					t.Errorf("the end of another: %+v", bye.Event)
				}
			}
			n.settled()
			if len(late.events) > 0 {
				t.Error("more events than expected")
			}
		})
	}
}

func TestAcceptedClientsThatCannotComeInHaveAnEnd(t *testing.T) {
	tooMany := make([]string, 4)
	for i := range tooMany {
		tooMany[i] = string(rune('a' + i))
	}
	for name, c := range map[string]struct {
		verdict   upstream.Verdict
		meanwhile func(*node)
		status    int
	}{
		"nobody says who it is": {upstream.Verdict{}, nil, 401},
		"too many groups":       {upstream.Verdict{User: "ann", Given: join(tooMany...)}, nil, 403},
		"draining":              {upstream.Verdict{User: "ann"}, func(n *node) { n.draining.Store(true) }, 503},
		"hub removed": {upstream.Verdict{User: "ann"}, func(n *node) {
			cfg := config.Default()
			cfg.Hubs = map[string]config.Hub{"other": {Upstream: config.Upstream{URL: "echo:"}}}
			if err := n.Reload(cfg); err != nil {
				n.t.Fatal(err)
			}
		}, 404},
	} {
		t.Run(name, func(t *testing.T) {
			n, late := asks(t, limited(func(l *config.Limits) { l.Groups = 3 }))
			p := n.connect()
			p.say(request("/"))
			ev := late.next(t, upstream.Connect)
			if c.meanwhile != nil {
				c.meanwhile(n)
			}
			ev.accept(c.verdict)
			p.wantStatus(c.status)
			if bye := late.next(t, upstream.Disconnected); bye.From != ev.From {
				t.Error("the end of another")
			}
			p.Close()
			n.settled()
		})
	}
}

const accessKey = "0123456789abcdef0123456789abcdef"

// withKey makes the default hub one that wants tokens, of the echo upstream.
func withKey(cfg *config.Config) {
	cfg.Keys = []string{accessKey}
	cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) { h.Anonymous = false })
}

// tokenFor makes a token of the default hub.
func (n *node) tokenFor(c auth.ClientClaims) string {
	n.t.Helper()
	c.Endpoint, c.Hub = "http://sluice.test", "default"
	token, err := auth.NewKeys([]string{accessKey}).ClientToken(c)
	if err != nil {
		n.t.Fatal(err)
	}
	return token
}

func TestTokensSayWhoAClientIs(t *testing.T) {
	n := start(t, withKey)
	token := n.tokenFor(auth.ClientClaims{User: "ann", Groups: []string{"red"}, Roles: []string{"webpubsub.sendToGroup.red"}})
	for name, p := range map[string]*peer{
		"query":  n.dialAs("/client/hubs/default?access_token=" + token),
		"header": n.dialAs("/", "Authorization: Bearer "+token),
	} {
		p.send(text(name))
		p.want(ws.OpText, name)
	}
	if got := n.meant(delivery.Target{Kind: delivery.Group, Name: "red"}); got != 2 {
		t.Errorf("%d members", got)
	}
	may := delivery.Permission{Verb: delivery.SendToGroup, Group: "red"}
	r, err := n.Do(t.Context(), delivery.Target{Hub: "default", Kind: delivery.User, Name: "ann"}, delivery.Find{Permission: &may})
	if err != nil || r.Queued != 2 {
		t.Errorf("%+v, %v: want two sessions with the permission", r, err)
	}
}

// dialAs is dial for any path.
func (n *node) dialAs(path string, lines ...string) *peer {
	n.t.Helper()
	p := n.connect()
	p.say(request(path, lines...))
	p.wantStatus(http.StatusSwitchingProtocols)
	return p
}

func TestBadTokensAreRefusedAndCounted(t *testing.T) {
	n := start(t, withKey)
	stranger, err := auth.NewKeys([]string{"another-key-of-enough-characters"}).ClientToken(auth.ClientClaims{Endpoint: "http://sluice.test", Hub: "default"})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := auth.NewKeys([]string{accessKey}).ClientToken(auth.ClientClaims{Endpoint: "http://sluice.test", Hub: "other"})
	if err != nil {
		t.Fatal(err)
	}
	for reason, token := range map[string]string{
		"missing":   "",
		"malformed": "nonsense",
		"signature": stranger,
		"audience":  elsewhere,
	} {
		t.Run(reason, func(t *testing.T) {
			p := n.connect()
			p.say(request("/?access_token=" + token))
			resp := p.wantStatus(http.StatusUnauthorized)
			body, _ := io.ReadAll(resp.Body)
			if token != "" && strings.Contains(string(body)+n.log.String(), token) {
				t.Error("the token is shown")
			}
			if resp.Header.Get("WWW-Authenticate") == "" {
				t.Error("no challenge")
			}
			if got := n.metric("sluice_auth_failures_total", "reason="+reason); got != 1 {
				t.Errorf("counted %v times", got)
			}
		})
	}
}

func TestSessionsEndWithTheirTokensIfTheHubSaysSo(t *testing.T) {
	for _, expire := range []bool{true, false} {
		n := start(t, func(cfg *config.Config) {
			withKey(cfg)
			cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) { h.Expire = expire })
		})
		p := n.dialAs("/?access_token=" + n.tokenFor(auth.ClientClaims{User: "ann", TTL: 2 * time.Second}))
		if expire {
			f, err := p.frame()
			if err != nil || f.Header.OpCode != ws.OpClose {
				t.Fatalf("%+v, %v", f.Header, err)
			}
			if code, _ := ws.ParseCloseFrameData(f.Payload); code != ws.StatusPolicyViolation {
				t.Errorf("close code %d", code)
			}
			p.Close()
			n.closedFor(metrics.ReasonTokenExpired)
			continue
		}
		time.Sleep(2500 * time.Millisecond) // that it does not happen can only be waited for
		p.send(text("still here"))
		p.want(ws.OpText, "still here")
	}
}

// A token of somebody else's is verified beside the loop.
func TestTokensOfIssuersAreVerifiedBesideTheLoop(t *testing.T) {
	issuer := newIssuer(t)
	n := start(t, func(cfg *config.Config) {
		cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) {
			h.Anonymous = false
			h.Issuers = map[string]config.Issuer{"corp": {Issuer: "https://corp.example", JWKS: issuer.url}}
		})
	})
	p := n.connect()
	p.say(request("/", "Authorization: Bearer "+issuer.token(t, "ann")) + string(text("early")))
	eventually(t, "the client waits", func() bool {
		waits := false
		n.each(func(c *client) { waits = waits || c.State() == engine.Asking })
		return waits
	})
	issuer.release()
	p.wantStatus(http.StatusSwitchingProtocols)
	p.want(ws.OpText, "early")
	if got := n.meant(delivery.Target{Kind: delivery.User, Name: "ann"}); got != 1 {
		t.Errorf("%d sessions of the user", got)
	}
	q := n.connect()
	q.say(request("/", "Authorization: Bearer "+issuer.token(t, "ann")+"x"))
	q.wantStatus(http.StatusUnauthorized)
	p.Close()
	q.Close()
	n.settled()
}

// Whether a token is good may be known later, and is not known to be wrong.
func TestTokensOfIssuersThatDoNotAnswerAreToComeBack(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) {
			h.Anonymous = false
			h.Issuers = map[string]config.Issuer{"corp": {Issuer: "https://corp.example", JWKS: "http://127.0.0.1:1/keys"}}
		})
	})
	p := n.connect()
	p.say(request("/", "Authorization: Bearer "+newIssuer(t).token(t, "ann")))
	if again := p.wantStatus(http.StatusServiceUnavailable).Header.Get("Retry-After"); again == "" {
		t.Error("no Retry-After")
	}
	if got := n.metric("sluice_auth_failures_total", "reason=keys"); got != 1 {
		t.Errorf("counted %v times", got)
	}
	p.Close()
	n.settled()
}

// The budget is charged with a handshake that waits, and only with that.
func TestHandshakesThatWaitAreChargedToTheBudget(t *testing.T) {
	n, late := asks(t, func(cfg *config.Config) { cfg.Limits.Buffered = config.MiB })
	rest := int(n.budget.Limit())
	if !n.budget.Take(rest) {
		t.Fatal("the budget cannot be taken")
	}
	p := n.connect()
	p.say(request("/"))
	p.wantStatus(http.StatusServiceUnavailable)
	n.budget.Give(rest)
	if len(late.events) > 0 {
		t.Error("the upstream was asked")
	}
	p.Close()
	n.settled()
}

func TestConnectRequestsAreJSONAble(t *testing.T) {
	n, late := asks(t, nil)
	p := n.connect()
	p.say(request("/?a=%ff&b=%zz&c=1;d=100%"))
	ev := late.next(t, upstream.Connect)
	if _, err := json.Marshal(ev.Request); err != nil {
		t.Error(err)
	}
	if got := url.Values(ev.Request.Query); got.Get("b") != "%zz" || got.Get("c") != "1;d=100%" || len(got) != 3 {
		t.Errorf("query %q", got)
	}
	ev.accept(upstream.Verdict{Status: 403})
	p.wantStatus(403)
}

func TestIdentityIsSmall(t *testing.T) {
	if size := sizeOf[identity](); size > 64 {
		t.Errorf("an identity takes %d bytes", size)
	}
	if size := sizeOf[session.Member](); size > 48 {
		t.Errorf("a member takes %d bytes", size)
	}
}
