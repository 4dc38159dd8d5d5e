package gateway

import (
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/gateway/gatewaytest"
	"sluice/gateway/upstream"
)

// say is what a message for a group consists of.
func say(group, s string) delivery.Effect {
	return delivery.Effect{
		Target: &delivery.Target{Kind: delivery.Group, Name: group},
		Action: delivery.Send{Op: ws.OpText, Data: []byte(s)},
	}
}

// own is an effect on the session that has said something.
func own(a delivery.Action) delivery.Effect { return delivery.Effect{Action: a} }

// talkative starts a node whose upstream answers when the test says so.
func talkative(t *testing.T, loops int, edit func(*config.Config)) (*node, [][]*peer, *lateUpstream) {
	late := newLate(upstream.Message | upstream.Disconnected)
	n, peers := peopled(t, loops, func(cfg *config.Config) {
		withUpstream(cfg)
		if edit != nil {
			edit(cfg)
		}
	}, late)
	return n, peers, late
}

// What an upstream answers happens to the client and to others, in its order.
func TestRepliesHaveEffectsOnOthers(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		_, peers, late := talkative(t, loops, nil)
		speaker, silent := peers[0][0], peers[loops-1][1]
		for _, on := range peers {
			for _, p := range on {
				if p == silent {
					continue
				}
				p.send(text("join"))
				late.next(t, upstream.Message).reply(upstream.Reply{
					Effects: []delivery.Effect{own(delivery.Join{Groups: []string{"red"}}), own(delivery.Send{Op: ws.OpText, Data: []byte("joined")})},
				})
				p.want(ws.OpText, "joined")
			}
		}
		speaker.send(text("one"), text("two"))
		for _, word := range []string{"one", "two"} {
			late.next(t, upstream.Message).reply(upstream.Reply{
				Send:    delivery.Send{Op: ws.OpText, Data: []byte("heard " + word)},
				Effects: []delivery.Effect{say("red", word), say("red", word+" again"), say("nobody", "nothing")},
			})
		}
		for _, on := range peers {
			for _, p := range on {
				switch p {
				case silent:
					continue
				case speaker:
					heard := []string{}
					for range 6 {
						f, err := p.frame()
						if err != nil {
							t.Fatal(err)
						}
						heard = append(heard, string(f.Payload))
					}
					// Its own share comes by the mailbox; the answers may overtake it.
					for _, order := range [][]string{{"heard one", "heard two"}, {"heard one", "one", "one again", "two", "two again"}} {
						if got := slices.DeleteFunc(slices.Clone(heard), func(s string) bool { return !slices.Contains(order, s) }); !slices.Equal(got, order) {
							t.Errorf("the client that spoke heard %q", heard)
						}
					}
				default:
					for _, word := range []string{"one", "one again", "two", "two again"} {
						p.want(ws.OpText, word)
					}
				}
			}
		}
		silent.send(text("bye"))
		late.next(t, upstream.Message).reply(upstream.Reply{
			Effects: []delivery.Effect{
				own(delivery.Send{Op: ws.OpText, Data: []byte("last"), TTL: time.Minute}),
				{Target: &delivery.Target{Kind: delivery.Group, Name: "red"}, Action: delivery.Close{Code: 4002, Reason: "all"}},
				own(delivery.Close{Code: 4001, Reason: "you"}),
			},
		})
		silent.want(ws.OpText, "last") // and nothing before it
		silent.want(ws.OpClose, body(4001, "you"))
		for _, on := range peers {
			for _, p := range on {
				if p != silent {
					p.want(ws.OpClose, body(4002, "all"))
				}
			}
		}
	})
}

// What is known of a session is changed by its upstream as the data plane does it.
func TestRepliesChangeTheirSession(t *testing.T) {
	n, late := asks(t, func(cfg *config.Config) { cfg.Limits.Groups = 2 })
	p := n.connect()
	p.say(request("/"))
	late.next(t, upstream.Connect).accept(upstream.Verdict{User: "ann", Given: []delivery.Action{
		delivery.Assume{Roles: []string{"webpubsub.sendToGroup.a"}}, delivery.Join{Groups: []string{"red"}},
	}})
	p.wantStatus(101)
	late.next(t, upstream.Connected).reply(upstream.Reply{})
	allowed := func() (s string) {
		n.each(func(c *client) {
			for _, group := range []string{"a", "b", "c"} {
				if c.permits(delivery.Permission{Verb: delivery.SendToGroup, Group: group}) {
					s += group
				}
			}
		})
		return s
	}
	if got := allowed(); got != "a" {
		t.Errorf("may send to %q", got)
	}
	grant := func(group string) delivery.Permission {
		return delivery.Permission{Verb: delivery.SendToGroup, Group: group}
	}
	for _, step := range []struct {
		effects    []delivery.Effect
		may, state string
		red, blue  int
	}{
		{[]delivery.Effect{own(delivery.Assume{Roles: []string{"webpubsub.sendToGroup.b"}}), own(delivery.State{Value: "s1"})}, "ab", "s1", 1, 0},
		{[]delivery.Effect{own(delivery.Grant{Permission: grant("c")}), own(delivery.Revoke{Permission: grant("a")})}, "bc", "s1", 1, 0},
		{[]delivery.Effect{own(delivery.Join{Groups: []string{"blue", "green"}})}, "bc", "s1", 1, 0}, // too many
		{[]delivery.Effect{own(delivery.Leave{Groups: []string{"red"}}), own(delivery.Join{Groups: []string{"blue"}}), own(delivery.State{})}, "bc", "", 0, 1},
	} {
		p.send(text("x"))
		late.next(t, upstream.Message).reply(upstream.Reply{Effects: step.effects, Send: delivery.Send{Op: ws.OpText, Data: []byte("done")}})
		p.want(ws.OpText, "done")
		red, blue := n.meant(delivery.Target{Kind: delivery.Group, Name: "red"}), n.meant(delivery.Target{Kind: delivery.Group, Name: "blue"})
		if got := allowed(); got != step.may || red != step.red || blue != step.blue {
			t.Errorf("after %+v: may send to %q, %d in red, %d in blue", step.effects, got, red, blue)
		}
		p.send(text("y"))
		ev := late.next(t, upstream.Message)
		if ev.State != step.state {
			t.Errorf("after %+v: state %q", step.effects, ev.State)
		}
		ev.reply(upstream.Reply{})
	}
}

// A loop may publish, and its own share comes after what is in its mailbox.
func TestLoopsPublishInOrder(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		n, peers := peopled(t, loops, nil)
		h := n.settings.Load().hubs.Named("default")
		send := func(s string) *order {
			return newOrder(h, delivery.Target{}, delivery.Send{Op: ws.OpText, Data: []byte(s)})
		}
		n.loops[0].do(func(l *loop) {
			before := l.mail.bytes.Load()
			for _, s := range []string{"first", "second", "third"} {
				if told, err := l.g.publish(send(s)); told != loops || err != nil {
					t.Errorf("%d loops were told, %v", told, err)
				}
			}
			if l.mail.bytes.Load() != before+int64(3*letterSize+len("firstsecondthird")) {
				t.Error("its own share has not gone through its mailbox")
			}
		})
		if _, err := n.Gateway.publish(send("fourth")); err != nil {
			t.Fatal(err)
		}
		for _, on := range peers {
			for _, p := range on {
				for _, s := range []string{"first", "second", "third", "fourth"} {
					p.want(ws.OpText, s)
				}
			}
		}
	})
}
