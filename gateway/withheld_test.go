package gateway

import (
	"fmt"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

const smallMailbox = 64 << 10

// crowdedMail starts a node with small mailboxes, all whose clients are in the
// group red.
func crowdedMail(t *testing.T, loops int) (*node, [][]*peer, *lateUpstream) {
	n, peers, late := talkative(t, loops, limited(func(l *config.Limits) { l.Mailbox = smallMailbox }))
	if _, err := n.Do(t.Context(), delivery.Target{Hub: "default"}, delivery.Join{Groups: []string{"red"}}); err != nil {
		t.Fatal(err)
	}
	return n, peers, late
}

// withholding is how many replies wait for room.
func (n *node) withholding() (count int) {
	for _, l := range n.loops {
		l.do(func(l *loop) {
			for _, waiting := range l.withheld {
				count += len(waiting)
			}
		})
	}
	return count
}

// loud is a message of which a mailbox has room for one, and not for two.
var loud = string(make([]byte, 40<<10))

// A client whose message has an effect on others for which there is no room waits
// until the mailbox has some. Its neighbours are served meanwhile.
func TestRepliesWaitForRoomInMailboxes(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		for full := range loops {
			n, peers, late := crowdedMail(t, loops)
			speaker, other := peers[0][0], peers[0][1]
			if !n.loops[full].occupy(smallMailbox / 2) {
				t.Fatal("there is no room to begin with")
			}
			speaker.send(text("one"), text("two"))
			late.next(t, upstream.Message).reply(upstream.Reply{
				Send:    delivery.Send{Op: ws.OpText, Data: []byte("heard")},
				Effects: []delivery.Effect{say("red", loud), say("red", "soft"), own(delivery.Send{Op: ws.OpText, Data: []byte("own")})},
			})
			speaker.want(ws.OpText, "heard")
			eventually(t, "the reply waits", func() bool { return n.withholding() == 1 })
			for i, l := range n.loops {
				if got := l.mail.bytes.Load(); got > 0 && i != full {
					t.Errorf("%d bytes are reserved with loop %d", got, i)
				}
			}
			other.send(text("beside"))
			late.next(t, upstream.Message).answer() // and not "two"
			other.want(ws.OpText, "beside")

			n.loops[full].mail.delivered(smallMailbox / 2)
			ev := late.next(t, upstream.Message)
			if ev.data != "two" {
				t.Errorf("the next event is %q", ev.data)
			}
			ev.reply(upstream.Reply{})
			speaker.want(ws.OpText, "own") // at once, before what goes through the mailbox
			for _, on := range peers {
				for _, p := range on {
					p.want(ws.OpText, loud)
					p.want(ws.OpText, "soft")
				}
			}
			if got := n.withholding(); got != 0 {
				t.Errorf("%d replies wait still", got)
			}
			n.publish()
			if got := n.metric("sluice_limit_reached_total", "limit=mailbox"); got != 1 {
				t.Errorf("the limit was reached %v times", got)
			}
		}
	})
}

// A reply that lacks room in one mailbox after the other waits for each.
func TestRepliesWaitForWhateverLacksRoom(t *testing.T) {
	n, peers, late := crowdedMail(t, 4)
	for _, l := range n.loops {
		l.occupy(smallMailbox / 2)
	}
	peers[0][0].send(text("one"))
	late.next(t, upstream.Message).reply(upstream.Reply{Effects: []delivery.Effect{say("red", loud)}})
	for i, l := range n.loops {
		eventually(t, fmt.Sprint("it waits for loop ", i), func() (waits bool) {
			n.loops[0].do(func(own *loop) { waits = len(own.withheld[&l.mail]) == 1 })
			return waits
		})
		l.mail.delivered(smallMailbox / 2)
	}
	for _, on := range peers {
		for _, p := range on {
			p.want(ws.OpText, loud)
		}
	}
}

// Those that wait for the same are served in the order in which they came.
func TestRepliesThatWaitKeepTheirOrder(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		n, peers, late := crowdedMail(t, loops)
		listener := peers[loops-1][1]
		only := delivery.Target{Kind: delivery.Connection} // whose loop's mailbox is the only one that it takes
		n.each(func(c *client) {
			if c.is(listener) {
				only.Name = c.ConnectionID()
			}
		})
		tell := func(s string) delivery.Effect {
			return delivery.Effect{Target: &only, Action: delivery.Send{Op: ws.OpText, Data: []byte(s)}}
		}
		n.loops[loops-1].occupy(smallMailbox / 2)
		for i, p := range peers[0] {
			if p == listener {
				break
			}
			p.send(text("x"))
			late.next(t, upstream.Message).reply(upstream.Reply{Effects: []delivery.Effect{tell(loud), tell(fmt.Sprint(i))}})
			eventually(t, "the reply waits", func() bool { return n.withholding() == i+1 })
		}
		waiting := n.withholding()
		n.loops[loops-1].mail.delivered(smallMailbox / 2)
		for i := range waiting {
			listener.want(ws.OpText, loud)
			listener.want(ws.OpText, fmt.Sprint(i))
		}
	})
}

// What a client has said that is gone has its effects all the same, and then its
// upstream is told of its end.
func TestRepliesToWhoIsGoneWaitForRoom(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		n, peers, late := crowdedMail(t, loops)
		speaker, listener := peers[0][0], peers[loops-1][1]
		n.loops[loops-1].occupy(smallMailbox / 2)
		speaker.send(text("one"))
		late.next(t, upstream.Message).reply(upstream.Reply{Effects: []delivery.Effect{say("red", loud), own(delivery.Join{Groups: []string{"blue"}})}})
		eventually(t, "the reply waits", func() bool { return n.withholding() == 1 })
		speaker.reset()
		eventually(t, "the client is gone", func() bool { return n.metric("sluice_connections_closed_total") == 1 })
		if len(late.events) > 0 {
			t.Error("the upstream was told of the end before the effects happened")
		}
		n.loops[loops-1].mail.delivered(smallMailbox / 2)
		listener.want(ws.OpText, loud)
		late.next(t, upstream.Disconnected)
		for i, l := range n.loops {
			l.do(func(*loop) {
				if n.settings.Load().hubs.Named("default").rosters[i].groups.May("blue") {
					t.Error("who is gone has joined a group")
				}
			})
		}
	})
}

// What is longer than a mailbox waits for nothing: the answer has failed.
func TestReplyThatFitsNoMailboxEndsItsSession(t *testing.T) {
	n, peers, late := crowdedMail(t, 1)
	speaker, other := peers[0][0], peers[0][1]
	speaker.send(text("one"))
	late.next(t, upstream.Message).reply(upstream.Reply{Effects: []delivery.Effect{say("red", loud+loud), say("red", "and more")}})
	speaker.want(ws.OpClose, body(1011, ""))
	speaker.send(closeFrame(1011))
	n.closedFor(metrics.ReasonUpstreamFailed)
	late.next(t, upstream.Disconnected)
	other.send(text("beside"))
	late.next(t, upstream.Message).answer()
	other.want(ws.OpText, "beside") // and nothing before it
}

// A reload can make mailboxes smaller than what waits for them.
func TestReplyThatFitsNoMailboxAnyMoreEndsItsSession(t *testing.T) {
	n, peers, late := crowdedMail(t, 1)
	speaker, other := peers[0][0], peers[0][1]
	n.loops[0].occupy(smallMailbox / 2)
	speaker.send(text("one"))
	late.next(t, upstream.Message).reply(upstream.Reply{Effects: []delivery.Effect{say("red", loud)}})
	eventually(t, "the reply waits", func() bool { return n.withholding() == 1 })
	smaller := *n.settings.Load()
	smaller.mailbox = smallMailbox / 4
	n.settings.Store(&smaller)
	n.loops[0].mail.delivered(smallMailbox / 2)
	speaker.want(ws.OpClose, body(1011, ""))
	speaker.send(closeFrame(1011))
	late.next(t, upstream.Disconnected)
	other.send(text("beside"))
	late.next(t, upstream.Message).answer()
	other.want(ws.OpText, "beside")
}

// What finds no room in the node's budget is tried again at the next tick.
func TestRepliesWaitForRoomInTheBudget(t *testing.T) {
	n, peers, late := crowdedMail(t, 1)
	speaker := peers[0][0]
	limit := n.budget.Limit()
	n.budget.SetLimit(100)
	speaker.send(text("one"))
	late.next(t, upstream.Message).reply(upstream.Reply{Effects: []delivery.Effect{say("red", loud)}})
	eventually(t, "the reply waits", func() bool { return n.withholding() == 1 })
	if got := n.loops[0].mail.bytes.Load(); got != 0 {
		t.Errorf("%d bytes stay reserved", got)
	}
	var now, before session.Tick
	eventually(t, "it was tried again", func() bool {
		n.loops[0].do(func(l *loop) { now = l.Now() })
		if before == 0 {
			before = now
		}
		return !now.Before(before + 3)
	})
	n.budget.SetLimit(limit)
	for _, p := range peers[0] {
		p.want(ws.OpText, loud)
	}
	n.publish()
	if got := n.metric("sluice_limit_reached_total", "limit=buffered"); got != 1 {
		t.Errorf("the limit was reached %v times", got)
	}
}

// A client whose message has effects for which there is no buffer for long is sent
// away, like one whose message finds none.
func TestRepliesDoNotWaitForTheBudgetForEver(t *testing.T) {
	n, peers, late := crowdedMail(t, 1)
	speaker, other := peers[0][0], peers[0][1]
	n.budget.SetLimit(20 << 10)
	speaker.send(text("one"))
	late.next(t, upstream.Message).reply(upstream.Reply{Effects: []delivery.Effect{say("red", loud)}})
	eventually(t, "the reply waits", func() bool { return n.withholding() == 1 })
	other.send(text("another"))
	late.next(t, upstream.Message).reply(upstream.Reply{Effects: []delivery.Effect{say("red", "soft")}})
	speaker.want(ws.OpText, "soft")
	speaker.want(ws.OpClose, body(1013, "out of buffers"))
	speaker.send(closeFrame(1013))
	n.closedFor(metrics.ReasonMemory)
	late.next(t, upstream.Disconnected)
	other.want(ws.OpText, "soft") // and nothing before it
	if got := n.withholding(); got != 0 {
		t.Errorf("%d replies wait still", got)
	}
}

// An upstream that answers at once may have effects on others, too, and then its
// client waits as well.
func TestInlineRepliesWaitForRoom(t *testing.T) {
	n, peers := peopled(t, 1, func(cfg *config.Config) {
		withUpstream(cfg)
		cfg.Limits.Mailbox = smallMailbox
	}, repeater{})
	speaker, other := peers[0][0], peers[0][1]
	n.loops[0].occupy(smallMailbox / 2)
	speaker.send(text(loud), text("soft"))
	eventually(t, "the reply waits", func() bool { return n.withholding() == 1 })
	other.send(text("beside"))
	for _, p := range peers[0] {
		p.want(ws.OpText, "beside") // "soft" is held
	}
	n.loops[0].mail.delivered(smallMailbox / 2)
	for _, p := range peers[0] {
		p.want(ws.OpText, loud)
		p.want(ws.OpText, "soft")
	}
}

// repeater sends each message to everybody.
type repeater struct{ host }

func (repeater) Traits() upstream.Traits {
	return upstream.Traits{Events: upstream.Message, Inline: true}
}

func (repeater) Send(ev *upstream.Event, _ upstream.Sink) (upstream.Reply, bool) {
	return upstream.Reply{Effects: []delivery.Effect{{
		Target: &delivery.Target{},
		Action: delivery.Send{Op: ev.Op, Data: append([]byte(nil), ev.Data...)},
	}}}, true
}

// A node that ends waits for nobody who waits for room.
func TestNodeEndsWhileRepliesWait(t *testing.T) {
	for _, loops := range []int{1, 4} {
		n, peers, late := crowdedMail(t, loops)
		n.loops[loops-1].occupy(smallMailbox / 2)
		peers[0][0].send(text("one"))
		late.next(t, upstream.Message).reply(upstream.Reply{Effects: []delivery.Effect{say("red", loud)}})
		eventually(t, "the reply waits", func() bool { return n.withholding() == 1 })
		n.Close()
		if used := n.budget.Used(); used != 0 {
			t.Errorf("%d bytes of the budget are lost", used)
		}
	}
}
