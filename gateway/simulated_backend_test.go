package gateway

import (
	"context"
	"encoding/binary"
	"strconv"
	"time"

	"sluice/gateway/delivery"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// simulatedBackend is behind the upstreams of most hubs. It answers after a while, sometimes with a close.
type simulatedBackend struct {
	*simulation
	conns map[session.Ref]*told
	known []session.Ref
	ends  map[string]int // by reason
	// slowest is how many milliseconds an answer may take.
	slowest int
	events  int
	// heard are the answers by event id, of a backend that is told by dispatchers; some exchanges go wrong if it is failing.
	heard   map[string]upstream.Reply
	failing bool
	vain    int // ends that the backend was told of, and has answered in vain
}

// told is what the backend knows of a connection.
type told struct {
	accepted, gone bool
	told           bool // the backend knows of its end
	dismissed      bool // the data plane has asked for its end
	under          bool // an event is on its way, or its answer is
	next           uint32
	hub, state     string
	visit          *visit
}

// simulatedUpstream is the way to the backend that a configuration has opened.
type simulatedUpstream struct {
	*simulatedBackend
	closed bool
}

func (*simulatedUpstream) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Connect | upstream.Connected | upstream.Message | upstream.Disconnected}
}

func (u *simulatedUpstream) Close(context.Context) int {
	u.closed = true
	return 0
}

func (u *simulatedUpstream) Send(ev *upstream.Event, late upstream.Sink) (upstream.Reply, bool) {
	if u.closed {
		u.fail("%v is sent to an upstream that is closed", ev.Type)
	}
	u.simulatedBackend.send(ev, late)
	return upstream.Reply{Outcome: metrics.OutcomeOK}, false
}

// send takes an event to the backend at once.
func (b *simulatedBackend) send(ev *upstream.Event, late upstream.Sink) {
	c, from := b.sent(ev), ev.From
	reply := b.act(c, ev)
	if ev.Type == upstream.Disconnected {
		return
	}
	b.world.After(time.Duration(b.world.Rand().IntN(b.slowest))*time.Millisecond, func() {
		b.answered(c, reply)
		late.Reply(from, reply)
	})
}

// sent notes that ev is on its way to the backend.
func (b *simulatedBackend) sent(ev *upstream.Event) *told {
	c := b.conns[ev.From]
	if c == nil {
		c = &told{hub: ev.Hub}
		b.conns[ev.From] = c
		b.known = append(b.known, ev.From)
	}
	b.hold(c, ev)
	c.under = ev.Type != upstream.Disconnected
	switch ev.Type {
	case upstream.Connect:
		number, err := strconv.Atoi(ev.Request.Query["c"][0])
		if err != nil {
			panic(err)
		}
		c.visit = b.visits[number]
		c.visit.ref, c.visit.known = ev.From, true
	case upstream.Message:
		b.events++
	case upstream.Disconnected:
		b.ends[ev.Reason]++
		if ev.Reason == metrics.ReasonHeartbeat.String() && !c.visit.mute {
			b.fail("%v, whose client has always answered, is ended for its heartbeat", ev.From)
		}
		c.gone = true
	}
	return c
}

// answered notes that the gateway knows the answer to the event that was on its
// way.
func (b *simulatedBackend) answered(c *told, r upstream.Reply) {
	c.under = false
	if r.State != nil {
		c.state = r.State.Value
	}
	b.affect(r.Effects)
}

// act is what the backend does with an event that has arrived.
func (b *simulatedBackend) act(c *told, ev *upstream.Event) (reply upstream.Reply) {
	switch ev.Type {
	case upstream.Connect:
		reply.Verdict = b.judge(c)
	case upstream.Message:
		n := binary.BigEndian.Uint32(ev.Data)
		if n != c.next {
			b.fail("message %d of %v, want %d", n, ev.From, c.next)
		}
		c.next++
		reply.Send.Op, reply.Send.Data = ev.Op, append([]byte(nil), ev.Data...)
		switch b.world.Rand().IntN(40) {
		case 0:
			reply = upstream.Reply{Close: delivery.Close{Code: 1011}, Outcome: metrics.OutcomeFailed}
		case 1, 2:
			reply.State = &delivery.State{Value: strconv.Itoa(int(n))}
		case 3, 4, 5, 6:
			reply.Effects = b.imagine(c)
		}
	case upstream.Disconnected:
		c.told = true
	}
	return reply
}

// hold holds an event against what was told before.
func (b *simulatedBackend) hold(c *told, ev *upstream.Event) {
	switch {
	case c.gone || c.under && ev.Type != upstream.Disconnected:
		b.fail("%v of a connection that is gone (%t) or has another under way (%t)", ev.Type, c.gone, c.under)
	case c.hub != ev.Hub:
		b.fail("%v of %v is of hub %s, and was of %s", ev.Type, ev.From, ev.Hub, c.hub)
	case ev.Type == upstream.Message && ev.State != c.state:
		b.fail("%v is told with state %q, want %q", ev.From, ev.State, c.state)
	case ev.Type == upstream.Message && c.visit.user != ev.User:
		b.fail("%v is told to be %q, and is %q", ev.From, ev.User, c.visit.user)
	case ev.Type == upstream.Disconnected && !c.accepted && !b.cut: // who is cut off may not know it
		b.fail("disconnected of %v, which was not accepted", ev.From)
	case ev.Type == upstream.Disconnected && ev.Reason == metrics.ReasonBackend.String() && !c.dismissed:
		b.fail("%v was closed in another's place", ev.From)
	}
}

// judge decides on a connection, and remembers what it gives.
func (b *simulatedBackend) judge(c *told) *upstream.Verdict {
	r := b.world.Rand()
	v := new(upstream.Verdict)
	switch r.IntN(12) {
	case 0:
		v.Status = 403
		return v
	case 1:
		v.Status, v.Doubt = 503, b.heard == nil // a dispatcher knows that itself
		c.accepted = v.Doubt                    // as far as the gateway can know
		return v
	}
	c.accepted = true
	if r.IntN(3) == 0 {
		v.User = users[r.IntN(len(users))]
		c.visit.user = v.User
	}
	if r.IntN(3) == 0 {
		g := groups[r.IntN(len(groups))]
		v.Given = append(v.Given, delivery.Join{Groups: []string{g}})
		c.visit.join(g, yes)
	}
	if r.IntN(3) == 0 {
		p := delivery.Permission{Verb: delivery.SendToGroup, Group: groups[r.IntN(len(groups))]}
		v.Given = append(v.Given, delivery.Assume{Roles: []string{"webpubsub.sendToGroup." + p.Group}})
		c.visit.permit(p, yes)
	}
	return v
}
