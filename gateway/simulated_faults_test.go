package gateway

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
	"sluice/netpoll/netpolltest"
	"sluice/session"
)

// Each test here tells of a fault that the simulation has found, without the chance that found it.

// scripted is a simulated node whose clients do what the test says.
func scripted(t *testing.T) *simulation {
	s := simulate(t, 0, 1)
	s.world.Cost, s.world.Room = 0, 64<<10
	s.world.Settle(1000)
	t.Cleanup(s.stop)
	return s
}

// come connects a client to a hub, with a token, and says more after the request.
func (s *simulation) come(hub string, token *simulatedToken) *netpolltest.Peer {
	s.t.Helper()
	p, err := s.world.Dial(s.listeners...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.visits = append(s.visits, &visit{simulation: s, hub: hub, token: token})
	p.Write([]byte("GET /client/hubs/" + hub + "?c=0&access_token=" + token.String() + " HTTP/1.1\r\nHost: simulated\r\nUpgrade: websocket\r\n" +
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	return p
}

// A hub without connect events lets a client in as soon as its token is verified. What had come meanwhile was read only
// when more came, and an end of the client's direction only when its heartbeat failed.
func TestWhatAClientSaysWhileItsTokenIsVerifiedIsHeard(t *testing.T) {
	s := scripted(t)
	p := s.come("echo", &simulatedToken{way: 'b', user: "u0", until: s.world.Wall().Add(time.Hour)})
	s.world.Settle(1000)
	if s.aside.count != 1 {
		t.Fatalf("%d tokens are verified", s.aside.count)
	}
	p.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("early")))))
	p.CloseWrite()
	s.world.Settle(1000)
	s.pass(time.Second)
	b, _ := p.Read(1 << 10)
	if said := string(b); !strings.HasPrefix(said, "HTTP/1.1 101") || !strings.HasSuffix(said, "\x81\x05early") {
		t.Errorf("the client hears %q", said)
	}
	if s.sessions.Load() != 0 {
		t.Error("the end of the client's direction was not noticed")
	}
}

// A letter that is read in slices was given up half read when the loop ended meanwhile: who waited for its answer
// waited in vain, and what it held was lost.
func TestLettersReadInSlicesAreReadToTheirEndWhenTheLoopEnds(t *testing.T) {
	s := scripted(t)
	s.cutOff()
	slices := 0
	if !s.loops[0].post(letter{run: func(*loop) bool {
		slices++
		return slices == 3
	}}) {
		t.Fatal("the loop takes no letter")
	}
	s.world.Settle(1000)
	if slices != 3 {
		t.Errorf("%d slices of the letter were read, of 3", slices)
	}
}

// What a drain had still to close when it was cut off was counted for ever.
func TestADrainThatIsCutOffHasNothingLeftToClose(t *testing.T) {
	s := scripted(t)
	for range 3 {
		s.come("echo", &simulatedToken{way: 'a', user: "u0", until: s.world.Wall().Add(time.Hour)})
	}
	s.world.Settle(1000)
	l := s.loops[0]
	l.post(letter{run: func(l *loop) bool {
		l.beginDrain(100, time.Minute)
		return true
	}})
	s.pass(time.Second)
	s.cutOff()
	s.world.Settle(1000)
	l.metrics.Publish()
	if n := gatewaytest.Gather(t, s.registry).Sum("sluice_drain_remaining_connections"); n != 0 {
		t.Errorf("%v connections are still to be closed", n)
	}
}

// refuser answers its first message at length, and is overloaded then.
type refuser struct{ messages int }

func (*refuser) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Message | upstream.Disconnected}
}
func (*refuser) Close(context.Context) int { return 0 }

func (u *refuser) Send(ev *upstream.Event, _ upstream.Sink) (r upstream.Reply, inline bool) {
	if ev.Type == upstream.Message {
		if u.messages++; u.messages == 1 {
			r.Send = delivery.Send{Op: ws.OpBinary, Data: make([]byte, 300<<10)}
		} else {
			r.Close.Code = session.StatusTryAgainLater
		}
	}
	return r, true
}

// What a client that is gone had said went on to its upstream after that had refused a message, if the client had been
// held for not reading.
func TestNoMessageFollowsOneThatTheUpstreamHasRefused(t *testing.T) {
	s := scripted(t)
	u := new(refuser)
	hs := *s.settings.Load().hubs.Named("echo").now.Load()
	hs.upstream, hs.traits = u, u.Traits()
	hs.hub.now.Store(&hs)
	p := s.come("echo", &simulatedToken{way: 'a', user: "u0", until: s.world.Wall().Add(time.Hour)})
	s.world.Settle(1000)
	for range 3 {
		p.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("hello")))))
	}
	s.world.Settle(1000)
	if u.messages != 1 {
		t.Fatalf("the upstream has %d messages, want 1", u.messages)
	}
	p.Reset()
	s.world.Settle(1000)
	if s.sessions.Load() != 0 || u.messages != 2 {
		t.Errorf("the upstream has %d messages, want 2, of which it has refused the last; %d sessions are left", u.messages, s.sessions.Load())
	}
}

// spoilt is an upstream that panics at messages and at ends.
type spoilt struct{}

func (spoilt) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Message | upstream.Disconnected, Inline: true}
}
func (spoilt) Close(context.Context) int { return 0 }
func (spoilt) Send(*upstream.Event, upstream.Sink) (upstream.Reply, bool) {
	panic("the upstream has a bug")
}

// The slot of a client whose end had panicked, too, went to its next tenant with the user, the groups and the hub of the
// one before.
func TestNobodyInheritsFromWhoseEndHasPanicked(t *testing.T) {
	s := scripted(t)
	hs := *s.settings.Load().hubs.Named("echo").now.Load()
	hs.upstream, hs.traits = spoilt{}, spoilt{}.Traits()
	hs.hub.now.Store(&hs)
	p := s.come("echo", &simulatedToken{way: 'a', user: "u0", until: s.world.Wall().Add(time.Hour)})
	s.world.Settle(1000)
	l := s.loops[0]
	if c := l.at(0); c.UserID() != "u0" {
		t.Fatalf("the user is %q", c.UserID())
	}
	p.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("hello")))))
	s.world.Settle(1000)
	if c := l.at(0); *c != (client{Stream: c.Stream}) || c.State() != engine.Vacant {
		t.Errorf("the slot is %v, and the next tenant would find %+v", c.State(), *c)
	}
	if n := s.sessions.Load() + s.places.Load() + int64(l.remains.Len()); n != 0 {
		t.Errorf("%d sessions and %d places are left", s.sessions.Load(), s.places.Load())
	}
}

// What was kept of a client whose token was being verified, or whom the backend was asked about, was kept for as long as
// its slot was not asked about again.
func TestNothingIsKeptOfWhoLeavesWhileSomebodyIsAsked(t *testing.T) {
	for _, hub := range []string{"echo", "default"} {
		s := scripted(t)
		p := s.come(hub, &simulatedToken{way: 'b', user: "u0", until: s.world.Wall().Add(time.Hour)})
		s.world.Settle(1000)
		l := s.loops[0]
		if len(l.petitions) != 1 {
			t.Fatalf("%s: %d clients wait", hub, len(l.petitions))
		}
		p.Reset()
		s.pass(20 * time.Second)
		if n := len(l.petitions); n != 0 || l.Used() != 0 {
			t.Errorf("%s: %d clients wait still, of %d", hub, n, l.Used())
		}
	}
}

// twoFaced is an upstream that accepts clients, and panics when they are there.
type twoFaced struct{ spoilt }

func (twoFaced) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Connect | upstream.Connected}
}
func (u twoFaced) Send(ev *upstream.Event, late upstream.Sink) (upstream.Reply, bool) {
	if ev.Type == upstream.Connect {
		return upstream.Reply{Verdict: new(upstream.Verdict)}, true
	}
	return u.spoilt.Send(ev, late)
}

// The head of a client that had waited for a verdict was charged for ever when what followed its acceptance panicked.
func TestAPanicAtTheBeginningOfASessionGivesItsHeadBack(t *testing.T) {
	s := scripted(t)
	hs := *s.settings.Load().hubs.Named("echo").now.Load()
	hs.upstream, hs.traits = twoFaced{}, twoFaced{}.Traits()
	hs.hub.now.Store(&hs)
	s.come("echo", &simulatedToken{way: 'a', user: "u0", until: s.world.Wall().Add(time.Hour)})
	s.world.Settle(1000)
	s.loops[0].Trim()
	if n := gatewaytest.Gather(t, s.registry).Sum("sluice_panics_total"); n > 1 {
		t.Errorf("%v panics", n)
	}
	if used := s.budget.Used(); used != 0 || s.sessions.Load()+s.places.Load()+s.asking.Load() != 0 || s.loops[0].Used() != 0 {
		t.Errorf("%d bytes are charged, %d sessions, %d places, %d slots", used, s.sessions.Load(), s.places.Load(), s.loops[0].Used())
	}
}
