package engine

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway/gatewaytest"
	"sluice/metrics"
	"sluice/netpoll"
	"sluice/netpoll/netpolltest"
	"sluice/session"
)

// listener is a server, which insists on masks (RFC 6455 §5.1).
type listener struct {
	t       *testing.T
	g       *guest
	r       session.Reader
	context *session.Context
	keys    map[string]bool // those that were used
}

func newListener(t *testing.T, g *guest) *listener {
	l := &listener{t: t, g: g, context: session.NewContext(session.NewPool(session.NewBudget(1 << 20))), keys: map[string]bool{}}
	l.r.Init(session.Server, false)
	return l
}

// all returns the payloads that have come.
func (l *listener) all() (inputs []string) {
	got, _ := l.g.hear()
	for p := []byte(got); ; {
		if len(p) > 6 && !l.r.Partial() {
			l.keys[string(p[2:6])] = true
		}
		in, n, err := l.r.Next(l.context, &session.Limits{Message: 1 << 10, Fragments: 10}, p, true)
		if err != nil {
			l.t.Fatal(err)
		}
		if in.Kind == session.None {
			return inputs
		}
		inputs = append(inputs, string(in.Payload))
		p = p[n:]
	}
}

// A stream that is dialled is a client: it sends a request and hears its answer,
// its frames are masked, each with another key, and those that it hears are not.
func TestDialledStreamIsAClient(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		o := open(t, loops, nil)
		e, to := o.engines[loops-1], netip.MustParseAddrPort("192.0.2.1:80")
		var server *guest
		o.world.Service = func(addr netip.AddrPort, p *netpolltest.Peer) bool {
			server = &guest{Peer: p, o: o}
			return addr == to
		}
		s, err := e.Dial(to, &o.guests)
		if err != nil {
			t.Fatal(err)
		}
		o.wantHeard("came")
		if s.State() != Dialling {
			t.Errorf("it is %v", s.State())
		}
		o.pass(Tick)
		o.wantHeard("dialled")
		server.want(request("/"))
		server.say("HTTP/1.1 101 Welcome\r\n\r")
		o.wantHeard("")
		server.say("\n" + frame(ws.OpText, "greetings"))
		o.wantHeard("answer HTTP/1.1 101 Welcome")
		heard := newListener(t, server)
		if got := strings.Join(heard.all(), ", "); got != "hello, greetings" {
			t.Errorf("the server heard %q", got)
		}
		server.say(frame(ws.OpPing, "ping?") + frame(ws.OpText, "again"))
		e.SendShared(s, session.NewShared(session.AppendFrame(nil, ws.OpText, []byte("to all")), nil), 0)
		o.pass(0)
		if got := strings.Join(heard.all(), ", "); got != "ping?, again, to all" {
			t.Errorf("the server heard %q", got)
		}
		if len(heard.keys) < 5 {
			t.Errorf("%d masking keys for 5 frames", len(heard.keys))
		}
		server.say(goodbye(1000, ""))
		o.wantHeard("ending, socket false; gone from leaving: client_close")
		if n := o.set.Pending.Load(); n != 0 {
			t.Errorf("%d are pending", n)
		}
	})
}

// What a client sends is masked also where it waits for the socket, and counted by
// messages.
func TestWhatADialledStreamQueuesIsMasked(t *testing.T) {
	o := open(t, 1, nil)
	o.world.Room = 1000
	var server *guest
	o.world.Service = func(_ netip.AddrPort, p *netpolltest.Peer) bool {
		server = &guest{Peer: p, o: o}
		return true
	}
	e := o.engines[0]
	s, err := e.Dial(netip.MustParseAddrPort("192.0.2.1:80"), &o.guests)
	if err != nil {
		t.Fatal(err)
	}
	o.pass(Tick)
	server.hear()
	server.say(welcome)
	for range 10 {
		e.Write(s, ws.OpText, []byte(strings.Repeat("x", 300)))
	}
	e.Flush(s)
	if n := s.QueuedMessages(); n < 5 || n > 10 {
		t.Errorf("%d messages are queued", n)
	}
	heard, got := newListener(t, server), []string(nil)
	for range 100 {
		got = append(got, heard.all()...)
		o.pass(0)
	}
	if len(got) != 11 {
		t.Errorf("%d messages have come, want 11", len(got))
	}
}

// A server that is not there, that does not answer, or answers something else, is
// told to the owner as an end.
func TestDialThatFailsIsAnEnd(t *testing.T) {
	gone := metrics.ReasonReset.String()
	for name, c := range map[string]struct {
		takes bool
		says  string
		want  string
	}{
		"nobody there": {false, "", "came; gone from dialling: " + gone},
		"silence":      {true, "", "came; dialled; bad head: 408, 0 bytes; gone from heading: " + gone},
		"no answer":    {true, strings.Repeat("x", 5<<10), "came; dialled; bad head: 431, 4096 bytes; gone from heading: " + gone},
		"another one":  {true, "HTTP/1.1 403 No\r\n\r\n", "came; dialled; answer HTTP/1.1 403 No; gone from heading: " + gone},
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, 1, nil)
			o.world.Service = func(_ netip.AddrPort, p *netpolltest.Peer) bool {
				o.world.After(Tick, func() { p.Write([]byte(c.says)) })
				return c.takes
			}
			if _, err := o.engines[0].Dial(netip.MustParseAddrPort("192.0.2.1:80"), &o.guests); err != nil {
				t.Fatal(err)
			}
			o.pass(20 * Tick)
			o.wantHeard(c.want)
			if n := o.engines[0].Counts(); n != (Counts{}) {
				t.Errorf("%+v are left", n)
			}
			if n := o.world.Open(); n != 1 {
				t.Errorf("%d descriptors are open, want the listener's", n)
			}
		})
	}
	o := open(t, 1, nil)
	o.world.Limit = 1
	if _, err := o.engines[0].Dial(netip.MustParseAddrPort("192.0.2.1:80"), &o.guests); err == nil {
		t.Error("a stream without a descriptor")
	}
}

// unpolled is a kernel that polls nothing more.
type unpolled struct{ netpoll.System }

func (unpolled) Add(int, netpoll.Event, func(netpoll.Event)) error { return errors.New("no memory") }

// Whoever dials is not given a stream that is nobody's any more.
func TestDialledSocketThatCannotBePolledIsAnError(t *testing.T) {
	o := open(t, 1, nil)
	o.world.Service = func(netip.AddrPort, *netpolltest.Peer) bool { return true }
	e := o.engines[0]
	sys := e.sys
	e.sys = unpolled{sys}
	s, err := e.Dial(netip.MustParseAddrPort("192.0.2.1:80"), &o.guests)
	e.sys = sys
	if s != nil || err == nil {
		t.Errorf("%v, %v", s, err)
	}
	o.wantHeard("came; gone from dialling: reset")
	if c := e.Counts(); c != (Counts{}) {
		t.Errorf("%+v are left", c)
	}
}
